// SPDX-License-Identifier: MIT OR Apache-2.0
//! What has a distribution call this program when kernels come and go, where no DKMS does it.

use std::io::Read;
use std::path::Path;

use ashmem_doctor::Host;

use crate::journal::InstallJournal;
use crate::machine::TargetMachine;
use crate::refusal::Error;

/// Where the program is copied if it was started from a place that is no program's.
const COPY: &str = "/usr/local/lib/ashmem/ashmem";

/// Places that a program is not moved from.
const PLACES: [&str; 7] =
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin", "/opt"];

/// A way of being called: what shows that the distribution has it, and the files.
struct KernelHook {
    is_here: fn(&Host) -> bool,
    files: &'static [(&'static str, HookForm)],
}

/// What a hook's file is.
#[derive(Clone, Copy)]
enum HookForm {
    /// A program that is called after a kernel or its headers came, or all its files went.
    Script,
    /// The same, called with the kernel's release as its image goes; its modules may stay. What is
    /// done with the package, the variable tells.
    DebianRemoval,
    /// systemd's, called with `add` or `remove` and the release, while all files are there.
    KernelInstall,
    /// Called before and after each change of packages.
    Apk,
    /// pacman's description of one.
    Pacman,
}

const HOOKS: [KernelHook; 5] = [
    // Debian's and Ubuntu's kernels and headers, and others' that follow them.
    KernelHook {
        is_here: |host| host.has("/etc/kernel/postinst.d"),
        files: &[
            ("/etc/kernel/postinst.d/zz-ashmem-module", HookForm::Script),
            ("/etc/kernel/postrm.d/zz-ashmem-module", HookForm::DebianRemoval),
            ("/etc/kernel/header_postinst.d/zz-ashmem-module", HookForm::Script),
        ],
    },
    // systemd's, which Fedora, openSUSE and others call. It comes after depmod's own, 50.
    KernelHook {
        is_here: |host| {
            host.has("/usr/lib/kernel/install.d") || host.program("kernel-install").is_some()
        },
        files: &[("/etc/kernel/install.d/55-ashmem-module.install", HookForm::KernelInstall)],
    },
    KernelHook {
        is_here: |host| host.program("pacman").is_some() && host.has("/etc/pacman.conf"),
        files: &[("/etc/pacman.d/hooks/75-ashmem-module.hook", HookForm::Pacman)],
    },
    KernelHook {
        is_here: |host| host.has("/etc/apk"),
        files: &[("/etc/apk/commit_hooks.d/ashmem-module", HookForm::Apk)],
    },
    // Void's.
    KernelHook {
        is_here: |host| host.has("/etc/kernel.d"),
        files: &[
            ("/etc/kernel.d/post-install/55-ashmem-module", HookForm::Script),
            ("/etc/kernel.d/post-remove/55-ashmem-module", HookForm::Script),
        ],
    },
];

/// Where this machine's hooks lie; none where it has no such thing that is known here.
pub fn paths(host: &Host) -> Vec<&'static str> {
    files(host).map(|(path, _)| path).collect()
}

fn files(host: &Host) -> impl Iterator<Item = (&'static str, HookForm)> {
    HOOKS.iter().filter(|hook| (hook.is_here)(host)).flat_map(|hook| hook.files.iter().copied())
}

/// Writes the hooks, and the program where it would not stay; the files written.
///
/// # Errors
/// One cannot be written, or the program not be read.
pub fn write(
    journal: &mut InstallJournal<'_>,
    machine: &TargetMachine,
) -> Result<Vec<String>, Error> {
    let hooks: Vec<_> = files(&machine.host).collect();
    let mut written = Vec::new();
    if hooks.is_empty() {
        (machine.say)(
            "no way is known to be called here when a kernel comes: after each kernel update, \
             sudo ashmem module install",
        );
        return Ok(written);
    }
    let program = lasting_program(journal, machine, &mut written)?;
    for (path, form) in hooks {
        let (text, mode) = text(&program, form);
        if machine.host.text(path).as_deref() != Some(text.trim()) {
            journal.write_file(path, text.as_bytes(), mode)?;
        }
        written.push(path.to_owned());
    }
    Ok(written)
}

/// The path by which the hooks call the program.
fn lasting_program(
    journal: &mut InstallJournal<'_>,
    machine: &TargetMachine,
    written: &mut Vec<String>,
) -> Result<String, Error> {
    let Some((file, path)) = &machine.program else { return Ok("ashmem".to_owned()) };
    let text = path.to_string_lossy();
    // A shell reads it.
    let is_plain = text.chars().all(|sign| sign.is_ascii_alphanumeric() || "/._+-".contains(sign));
    let stays =
        is_plain && (PLACES.iter().any(|place| path.starts_with(place)) || path == Path::new(COPY));
    if stays && machine.host.has(&text) {
        if text == COPY {
            written.push(COPY.to_owned());
        }
        return Ok(text.into_owned());
    }
    let mut bytes = Vec::new();
    let mut file = file;
    file.read_to_end(&mut bytes).map_err(|error| Error::file("reading", path, error))?;
    journal.write_file(COPY, &bytes, 0o755)?;
    written.push(COPY.to_owned());
    Ok(COPY.to_owned())
}

