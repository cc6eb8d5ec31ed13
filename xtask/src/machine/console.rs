// SPDX-License-Identifier: MIT OR Apache-2.0
//! The guest's kernel console, read for what a healthy kernel never says.
//!
//! Only the kernel writes there (the program's output has ports of its own), so a line that begins
//! a report is one.

/// What begins a report: a bug, a failed assertion, a lock held wrong, a task or processor stuck.
const REPORTS: &[&str] = &[
    "BUG: ",
    "WARNING: ",
    "Oops: ",
    "Oops[",
    "kernel BUG at ",
    "general protection fault",
    "unable to handle ",
    "Unable to handle ",
    "divide error: ",
    "invalid opcode: ",
    "stack segment: ",
    "double fault: ",
    "Kernel panic",
    "INFO: rcu",
    "self-detected stall",
    "detected stalls on",
    "detected expedited stalls",
    "soft lockup",
    "hard LOCKUP",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "suspicious RCU usage",
    "bad unlock balance",
    "held lock freed",
    "sleeping function called from invalid context",
    "scheduling while atomic",
    "refcount_t: ",
    "UBSAN: ",
    "KASAN: ",
    "KFENCE: ",
    "KCSAN: ",
    "CFI failure at ",
    "Missing ENDBR: ",
    "list_add corruption",
    "list_add double add",
    "list_del corruption",
    "ODEBUG: ",
    "DEBUG_LOCKS_WARN_ON",
    // A debug kernel that stopped looking: what comes after proves nothing.
    "turning off the locking correctness validator",
    "Kernel memory leak detector disabled",
    "new suspected memory leaks",
    "Bad page state",
    "Bad page map",
    "Bad rss-counter state",
    "detected buffer overflow",
    "Objects remaining in",
    "still has objects when",
    "usercopy: ",
    "disagrees about version of symbol",
    "Unknown symbol",
];

/// Lines that look like a report and are none on a healthy kernel.
const HARMLESS: &[&str] =
    &["module verification failed", "loading out-of-tree module taints kernel"];

/// The console from its first report on, or nothing from a kernel that stayed healthy.
pub(crate) fn first_report(console: &str) -> Option<String> {
    let lines: Vec<&str> = console.lines().collect();
    let found = (0..lines.len()).find(|place| {
        let report = lines.get(*place..).unwrap_or_default();
        report.first().is_some_and(|line| begins_report(line)) && !is_foreign_race(report)
    })?;
    // A lock report opens with a rule of `=` above its title.
    let ruled = found
        .checked_sub(1)
        .filter(|above| lines.get(*above).is_some_and(|line| line.contains("=====")));
    let report = lines.get(ruled.unwrap_or(found)..)?;
    Some(report.join("\n"))
}

/// Whether these lines begin with a data race in which the module had no part: none of the two
/// accesses was made by it or called from it. What an interrupt does is not called from what it
/// came between, though the stack shows that too.
fn is_foreign_race(report: &[&str]) -> bool {
    let mut lines = report.iter();
    if !lines.next().is_some_and(|title| title.contains("BUG: KCSAN: ")) {
        return false;
    }
    let mut is_interrupted = false;
    !lines.take_while(|line| !line.contains("=====")).any(|line| {
        if line.contains(" bytes by ") {
            is_interrupted = false;
        }
        is_interrupted |= line.contains(" asm_sysvec_") || line.contains(" asm_common_interrupt");
        !is_interrupted && line.contains("[ashmem_linux]")
    })
}

fn begins_report(line: &str) -> bool {
    let stuck_task = line.contains("INFO: task ") && line.contains("blocked for more than");
    let names_one = REPORTS.iter().any(|report| {
        // A report's words stand alone: `DEBUG: ` holds `BUG: ` and is none.
        line.match_indices(report).any(|(place, _)| {
            !line.get(..place).is_some_and(|before| before.ends_with(char::is_alphanumeric))
        })
    });
    (names_one || stuck_task) && !HARMLESS.iter().any(|harmless| line.contains(harmless))
}

#[cfg(test)]
mod tests {
    use super::first_report;

    fn first_line(console: &str) -> Option<String> {
        first_report(console).and_then(|report| report.lines().next().map(str::to_owned))
    }

    #[test]
    fn a_healthy_boot_has_no_report() {
        let console = "[    0.000000] Linux version 5.10.0-46-amd64 \
                       (debian-kernel@lists.debian.org)\r\n\
                       [    0.412345] ACPI: PM-Timer IO Port: 0x608\r\n\
                       [    0.512345] DMAR: No ATSR found, debug info: BUGFIX 3\r\n\
                       [    2.103040] ashmem_linux: loading out-of-tree module taints kernel.\r\n\
                       [    2.103113] ashmem_linux: module verification failed: signature and/or \
                       required key missing - tainting kernel\r\n\
                       [    2.110000] ashmem: initialized\r\n\
                       [    3.000000] reboot: Power down\r\n";
        assert_eq!(first_report(console), None);
    }

