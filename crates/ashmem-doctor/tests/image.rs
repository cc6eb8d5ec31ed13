// SPDX-License-Identifier: MIT OR Apache-2.0
//! Images of Android as `ashmem doctor --image` reads them: a directory, ext4, sparse ext4; what is
//! damaged, and what is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ashmem_doctor::image::{ImageReport, MemfdRule, NodeRule};
use ashmem_doctor::screen::ImageScreen;
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, SectionKind};

/// The words that tell the versions of libcutils apart.
const THIRTEEN: &[&str] = &[
    "/dev/ashmem",
    "/proc/sys/kernel/random/boot_id",
    "sys.use_memfd",
    "ro.vndk.version",
    "memfd: device VNDK version (%s) is < Q so using ashmem.",
];
const SIXTEEN: &[&str] = &[
    "/dev/ashmem",
    "/proc/sys/kernel/random/boot_id",
    "sys.use_memfd",
    "ro.treble.enabled",
    "ioctl(ASHMEM_GET_SIZE): %d != buf_size: %zd , no ashmem-memfd compat support",
];
const NINE: &[&str] = &["/dev/ashmem"];

struct Android(tempfile::TempDir);

impl Android {
    /// With the words of a libcutils and a property for memfd.
    fn new(release: u32, api: u32, words: &[&str], property: &str) -> Self {
        let root = Self(tempfile::tempdir().expect("a folder"));
        root.file(
            "system/build.prop",
            format!("# made\nro.build.version.release={release}\nro.build.version.sdk={api}\n"),
        );
        root.file("system/lib64/libcutils.so", library(words));
        root.file("vendor/build.prop", format!("{property}\n"));
        root.file(
            "system/etc/init/hw/init.rc",
            "on post-fs-data\n    # setprop sys.use_memfd true\n    setprop sys.use_memfd false\n",
        );
        root.file("system/etc/seccomp_policy/mediaextractor.policy", "ioctl: 1\n");
        root.file("vendor/etc/seccomp_policy/codec2.policy", "memfd_create: 1\n");
        root
    }

    fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        fs::write(path, content).expect("a file");
    }

    fn report(&self) -> ImageReport {
        ImageReport::make(self.0.path()).expect("it is read")
    }

    /// An ext4 with these files; `None` where no mkfs.ext4 is.
    fn ext4(&self, folder: &Path) -> Option<PathBuf> {
        let image = folder.join("android.img");
        let made = Command::new("mkfs.ext4")
            .args(["-q", "-d"])
            .arg(self.0.path())
            .arg(&image)
            .arg("8M")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match made {
            Ok(status) if status.success() => Some(image),
            _ => {
                eprintln!("skipped: mkfs.ext4 makes no image here (e2fsprogs)");
                None
            }
        }
    }
}

/// An ELF file of x86-64 with words in it.
fn library(words: &[&str]) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = object.add_section(Vec::new(), b".rodata".to_vec(), SectionKind::ReadOnlyData);
    object.append_section_data(section, words.join("\0").as_bytes(), 1);
    object.write().expect("an object file")
}

fn serves(report: &ImageReport, way: &str) -> bool {
    report.ways.iter().find(|known| known.way == way).expect("each way is judged").serves
}

#[test]
fn each_version_is_known_by_its_words() {
    let thirteen = Android::new(13, 33, THIRTEEN, "ro.vndk.version=33").report();
    assert_eq!((thirteen.android.as_deref(), thirteen.api), (Some("13"), Some(33)));
    assert_eq!(thirteen.libcutils[0].nodes, NodeRule::BootIdThenPlain);
    assert_eq!(thirteen.libcutils[0].memfd, MemfdRule::Vndk);
    assert_eq!(thirteen.machine, Some("x86_64"));
    assert_eq!(thirteen.largest_pages, Some(thirteen.libcutils[0].page_alignment));
    let is_large = rustix::param::page_size() as u64 > thirteen.libcutils[0].page_alignment;
    assert_eq!(thirteen.fits_this_machines_pages, Some(!is_large));
    // Its media extractor's policy kills memfd_create: the device serves, memfd alone does not.
    assert!(serves(&thirteen, "module") && !serves(&thirteen, "memfd"));
    let forbids = |policy: &&ashmem_doctor::image::SeccompPolicy| !policy.allows_memfd;
    assert_eq!(thirteen.seccomp.iter().filter(forbids).count(), 1);
    assert_eq!(thirteen.use_memfd.len(), 1);
    assert_eq!(
        (&*thirteen.use_memfd[0].on, &*thirteen.use_memfd[0].value),
        ("post-fs-data", "false")
    );

    let sixteen = Android::new(16, 36, SIXTEEN, "ro.treble.enabled=true").report();
    assert_eq!(sixteen.libcutils[0].nodes, NodeRule::BootId);
    assert_eq!(sixteen.libcutils[0].memfd, MemfdRule::WithIoctls);
    assert!(serves(&sixteen, "agent") && !serves(&sixteen, "memfd"));

    let nine = Android::new(9, 28, NINE, "").report();
    assert_eq!(nine.libcutils[0].nodes, NodeRule::Plain);
    assert_eq!(nine.libcutils[0].memfd, MemfdRule::Never);
}