/// A hook's text and its file's mode.
fn text(program: &str, form: HookForm) -> (String, u32) {
    // What the program is given besides, as the shell's own words.
    let options = match form {
        HookForm::Script => "set --\n",
        HookForm::DebianRemoval => {
            "case \"$DEB_MAINT_PARAMS\" in\n\
             *upgrade*) set -- ;;\n\
             *) set -- ${1:+--gone \"$1\"} ;;\n\
             esac\n"
        }
        HookForm::KernelInstall => {
            "if [ \"$1\" = remove ]; then set -- --gone \"$2\"; else set --; fi\n"
        }
        HookForm::Apk => "[ \"$1\" = post-commit ] || exit 0\nset --\n",
        HookForm::Pacman => return (pacman(program), 0o644),
    };
    (script(program, options), 0o755)
}

/// A kernel's installation never fails for us.
fn script(program: &str, options: &str) -> String {
    format!(
        "#!/bin/sh\n\
         # Written by `ashmem module install`, removed by `ashmem module remove`: builds the\n\
         # module for the kernels that have come, and forgets those that have gone.\n\
         [ -x {program} ] || exit 0\n\
         {options}\
         {program} module install --no-load \"$@\" ||\n\
         \techo 'ashmem: the module was not built for every kernel, see above' >&2\n\
         exit 0\n"
    )
}

fn pacman(program: &str) -> String {
    format!(
        "# Written by `ashmem module install`, removed by `ashmem module remove`.\n\
         [Trigger]\n\
         Operation = Install\n\
         Operation = Upgrade\n\
         Operation = Remove\n\
         Type = Path\n\
         Target = usr/lib/modules/*/vmlinuz\n\
         Target = usr/lib/modules/*/build/Makefile\n\
         \n\
         [Action]\n\
         Description = Building ashmem_linux for each kernel...\n\
         When = PostTransaction\n\
         Exec = /bin/sh -c '[ ! -x {program} ] || {program} module install --no-load || :'\n"
    )
}

#[cfg(test)]
mod tests {
    use super::{HookForm, paths, text};
    use ashmem_doctor::Host;
    use std::fs;

    #[test]
    fn each_distribution_is_hooked_in_its_own_way() {
        for (mark, path) in [
            ("etc/kernel/postinst.d", "/etc/kernel/header_postinst.d/zz-ashmem-module"),
            ("usr/lib/kernel/install.d", "/etc/kernel/install.d/55-ashmem-module.install"),
            ("etc/apk", "/etc/apk/commit_hooks.d/ashmem-module"),
            ("etc/kernel.d", "/etc/kernel.d/post-install/55-ashmem-module"),
        ] {
            let root = tempfile::tempdir().expect("a folder");
            let host = Host::at(root.path()).expect("the root");
            assert!(paths(&host).is_empty());
            fs::create_dir_all(root.path().join(mark)).expect("folders");
            assert!(paths(&host).contains(&path), "{mark}");
        }
    }

    #[test]
    fn a_hook_is_a_script_that_fails_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("program");
        let run = |program: &str, form, parameters: &str, words: &[&str]| {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &text(program, form).0, "hook"]).args(words);
            let output = shell.env("DEB_MAINT_PARAMS", parameters).output().expect("a shell");
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        let path = program.to_str().expect("a name");
        let forms =
            [HookForm::Script, HookForm::DebianRemoval, HookForm::KernelInstall, HookForm::Apk];
        for form in forms {
            assert_eq!(run(path, form, "", &["remove", "6.1"]), "", "without the program, nothing");
        }
        fs::write(&program, "#!/bin/sh\necho \"$*\"\nexit 1\n").expect("a program");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&program, mode).expect("it is ours");
        const ALL: &str = "module install --no-load\n";
        const GONE: &str = "module install --no-load --gone 6.1\n";
        for (form, parameters, words, wanted) in [
            (HookForm::Script, "configure", &["6.1", "/boot/vmlinuz-6.1"][..], ALL),
            (HookForm::DebianRemoval, "remove", &["6.1", "/boot/vmlinuz-6.1"], GONE),
            (HookForm::DebianRemoval, "purge", &["6.1"], GONE),
            (HookForm::DebianRemoval, "upgrade 6.1.2", &["6.1", "/boot/vmlinuz-6.1"], ALL),
            (HookForm::DebianRemoval, "", &[], ALL),
            (HookForm::KernelInstall, "", &["add", "6.1", "/boot", "/vmlinuz"], ALL),
            (HookForm::KernelInstall, "", &["remove", "6.1", "/boot"], GONE),
            (HookForm::Apk, "", &["post-commit"], ALL),
            (HookForm::Apk, "", &["pre-commit"], ""),
        ] {
            assert_eq!(run(path, form, parameters, words), wanted, "{parameters} {words:?}");
        }
    }
}
