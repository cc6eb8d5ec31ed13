// SPDX-License-Identifier: MIT OR Apache-2.0
//! `packaging/dkms/modules` on a tree of kernels in a temporary folder: what it may touch, and what
//! it leaves where something fails. modinfo reads real objects; dkms and depmod are stand-ins that
//! fail when they are told to. The trials of the packages run all of it for real, and need root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const KERNEL: &str = "6.1.0-test";

/// Keeps what was installed as DKMS does, in the version's folder.
const DKMS: &str = r#"#!/bin/sh
verb=$1 version= kernel=
shift
while [ $# -gt 0 ]; do
	case $1 in
	-v) version=$2; shift ;;
	-k) kernel=$2; shift ;;
	esac
	shift
done
case " $FAILS " in *" $verb "*) echo "$verb: told to fail" >&2; exit 5 ;; esac
there=$ROOT/dkms/ashmem/$version
place=$ROOT/modules/$kernel/updates/dkms
case $verb in
add) mkdir -p "$there/source" && echo ASHMEM_RUST >"$there/source/dkms.conf" ;;
install)
	mkdir -p "$place" && cp "$ROOT/new.ko" "$place/ashmem_linux.ko"
	echo "$place/ashmem_linux.ko" >"$there/installed"
	;;
remove) [ ! -e "$there/installed" ] || rm -f "$(cat "$there/installed")" ;;
esac
"#;

struct Tree {
    root: PathBuf,
}

