// SPDX-License-Identifier: MIT OR Apache-2.0
//! A root file system with an agent that serves it, and containers of several runtimes in it.

use crate::build::static_program;
use crate::util::arch::Arch;
use crate::util::process;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{FileTypeExt, chown, symlink};
use std::path::Path;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A container that has not ended by then hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(120);
/// The suite in a container.
pub(super) const SUITE_LIMIT: Duration = Duration::from_secs(600);
/// Who the agent runs as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    Root,
    /// The service's: nobody, with the two capabilities that its unit leaves it.
    Service,
}

const NOBODY: u32 = 65534;
const CAPABILITIES: &str = "-all,+sys_ptrace,+dac_read_search";

/// A folder with a root file system, and an agent that serves it.
pub(super) struct World {
    pub(super) folder: PathBuf,
    pub(super) ashmem: PathBuf,
    agent: Child,
}

impl World {
    pub(super) fn make(user: User) -> Result<Self> {
        let ashmem = static_program::build_named("ashmem-cli", "ashmem")?;
        let client = static_program::build("ashmem-container-client")?;
        let conformance = static_program::build("ashmem-conformance")?;
        let join = static_program::build_small(Arch::X86_64, "ashmem-join")?;
        // Sockets' names are short: the cache may lie too deep.
        let folder = std::env::temp_dir().join(format!("ashmem-containers-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let root = folder.join("rootfs");
        for directory in ["agent", "bin", "dev", "proc", "sys", "tmp"] {
            fs::create_dir_all(root.join(directory)).context("making a root file system")?;
        }
        let programs = [
            (Path::new("/bin/busybox"), "busybox"),
            (&client, "client"),
            (&conformance, "conformance"),
            (&join, "ashmem-join"),
        ];
        for (from, to) in programs {
            fs::copy(from, root.join("bin").join(to))
                .with_context(|| format!("copying {}", from.display()))?;
        }
        symlink("busybox", root.join("bin/sh")).context("making a link")?;
        let address = |name: &str| format!("unix:{}", folder.join(name).display());
        // Where another user finds it.
        let copy = folder.join("ashmem");
        fs::copy(&ashmem, &copy).context("copying the agent")?;
        let mut command = match user {
            User::Root => Command::new(&copy),
            User::Service => {
                for folder in [&folder, &root.join("agent")] {
                    chown(folder, Some(NOBODY), Some(NOBODY))
                        .context("giving the sockets' folder to the agent's user")?;
                }
                let mut command = Command::new("setpriv");
                command.args([
                    "--reuid",
                    &NOBODY.to_string(),
                    "--regid",
                    &NOBODY.to_string(),
                    "--clear-groups",
                ]);
                for set in ["--inh-caps", "--ambient-caps", "--bounding-set"] {
                    command.args([set, CAPABILITIES]);
                }
                command.arg(&copy);
                command
            }
        };
        command.args(["agent", "--oci", &address("oci.sock"), "--lxc", &address("lxc.sock")]);
        command.args(["--join", &address("rootfs/agent/join.sock")]);
        let agent =
            command.spawn().with_context(|| format!("starting {}", process::line(&command)))?;
        let world = Self { folder, ashmem, agent };
        let listens = |name: &str| {
            fs::metadata(world.folder.join(name)).is_ok_and(|found| found.file_type().is_socket())
        };
        let sockets = ["oci.sock", "lxc.sock", "rootfs/agent/join.sock"];
        wait_for("the agent's sockets", || sockets.into_iter().all(listens))?;
        Ok(world)
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// `ashmem agent profile` with these words.
    pub(super) fn profile(&self, words: &[&str]) -> Result<String> {
        process::capture(Command::new(&self.ashmem).args(["agent", "profile"]).args(words))
    }

    /// A bundle for runc that runs these words under the agent's profile.
    pub(super) fn bundle(&self, name: &str, words: &[&str], strict: bool) -> Result<PathBuf> {
        let bundle = self.bare_bundle(name, words)?;
        let path = bundle.join("config.json");
        if strict {
            let text = fs::read_to_string(&path).context("reading a bundle")?;
            let mut config: Value = serde_json::from_str(&text)?;
            config["linux"]["seccomp"] = allowlist();
            fs::write(&path, config.to_string()).context("writing the bundle")?;
        }
        let (path, socket) =
            (path.display().to_string(), format!("unix:{}", self.path("oci.sock")));
        self.profile(&["--oci", &path, "--output", &path, "--socket", &socket])?;
        Ok(bundle)
    }

    /// A bundle for runc that runs these words, and knows no agent.
    pub(super) fn bare_bundle(&self, name: &str, words: &[&str]) -> Result<PathBuf> {
        let bundle = self.folder.join(name);
        fs::create_dir_all(&bundle).context("making a bundle")?;
        let config = configuration(&bundle, Path::new(&self.path("rootfs")), words)?;
        let path = bundle.join("config.json");
        fs::write(&path, config.to_string()).context("writing the bundle")?;
        Ok(bundle)
    }

    pub(super) fn runc(&self, name: &str, words: &[&str], strict: bool) -> Result<Container> {
        let bundle = self.bundle(name, words, strict)?;
        let id = id_of(name);
        let mut command = Command::new("runc");
        command.args(["run", "--bundle"]).arg(bundle).arg(&id);
        Container::start(command, vec!["runc".into(), "delete".into(), "--force".into(), id])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A container that runs; removed when this is dropped, however it stands.
pub(super) struct Container {
    command: String,
    child: Option<Child>,
    removal: Vec<String>,
}

impl Container {
    pub(super) fn start(mut command: Command, removal: Vec<String>) -> Result<Self> {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let command = process::line(&command);
        let child = child.with_context(|| format!("starting {command}"))?;
        Ok(Self { command, child: Some(child), removal })
    }

    /// Waits for its end, which must be a good one; what it said.
    pub(super) fn finish(mut self, limit: Duration) -> Result<String> {
        let mut child = self.child.take().context("it runs")?;
        let (done, came) = std::sync::mpsc::channel();
        let pid = child.id();
        // Its output is read while it runs, lest it wait for room.
        let reader = thread::spawn(move || {
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let errors = thread::spawn(move || all_of(stderr));
            let output = Output {
                stdout: all_of(stdout),
                status: child.wait()?,
                stderr: errors.join().unwrap_or_default(),
            };
            let _ = done.send(());
            Ok::<_, std::io::Error>(output)
        });
        if came.recv_timeout(limit).is_err() {
            self.remove();
            let _ = rustix::process::Pid::from_raw(pid.cast_signed())
                .map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
            bail!("{} did not end within {} s", self.command, limit.as_secs());
        }
        let Ok(output) = reader.join() else { bail!("the thread that read {} died", self.command) };
        let output = output.context("waiting for a container")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} ended with {}:\n{said}",
            self.command,
            process::describe(output.status)
        );
        Ok(said)
    }

    fn remove(&self) {
        if let Some((program, words)) = self.removal.split_first() {
            let _ = Command::new(program)
                .args(words)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn all_of(stream: Option<impl std::io::Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

pub(super) fn wait_for(what: &str, holds: impl Fn() -> bool) -> Result<()> {
    let late = Instant::now() + Duration::from_secs(60);
    while !holds() {
        ensure!(Instant::now() < late, "{what} did not come within a minute");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// runc's own template, made anew in a folder, for these words in this root.
pub(super) fn configuration(folder: &Path, root: &Path, words: &[&str]) -> Result<Value> {
    let path = folder.join("config.json");
    // runc spec refuses to write over a file.
    let _ = fs::remove_file(&path);
    process::capture(Command::new("runc").arg("spec").current_dir(folder))?;
    let mut config: Value =
        serde_json::from_str(&fs::read_to_string(&path).context("reading runc's template")?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = json!(words);
    config["root"] = json!({ "path": root, "readonly": false });
    // What the suite looks at through /proc/PID/map_files.
    for set in ["bounding", "effective", "permitted"] {
        config["process"]["capabilities"][set]
            .as_array_mut()
            .context("its capabilities")?
            .push("CAP_SYS_ADMIN".into());
    }
    Ok(config)
}

/// A profile that denies what it does not name, as container engines' own do.
fn allowlist() -> Value {
    let names = include_str!("allowed").split_whitespace().collect::<Vec<_>>();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    })
}

/// Two processes of one container share a region; one that is executed later joins them; another
/// container cannot. `start` starts a container of this name with these words for its program,
/// `exec` gives the command that executes them in it.
pub(super) fn share_join_keep(
    world: &World,
    start: impl Fn(&str, &[&str]) -> Result<Container>,
    exec: impl Fn(&str, &[&str]) -> Command,
) -> Result<()> {
    start("share", &["/bin/client", "share"])?.finish(LIMIT)?;
    // All containers see the socket, for they have one root file system; each has its own regions.
    let owner = start("owner", &["/bin/client", "offer", "/tmp/offer"])?;
    wait_for("the owner's socket", || world.folder.join("rootfs/tmp/offer").exists())?;
    Container::start(exec("owner", &["/bin/client", "join", "/tmp/offer"]), Vec::new())?
        .finish(LIMIT)?;
    start("other", &["/bin/client", "stranger", "/tmp/offer"])?.finish(LIMIT)?;
    owner.finish(LIMIT).map(drop)
}

pub(super) fn id_of(name: &str) -> String {
    format!("ashmem-{}-{name}", std::process::id())
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
