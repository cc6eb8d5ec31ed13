// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs in another root directory: one that starts there, and one that goes there.

use super::{ASHMEM, builds, finish, output, unprivileged};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A root file system without any library: the static client, busybox, and what `/dev` holds.
struct RootDir(PathBuf);

impl RootDir {
    fn new(name: &str, client: &Path) -> Self {
        let root = std::env::temp_dir().join(format!("ashmem-root-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("bin")).expect("a folder");
        fs::create_dir_all(root.join("dev/pts")).expect("a folder");
        fs::create_dir_all(root.join("tmp")).expect("a folder");
        fs::copy(client, root.join("bin/client")).expect("the client");
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("a static busybox");
        for applet in ["sh", "ls", "stat", "cat"] {
            symlink("busybox", root.join("bin").join(applet)).expect("a link");
        }
        fs::write(root.join("dev/here"), "of this root").expect("a file");
        symlink("here", root.join("dev/link")).expect("a link");
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("ours");
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o777)).expect("ours");
        Self(root)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }

    /// `ashmem run` of a command that starts here.
    fn run(&self, options: &[&str], words: &[&str]) -> Command {
        let mut command = Command::new(ASHMEM);
        command.arg("run").args(options).arg("--root").arg(&self.0).arg("--").args(words);
        command
    }

    /// What lies in `/dev`, as everybody else sees it.
    fn dev(&self) -> Vec<(String, u64, u64)> {
        let entries = fs::read_dir(self.at("dev")).expect("it is there").flatten();
        let mut found: Vec<_> = entries
            .map(|entry| {
                let status = entry.metadata().expect("it is there");
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, status.rdev(), status.mtime_nsec() as u64)
            })
            .collect();
        found.sort();
        found
    }
}

impl Drop for RootDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn said(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{error}")
}

/// The command as root, where this is root, and as nobody.
fn by_everybody(make: impl Fn() -> Command) -> Vec<Command> {
    let mut commands = vec![make()];
    if rustix::process::geteuid().is_root() {
        commands.extend(unprivileged(make()));
    }
    commands
}

#[test]
fn a_program_that_starts_in_another_root_finds_both_names() {
    let Some(client) = &builds()[1].program else { return };
    let root = RootDir::new("starts", client);
    // Whatever a name leads to in that root, the program sees the device.
    fs::write(root.at("dev/ashmem"), "no device").expect("a file");
    let before = root.dev();
    for inside in ["at-once", "never"] {
        for verb in ["round-trip", "relative", "threads", "pass", "written"] {
            let options = ["--inside", inside];
            for command in by_everybody(|| root.run(&options, &["/bin/client", verb])) {
                let output = output(command);
                assert!(output.status.success(), "{verb} {inside}: {}", said(&output));
            }
        }
    }
    let shown = "pwd; ls /dev; cat /dev/link; stat -c %F /dev/ashmem; stat -c %F /dev/ashmem?*";
    for command in by_everybody(|| root.run(&[], &["sh", "-c", shown])) {
        let output = output(command);
        let text = said(&output);
        assert!(text.starts_with("/\nashmem\nashmem") && output.status.success(), "{text}");
        assert!(text.contains("\nhere\nlink\npts\nof this root"), "{text}");
        assert_eq!(text.matches("character special file").count(), 2, "{text}");
    }
    assert_eq!(root.dev(), before, "nothing is written there");
}

#[test]
fn a_root_without_dev_and_a_run_without_namespaces_have_the_device() {
    let Some(client) = &builds()[1].program else { return };
    let root = RootDir::new("bare", client);
    fs::remove_dir_all(root.at("dev")).expect("it was ours");
    let verbs = ["round-trip", "threads", "pass"];
    for verb in verbs {
        for command in by_everybody(|| root.run(&[], &["/bin/client", verb])) {
            let output = output(command);
            assert!(output.status.success(), "{verb}: {}", said(&output));
        }
    }
    assert!(!root.at("dev").exists());
    if rustix::process::geteuid().is_root() {
        for verb in verbs {
            let output = output(root.run(&["--namespace", "never"], &["/bin/client", verb]));
            assert!(output.status.success(), "{verb}: {}", said(&output));
        }
    }
}

#[test]
fn a_link_at_dev_leads_nowhere_outside_the_root() {
    let Some(client) = &builds()[1].program else { return };
    let root = RootDir::new("link", client);
    fs::remove_dir_all(root.at("dev")).expect("it was ours");
    fs::create_dir(root.at("etc")).expect("a folder");
    symlink("/etc", root.at("dev")).expect("a link");
    // In the root /etc is its own; what is mounted there the program alone sees.
    for command in by_everybody(|| root.run(&[], &["/bin/client", "round-trip"])) {
        let output = output(command);
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(fs::read_dir(root.at("etc")).expect("it is there").count(), 0);
}

#[test]
fn a_root_that_is_none_is_named() {
    let mut command = Command::new(ASHMEM);
    command.args(["run", "--root", "/no/such/folder", "--", "true"]);
    let output = output(command);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(125), "{text}");
    assert!(text.contains("--root /no/such/folder: No such file"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_program_that_changes_its_root_finds_the_device_or_is_told_why_not() {
    let Some(client) = &builds()[1].program else { return };
    if !rustix::process::geteuid().is_root() {
        return eprintln!("skipped: only root changes its root");
    }
    let root = RootDir::new("changes", client);
    let chroot = root.0.display().to_string();
    let run = |inside: &str, words: &[&str]| {
        let mut command = Command::new(ASHMEM);
        command.args(["run", "--inside", inside, "--", "chroot", &chroot]).args(words);
        output(command)
    };
    for inside in ["at-once", "never"] {
        // stat of the path finds nothing there, so round-trip is not among them.
        for verb in ["threads", "pass", "written"] {
            let output = run(inside, &["/bin/client", verb]);
            assert!(output.status.success(), "{verb} {inside}: {}", said(&output));
        }
    }
    // Another file is what it is.
    fs::write(root.at("dev/ashmem"), "no device").expect("a file");
    for inside in ["at-once", "never"] {
        let script = "for n in 1 2; do exec 3<>/dev/ashmem; cat <&3; done; /bin/client threads; \
                      /bin/client threads";
        let output = run(inside, &["/bin/sh", "-c", script]);
        let text = said(&output);
        assert!(text.contains("no deviceno device"), "{inside}: {text}");
        let hint = format!("in the root directory {:?}, where another file lies", root.0);
        assert_eq!(text.matches(&hint).count(), 1, "{inside}: {text}");
        assert!(text.contains("ashmem run --root DIR"), "{inside}: {text}");
    }
    // Where nobody can be told, for the disk is full, the program gets its answer all the same.
    let mut command = Command::new(ASHMEM);
    command.args(["run", "--", "chroot", &chroot, "/bin/sh", "-c"]);
    command.arg("/bin/client threads; exec 3<>/dev/ashmem; cat <&3").stdout(Stdio::piped());
    let full = fs::File::options().write(true).open("/dev/full").expect("every Linux has it");
    let output = finish(command.stderr(full).spawn().expect("starting"));
    let text = said(&output);
    assert!(output.status.success() && text.ends_with("no device"), "{:?} {text}", output.status);
}