#[test]
fn an_ext4_and_a_sparse_one_say_the_same() {
    let android = Android::new(13, 33, THIRTEEN, "ro.vndk.version=33");
    android.file("system/etc/seccomp_policy/mediaextractor.policy", "memfd_create: 1\n");
    let folder = tempfile::tempdir().expect("a folder");
    let Some(image) = android.ext4(folder.path()) else { return };
    let bytes = fs::read(&image).expect("the image");
    let sparse = folder.path().join("sparse.img");
    fs::write(&sparse, sparsely(&bytes)).expect("a file");
    assert!(fs::metadata(&sparse).expect("it").len() < bytes.len() as u64 / 2);
    for (path, form) in [(&image, "ext4"), (&sparse, "sparse")] {
        let report = ImageReport::make(path).expect("it is read");
        assert_eq!((report.form, report.api), (form, Some(33)));
        assert_eq!(report.vndk_version.as_deref(), Some("33"));
        assert!(serves(&report, "memfd"), "{report:?}");
    }
    // vendor.img beside system.img stands at /vendor.
    let parts = tempfile::tempdir().expect("a folder");
    let vendor = Android(tempfile::tempdir().expect("a folder"));
    vendor.file("build.prop", "ro.vndk.version=31\n");
    fs::copy(&image, parts.path().join("system.img")).expect("a copy");
    fs::rename(vendor.ext4(folder.path()).expect("as before"), parts.path().join("vendor.img"))
        .expect("a move");
    let report = ImageReport::make(&parts.path().join("system.img")).expect("it is read");
    assert_eq!(report.vndk_version.as_deref(), Some("31"));
}

#[test]
fn what_is_no_image_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.img");
    let mut erofs = vec![0; 4096];
    erofs[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    let mut ext4 = vec![0; 4096];
    ext4[1080..1082].copy_from_slice(&[0x53, 0xef]);
    for (bytes, words) in [
        (b"hello".to_vec(), "holds no ext4"),
        (Vec::new(), "holds no ext4"),
        (erofs, "mount -o loop,ro"),
        (ext4, "cannot be read"),
        (vec![0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0], "x.img"),
    ] {
        fs::write(&path, bytes).expect("a file");
        let error = ImageReport::make(&path).expect_err("it is none").to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(ImageReport::make(&folder.path().join("none")).is_err());
    let empty = ImageReport::make(folder.path()).expect("a directory is looked at");
    assert!(!empty.is_android() && !empty.missing.is_empty());
    let screen = ImageScreen(&empty).to_string();
    assert!(screen.contains("No Android is seen") && screen.contains("build.prop"), "{screen}");
    assert!(!screen.contains("not set"), "a table of nothing: {screen}");
}

#[test]
fn links_of_an_image_lead_nowhere_else() {
    let android = Android::new(13, 33, THIRTEEN, "");
    let secret = tempfile::NamedTempFile::new().expect("a file");
    fs::write(secret.path(), "ro.vndk.version=stolen\n").expect("a text");
    let vendor = android.0.path().join("vendor/build.prop");
    fs::remove_file(&vendor).expect("it goes");
    std::os::unix::fs::symlink(secret.path(), &vendor).expect("a link");
    assert_eq!(android.report().vndk_version, None);
}

/// As img2simg does: blocks of zeros are left out.
fn sparsely(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 4096;
    let blocks: Vec<_> = bytes.chunks(BLOCK).collect();
    let mut image = vec![0x3a, 0xff, 0x26, 0xed, 1, 0, 0, 0, 28, 0, 12, 0, 0, 16, 0, 0];
    for number in [blocks.len(), blocks.len(), 0] {
        image.extend_from_slice(&(number as u32).to_le_bytes());
    }
    for block in blocks {
        let is_zero = block.iter().all(|byte| *byte == 0);
        let (kind, data) = if is_zero { (0xcac3_u16, &[][..]) } else { (0xcac1, block) };
        image.extend_from_slice(&kind.to_le_bytes());
        image.extend_from_slice(&[0, 0, 1, 0, 0, 0]);
        image.extend_from_slice(&(12 + data.len() as u32).to_le_bytes());
        image.extend_from_slice(data);
    }
    image
}
