// SPDX-License-Identifier: MIT OR Apache-2.0
//! Docker: a daemon that is started for a step and leaves nothing, and this host's own where one
//! answers.
//!
//! Debian's package is unpacked into the cache and never installed: installed it would start a
//! service, which changes the host's network. The daemon here has no bridge and no rules of a
//! firewall, and everything of it lies in the step's folder.

use super::world::{first_line, wait_for};
use crate::debian::archive::{Archive, DEBIAN};
use crate::util::arch::Arch;
use crate::util::{process, workspace};
use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What is unpacked. containerd and runc are this host's.
const PACKAGES: [&str; 2] = ["docker.io", "libdevmapper1.02.1"];
/// Changes whenever the folder would come out differently.
const RECIPE: u32 = 1;
/// How long an end of the daemon may take that leaves no mount behind.
const END: Duration = Duration::from_secs(30);

/// A daemon, and how its client is called.
pub(super) struct Docker {
    /// The client, with its options.
    client: Vec<String>,
    _daemon: Option<Daemon>,
}

/// The daemon that was started here.
struct Daemon {
    child: Child,
    said: PathBuf,
}

impl Docker {
    /// This host's daemon, if it answers.
    pub(super) fn of_host() -> Option<Self> {
        let docker = Self { client: vec!["docker".to_owned()], _daemon: None };
        docker.answers().then_some(docker)
    }

    /// A daemon with all it has in this folder.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let unpacked = unpacked()?;
        let folder = folder.join("docker");
        fs::create_dir_all(&folder).context("making a folder for Docker")?;
        let at = |name: &str| folder.join(name).display().to_string();
        let socket = format!("unix://{}", at("docker.sock"));
        let said = folder.join("said");
        let output = fs::File::create(&said).context("making a file for what Docker says")?;
        let mut path = unpacked.join("bin").into_os_string();
        path.push(":");
        path.push(unpacked.join("sbin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(unpacked.join("sbin/dockerd"));
        command
            .env("PATH", path)
            .env("LD_LIBRARY_PATH", unpacked.join("lib/x86_64-linux-gnu"))
            .args(["--host", &socket, "--data-root", &at("data"), "--exec-root", &at("run")])
            .args(["--pidfile", &at("pid"), "--config-file", &at("daemon.json")])
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false"])
            .args(["--ip-forward=false", "--storage-driver", "vfs"])
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing that file")?)
            .stderr(output);
        fs::write(at("daemon.json"), "{}\n").context("writing Docker's configuration")?;
        let child =
            command.spawn().with_context(|| format!("starting {}", process::line(&command)))?;
        let client = unpacked.join("bin/docker").display().to_string();
        let docker = Self {
            client: vec![client, "--config".to_owned(), at("client"), "--host".to_owned(), socket],
            _daemon: Some(Daemon { child, said: said.clone() }),
        };
        wait_for("an answer of Docker's daemon", || docker.answers()).with_context(|| {
            let said = fs::read(&said).unwrap_or_default();
            format!("Docker's daemon says:\n{}", process::tail(&said))
        })?;
        Ok(docker)
    }

    /// The client with this verb.
    pub(super) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.client[0]);
        command.args(&self.client[1..]).arg(verb);
        command
    }

    /// The same as words, with what follows.
    pub(super) fn words(&self, words: &[&str]) -> Vec<String> {
        let given = words.iter().map(|word| (*word).to_owned());
        self.client.iter().cloned().chain(given).collect()
    }

    /// The daemon's version.
    pub(super) fn version(&self) -> Result<String> {
        let version = process::capture(self.command("version").args(["--format", VERSION]))?;
        Ok(first_line(&version).to_owned())
    }

    /// A client alone says little: a daemon must answer it.
    fn answers(&self) -> bool {
        let mut question = self.command("version");
        question.args(["--format", VERSION]);
        question.output().is_ok_and(|answer| answer.status.success())
    }
}

/// What the client shows of the daemon's version.
const VERSION: &str = "{{.Server.Version}}";

impl Drop for Daemon {
    fn drop(&mut self) {
        // Asked, it takes its mounts and its containerd with it.
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let late = Instant::now() + END;
        while Instant::now() < late {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        eprintln!("Docker's daemon did not end within {} s", END.as_secs());
        eprintln!("{}", process::tail(&fs::read(&self.said).unwrap_or_default()));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the cache has Docker.
fn unpacked() -> Result<PathBuf> {
    let root = workspace::cache("tools")?.join(format!("docker{RECIPE}"));
    let _lock = workspace::lock("docker")?;
    if !root.exists() {
        let archive = Archive::update("docker", &[(DEBIAN, "bookworm")], Arch::X86_64)?;
        let packages: Vec<_> =
            PACKAGES.iter().map(|name| archive.look_up(name)).collect::<Result<_>>()?;
        eprintln!("fetching Docker, {} MB ...", crate::debian::archive::megabytes(&packages));
        workspace::make_whole(&root, |part| archive.unpack(&packages, part))?;
    }
    Ok(root.join("usr"))
}