impl Tree {
    /// With one kernel that has headers and no module.
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("ashmem-{name}-{}", std::process::id()));
        let tree = Self { root };
        for folder in ["bin", "kernel", "build/include"] {
            let place = match folder {
                "bin" => tree.root.join(folder),
                _ => tree.kernel().join(folder),
            };
            fs::create_dir_all(place).expect("a folder");
        }
        tree.program("bin/dkms", DKMS);
        tree.program(
            "bin/depmod",
            "#!/bin/sh\ncase \" $FAILS \" in *\" depmod \"*) exit 1;; esac\n",
        );
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/dkms/modules");
        let text = fs::read_to_string(source).expect("the script");
        let there = tree.root.display();
        let text = text
            .replace("@VERSION@", "2")
            .replace("modules=/lib/modules", &format!("modules={there}/modules"))
            .replace("/var/lib/dkms/ashmem", &format!("{there}/dkms/ashmem"))
            .replace("/var/lib/ashmem/module/manifest.json", &format!("{there}/manifest.json"));
        assert!(
            !text.contains("=/var/lib") && !text.contains("=/lib"),
            "it would leave its folder"
        );
        tree.program("modules.sh", &text);
        tree.object("old.ko", "1", "The ashmem-linux authors");
        tree.object("new.ko", "2", "The ashmem-linux authors");
        tree.object("foreign.ko", "7", "Another project");
        tree
    }

    fn kernel(&self) -> PathBuf {
        self.root.join("modules").join(KERNEL)
    }

    fn program(&self, name: &str, text: &str) {
        let file = self.root.join(name);
        fs::write(&file, text).expect("a program");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    /// What modinfo reads of a module.
    fn object(&self, name: &str, version: &str, author: &str) {
        let source = self.root.join("module.c");
        let text = format!(
            "const char a[] __attribute__((section(\".modinfo\"))) = \"author={author}\";\n\
             const char v[] __attribute__((section(\".modinfo\"))) = \"version={version}\";\n"
        );
        fs::write(&source, text).expect("a source");
        let mut gcc = Command::new("gcc");
        gcc.arg("-c").arg(&source).arg("-o").arg(self.root.join(name));
        assert!(gcc.status().expect("gcc starts").success());
    }

    /// Lays an object into the kernel's folder.
    fn lay(&self, object: &str, place: &str) {
        let place = self.kernel().join(place);
        fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        fs::copy(self.root.join(object), place).expect("a copy");
    }

    /// The version before, as DKMS has it.
    fn install_old(&self) {
        self.lay("old.ko", "updates/dkms/ashmem_linux.ko");
        let known = self.root.join("dkms/ashmem/1/source");
        fs::create_dir_all(&known).expect("a folder");
        fs::write(known.join("dkms.conf"), "ASHMEM_RUST").expect("a file");
        let place = self.kernel().join("updates/dkms/ashmem_linux.ko");
        fs::write(self.root.join("dkms/ashmem/1/installed"), place.as_os_str().as_encoded_bytes())
            .expect("a file");
    }

    fn run(&self, words: &[&str], fails: &str) -> Output {
        let path = format!("{}/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.root.display());
        let mut script = Command::new("sh");
        script.arg(self.root.join("modules.sh")).args(words);
        script.env("PATH", path).env("ROOT", &self.root).env("FAILS", fails);
        script.output().expect("sh starts")
    }

    /// Whether this object lies there.
    fn has(&self, object: &str, place: &str) -> bool {
        fs::read(self.kernel().join(place)).ok() == fs::read(self.root.join(object)).ok()
    }

    fn holds(&self, place: &str) -> bool {
        self.kernel().join(place).exists()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const DKMS_PLACE: &str = "updates/dkms/ashmem_linux.ko";

#[test]
fn an_upgrade_replaces_the_version_before_and_a_removal_leaves_nothing() {
    let tree = Tree::new("upgrade");
    tree.install_old();
    let output = tree.run(&["install", "rpm"], "");
    assert!(output.status.success(), "{}", said(&output));
    assert!(tree.has("new.ko", DKMS_PLACE));
    assert!(!tree.root.join("dkms/ashmem/1").exists(), "DKMS still knows the version before");
    assert!(tree.run(&["remove", "rpm"], "").status.success());
    assert!(!tree.holds(DKMS_PLACE) && !tree.root.join("dkms/ashmem").exists());
}

#[test]
fn what_cannot_be_built_leaves_the_module_in_place() {
    for fails in ["add", "build", "install", "build depmod"] {
        for family in ["debian", "rpm", "arch"] {
            let tree = Tree::new(&format!("fails-{}-{family}", fails.replace(' ', "-")));
            tree.install_old();
            if family == "debian" {
                let output = tree.run(&["withdraw", family], "");
                assert!(output.status.success() && !tree.holds(DKMS_PLACE), "{}", said(&output));
            }
            let output = tree.run(&["install", family], fails);
            assert!(!output.status.success(), "{fails}");
            assert!(said(&output).contains("stays in place"), "{fails}: {}", said(&output));
            assert!(tree.has("old.ko", DKMS_PLACE), "{fails} of {family}: {}", said(&output));
            let again = tree.run(&["install", family], "");
            assert!(again.status.success() && tree.has("new.ko", DKMS_PLACE), "{}", said(&again));
            let left = fs::read_dir(tree.kernel()).expect("a folder").flatten();
            assert!(
                !left
                    .into_iter()
                    .any(|file| { file.file_name().to_string_lossy().starts_with("kept-") })
            );
        }
    }
}

#[test]
fn a_removal_goes_on_where_depmod_fails() {
    let tree = Tree::new("depmod");
    // Restored once, so that DKMS does not know it.
    tree.lay("old.ko", DKMS_PLACE);
    let output = tree.run(&["remove", "rpm"], "depmod");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("depmod -a 6.1.0-test"), "{}", said(&output));
    assert!(!tree.holds("updates"), "an empty folder is left");
}

#[test]
fn a_module_of_another_project_stays() {
    for family in ["debian", "rpm", "arch"] {
        for place in [DKMS_PLACE, "updates/ashmem_linux.ko", "extra/ashmem_linux.ko"] {
            let tree = Tree::new(&format!("foreign-{family}-{}", place.replace('/', "-")));
            tree.lay("foreign.ko", place);
            let output = tree.run(&["remove", family], "");
            assert!(output.status.success(), "{}", said(&output));
            assert!(tree.has("foreign.ko", place), "{family} took {place}");
        }
    }
}

#[test]
fn a_module_that_was_put_there_by_hand_stays_where_dkms_puts_none() {
    for family in ["debian", "arch"] {
        for place in ["updates/ashmem_linux.ko", "extra/ashmem_linux.ko"] {
            let tree = Tree::new(&format!("hand-{family}-{}", place.replace('/', "-")));
            tree.lay("old.ko", place);
            assert!(tree.run(&["remove", family], "").status.success());
            assert!(tree.has("old.ko", place), "{family} took {place}");
        }
    }
}

#[test]
fn a_version_of_another_project_that_dkms_knows_stays() {
    let tree = Tree::new("other-dkms");
    let known = tree.root.join("dkms/ashmem/9/source");
    fs::create_dir_all(&known).expect("a folder");
    fs::write(known.join("dkms.conf"), "PACKAGE_NAME=ashmem\n").expect("a file");
    assert!(tree.run(&["remove", "rpm"], "").status.success());
    assert!(known.join("dkms.conf").exists());
}

#[test]
fn what_another_installation_has_is_neither_taken_nor_built_over() {
    let tree = Tree::new("others");
    fs::write(tree.root.join("manifest.json"), "{}").expect("a file");
    tree.lay("old.ko", DKMS_PLACE);
    assert!(!tree.run(&["install", "rpm"], "").status.success());
    assert!(tree.run(&["remove", "rpm"], "").status.success());
    assert!(tree.has("old.ko", DKMS_PLACE));
}