    #[test]
    fn a_null_dereference_is_reported_from_its_first_line() {
        let console = "[    1.0] ashmem: initialized\n\
            [    2.713219] BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
            [    2.713801] #PF: supervisor read access in kernel mode\n\
            [    2.714233] Oops: 0000 [#1] SMP NOPTI\n";
        let report = first_report(console).unwrap();
        assert!(report.starts_with("[    2.713219] BUG: kernel NULL"));
        assert!(report.ends_with("SMP NOPTI"));
    }

    #[test]
    fn a_failed_assertion_is_a_report() {
        let console = "[    2.401133] ------------[ cut here ]------------\n\
                       [    2.401502] WARNING: CPU: 0 PID: 97 at mm/slub.c:4205 \
                       __check_heap_object+0x8e/0xa0\n\
                       [    2.402100] Modules linked in: ashmem_linux(OE)\n";
        assert_eq!(
            first_line(console).unwrap(),
            "[    2.401502] WARNING: CPU: 0 PID: 97 at mm/slub.c:4205 __check_heap_object+0x8e/0xa0"
        );
    }

    #[test]
    fn a_lock_report_keeps_the_rule_above_its_title() {
        let console = "[   12.1] ======================================================\n\
            [   12.2] WARNING: possible circular locking dependency detected\n\
            [   12.3] 5.10.0 #1 Tainted: G           OE\n";
        assert!(first_line(console).unwrap().contains("======"));
    }

    #[test]
    fn stuck_tasks_and_processors_are_reports() {
        for console in [
            "[  242.6] INFO: task ashmem-conforma:97 blocked for more than 120 seconds.",
            "[   48.1] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [stress:101]",
            "[   61.0] rcu: INFO: rcu_sched self-detected stall on CPU",
            "[   61.0] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        ] {
            assert!(first_report(console).is_some(), "{console}");
        }
    }

    #[test]
    fn faults_of_every_name_are_reports() {
        for console in [
            "[    3.3] general protection fault, probably for non-canonical address \
             0xdead000000000100: 0000 [#1] SMP",
            "[    3.3] kernel BUG at mm/shmem.c:812!",
            "[    3.3] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
            "[    3.3] refcount_t: underflow; use-after-free.",
            "[    3.3] UBSAN: array-index-out-of-bounds in glue.c:12:3",
            "[    3.3] BUG: KASAN: use-after-free in ashmem_ioctl+0x10/0x20",
            "[    3.3] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
            "[    3.3] usercopy: Kernel memory overwrite attempt detected to SLUB object 'x' \
             (offset 0, size 300)!",
            "[    3.3] BUG ashmem_area (Tainted: G    B     OE): Objects remaining in ashmem_area \
             on __kmem_cache_shutdown()",
            "[    3.3] ashmem_linux: Unknown symbol shmem_zero_setup (err -2)",
            "[    3.3] CFI failure at ashmem_ioctl+0x10/0x20 [ashmem_linux] (target: x+0x0/0x10; \
             expected type: 0x1)",
            "[    3.3] [ BUG: Invalid wait context ]",
            "[    9.1] kmemleak: 2 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "[    9.1] kmemleak: Kernel memory leak detector disabled",
        ] {
            assert!(first_report(console).is_some(), "{console}");
        }
    }

    #[test]
    fn a_data_race_is_a_report_where_the_module_had_a_part_in_it() {
        const RACE: &str = "[    3.1] ==================================================\n\
             [    3.2] BUG: KCSAN: data-race in tick_nohz_next_event / tick_do_update_jiffies64\n\
             [    3.3] write to 0xffffffff82a0c5c0 of 8 bytes by interrupt on cpu 1:\n\
             [    3.4]  tick_do_update_jiffies64+0x112/0x1b0\n\
             [    3.5] ==================================================\n";
        assert_eq!(first_report(RACE), None, "the kernel's own");
        let ours = RACE.replace(
            "tick_do_update_jiffies64+0x112/0x1b0",
            "device_ioctl+0x10/0x20 [ashmem_linux]",
        );
        assert_eq!(first_report(&format!("{RACE}{ours}")).as_deref(), Some(ours.trim_end()));
        let frame = "[    3.4]  tick_do_update_jiffies64+0x112/0x1b0\n";
        let below =
            |entry: &str, more: &str| {
                let module = "[    3.4]  device_ioctl+0x10/0x20 [ashmem_linux]\n";
                first_report(&RACE.replace(
                    frame,
                    &format!("{frame}[    3.4]  {entry}+0x1a/0x20\n{module}{more}"),
                ))
            };
        const INTERRUPT: &str = "asm_sysvec_apic_timer_interrupt";
        assert_eq!(below(INTERRUPT, ""), None, "an interrupt's, which came while the module ran");
        assert!(
            below("asm_exc_page_fault", "").is_some(),
            "a page fault is the module's own doing"
        );
        let other = "[    3.4] read to 0xffffffff82a0c5c0 of 8 bytes by task 39 on cpu 0:\n\
            [    3.4]  device_ioctl+0x10/0x20 [ashmem_linux]\n";
        assert!(below(INTERRUPT, other).is_some(), "the other access is the module's");
        // What follows a race of the kernel's own is looked at for itself.
        let later = format!(
            "{RACE}[    3.6] BUG: KASAN: use-after-free in device_ioctl+0x10/0x20 [ashmem_linux]"
        );
        assert!(first_line(&later).is_some_and(|line| line.contains("=====")));
    }

    #[test]
    fn words_inside_other_words_are_none() {
        for console in [
            "[    0.1] DEBUG: nothing",
            "[    0.1] systemd WARNING",
            "[    0.1] Magic number: 12:345:678",
            "[    0.0] Spectre V2 : Mitigation: Retpolines",
        ] {
            assert_eq!(first_report(console), None, "{console}");
        }
    }
}
