// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which backend a process takes: the variable, what stands at `/dev/ashmem`, and who may decide.
//!
//! The choice is made once in a process, so each case starts this program anew in a [`Role`].

use crate::surroundings::{Case, Outcome, Provider, Surroundings, same};
use anyhow::{Context, Result, ensure};
use ashmem::{Backend, Error, Region};
use clap::ValueEnum;
use rustix::fs::{Mode, chmod, chown};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Resource, Rlimit};
use rustix::thread::UnshareFlags;
use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

pub(crate) const CASES: &[Case] = &[
    ("ASHMEM_BACKEND: auto, empty and unset take the device where there is one", auto),
    ("ASHMEM_BACKEND: memfd and device are obeyed, anything else is EINVAL", obeyed),
    ("ASHMEM_BACKEND: a set-user-ID program ignores it", set_user_id),
    ("auto: without a free descriptor nothing is decided", exhausted),
    ("auto: what only has the device's name is not taken for it", impostor),
    ("auto: when the device goes, memfd takes over until it is back", gone),
];

/// What the program does when a case starts it anew. It prints one word.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Role {
    /// Make a region; print what of, or the error's number
    Create,
    /// The same with no descriptor free, then with some
    Exhausted,
    /// The same in a /dev of its own where a file has the device's name
    File,
    /// The same where the null device has it
    Null,
    /// Make regions while the device goes and comes
    Gone,
}

pub(crate) fn play(role: Role) -> ExitCode {
    let word = match role {
        Role::Create => Ok(create()),
        Role::Exhausted => without_descriptors(),
        Role::File => {
            private_dev(|| fs::write("/dev/ashmem", "").context("making a file")).map(|()| create())
        }
        Role::Null => private_dev(|| node(c"/dev/ashmem", 1, 3)).map(|()| create()),
        Role::Gone => come_and_go(),
    };
    match word {
        Ok(word) => {
            println!("{word}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Makes a region: what it is made of, or the error in a word.
fn create() -> String {
    match Region::create(c"choice", 4096) {
        Ok(region) => match region.backend() {
            Backend::Device => "device".to_owned(),
            Backend::Memfd => "memfd".to_owned(),
        },
        Err(Error::NoDevice(errno)) => format!("no device: {}", errno.raw_os_error()),
        Err(Error::UnknownBackend) => "unknown".to_owned(),
        Err(error) => error.errno().raw_os_error().to_string(),
    }
}

/// The word of this program in that role, with the variable set so.
fn ask(program: &Path, role: &str, variable: Option<&str>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(["--role", role]).env_remove("ASHMEM_BACKEND");
    if let Some(value) = variable {
        command.env("ASHMEM_BACKEND", value);
    }
    let output = command.output().with_context(|| format!("starting {}", program.display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "as {role}: {}: {}", output.status, complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn ourselves() -> Result<PathBuf> {
    env::current_exe().context("finding this program")
}

const fn word(backend: Backend) -> &'static str {
    match backend {
        Backend::Device => "device",
        Backend::Memfd => "memfd",
    }
}

fn auto(surroundings: &Surroundings) -> Result<Outcome> {
    for variable in [None, Some(""), Some("auto")] {
        let taken = ask(&ourselves()?, "create", variable)?;
        same("the backend", taken.as_str(), word(surroundings.backend()))?;
    }
    Ok(Outcome::Held)
}

fn obeyed(surroundings: &Surroundings) -> Result<Outcome> {
    same("memfd", ask(&ourselves()?, "create", Some("memfd"))?.as_str(), "memfd")?;
    let device = if surroundings.has_device() { "device" } else { "no device: 2" };
    same("device", ask(&ourselves()?, "create", Some("device"))?.as_str(), device)?;
    for value in ["Memfd", "ashmem", " memfd", "auto,memfd"] {
        same(value, ask(&ourselves()?, "create", Some(value))?.as_str(), "unknown")?;
    }
    Ok(Outcome::Held)
}

fn set_user_id(surroundings: &Surroundings) -> Result<Outcome> {
    if !rustix::process::getuid().is_root() {
        return Ok(Outcome::Skipped("making a program of another user's needs root"));
    }
    let folder = env::temp_dir().join(format!("ashmem-set-user-id-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let program = folder.join("program");
    let nobody = Some(rustix::fs::Uid::from_raw(65534));
    let asked = fs::copy(ourselves()?, &program).context("copying this program").and_then(|_| {
        chown(&program, nobody, None).context("giving it to nobody")?;
        chmod(&program, Mode::from_raw_mode(0o4755)).context("setting its mode")?;
        chmod(&folder, Mode::from_raw_mode(0o755)).context("opening its folder")?;
        ask(&program, "create", Some("memfd-or-so"))
    });
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    let asked = asked?;
    if asked == "unknown" {
        return Ok(Outcome::Skipped("programs gain no rights here (nosuid or no_new_privs)"));
    }
    same("what it takes", asked.as_str(), word(surroundings.backend()))?;
    Ok(Outcome::Held)
}

fn exhausted(surroundings: &Surroundings) -> Result<Outcome> {
    let words = format!("24 {}", word(surroundings.backend()));
    same("without and with descriptors", ask(&ourselves()?, "exhausted", None)?, words)?;
    Ok(Outcome::Held)
}

fn without_descriptors() -> Result<String> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let none = Rlimit { current: Some(3), maximum: limit.maximum };
    rustix::process::setrlimit(Resource::Nofile, none).context("lowering the limit")?;
    let first = create();
    rustix::process::setrlimit(Resource::Nofile, limit).context("raising the limit again")?;
    Ok(format!("{first} {}", create()))
}

fn impostor(surroundings: &Surroundings) -> Result<Outcome> {
    if let Some(reason) = no_private_dev(surroundings) {
        return Ok(Outcome::Skipped(reason));
    }
    for role in ["file", "null"] {
        same(role, ask(&ourselves()?, role, None)?.as_str(), "memfd")?;
        // ENODEV: something is there, and it is not the device.
        same(role, ask(&ourselves()?, role, Some("device"))?.as_str(), "no device: 19")?;
    }
    Ok(Outcome::Held)
}

fn gone(surroundings: &Surroundings) -> Result<Outcome> {
    if surroundings.provider != Provider::Module {
        return Ok(Outcome::Skipped("only a node can be taken away"));
    }
    same("there, gone, back", ask(&ourselves()?, "gone", None)?.as_str(), "device memfd device")?;
    same(
        "there, gone, back",
        ask(&ourselves()?, "gone", Some("device"))?.as_str(),
        "device no device: 2 device",
    )?;
    Ok(Outcome::Held)
}

fn come_and_go() -> Result<String> {
    let there = create();
    fs::rename("/dev/ashmem", "/dev/elsewhere").context("taking the node away")?;
    let gone = create();
    fs::rename("/dev/elsewhere", "/dev/ashmem").context("putting the node back")?;
    Ok(format!("{there} {gone} {}", create()))
}

fn no_private_dev(surroundings: &Surroundings) -> Option<&'static str> {
    match surroundings.provider {
        Provider::Run => Some("ashmem run answers for the path, whatever is there"),
        _ if !rustix::process::getuid().is_root() => Some("a /dev of its own needs root"),
        _ => None,
    }
}

/// Gives this process an empty `/dev` of its own and has it filled.
fn private_dev(fill: impl FnOnce() -> Result<()>) -> Result<()> {
    // SAFETY: one thread, which takes nothing along but its mounts.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
        .context("leaving the mount namespace")?;
    let apart = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", apart).context("keeping mounts to ourselves")?;
    rustix::mount::mount(c"tmpfs", c"/dev", c"tmpfs", MountFlags::empty(), None)
        .context("mounting over /dev")?;
    fill()
}

fn node(path: &CStr, major: u32, minor: u32) -> Result<()> {
    let device = rustix::fs::makedev(major, minor);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::CharacterDevice,
        Mode::from_raw_mode(0o666),
        device,
    )
    .context("making a node")
}
