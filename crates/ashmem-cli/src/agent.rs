// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem agent`: /dev/ashmem for containers, without a module.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use ashmem_agent::agent::endpoint::{Address, Endpoint, Protocol};
use ashmem_agent::agent::keeper;
use ashmem_agent::agent::keeper::service_user::ServiceUser;
use ashmem_agent::agent::systemd::{self, Manager};
use ashmem_agent::notice;
use ashmem_agent::seccomp::filter::Fidelity;
use ashmem_agent::seccomp::profile::{lxc, oci};
use clap::{ArgGroup, Args, Subcommand};

use crate::ending::ending;
use crate::output::print;
use crate::run::Level;

/// Answer /dev/ashmem for containers, without a kernel module
///
/// A container's seccomp policy notifies the few calls that could concern the device, and its
/// runtime hands the notifications to this agent: OCI runtimes (runc, crun, youki, and with them
/// podman, Docker, containerd, CRI-O) hand over one listener for each process that they start, LXC
/// sends each call. Or the container's first program is started by `ashmem join`, which takes no
/// policy and no help of any engine. One container's regions are its own.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  ashmem agent --oci unix:/run/ashmem/agent.sock --lxc unix:/run/ashmem/lxc.sock
  ashmem agent profile --oci > ashmem.json
  docker run --security-opt seccomp=ashmem.json …   # with what the line before wrote
  ashmem agent profile --lxc policy --output policy # adds the rules to an LXC policy

Without --oci, --lxc and --join the agent serves the sockets that systemd passes
(ashmem-agent.socket, ashmem-join.socket).

Where no systemd runs it, --keep lets containers live through the agent's death: its keeper starts
the next agent, which goes on where that one stopped. SIGHUP to the keeper replaces the agent, by a
newer program if one was installed. SIGTERM ends both.

Exit status: 0 after SIGTERM or SIGINT, 1 if the agent could not start."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The socket for OCI runtimes: the profile's listenerPath
    #[arg(long, value_name = "unix:PATH")]
    oci: Vec<Address>,
    /// The socket for LXC: lxc.seccomp.notify.proxy
    #[arg(long, value_name = "unix:PATH")]
    lxc: Vec<Address>,
    /// The socket for `ashmem join`, open to everybody
    #[arg(long, value_name = "unix:PATH")]
    join: Vec<Address>,
    /// Hold the sockets, start the agent as another process, and start the next one where it ends,
    /// with all that it had: what systemd does for ashmem-agent.service
    #[arg(long)]
    keep: bool,
    /// With --keep, started by root: make the sockets as root, then run as this user, with
    /// CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH alone
    #[arg(long, value_name = "UID:GID", requires = "keep")]
    user: Option<ServiceUser>,
}

/// What a service manager that passes sockets, or stores descriptors, sets.
const MANAGERS: [&str; 2] = ["LISTEN_FDS", "NOTIFY_SOCKET"];

#[derive(Subcommand)]
enum Verb {
    Profile(Profile),
}

/// Add the agent's rules to a container's seccomp policy
///
/// Reads a policy, adds the rules that the agent needs and keeps the others; a second run changes
/// nothing. Calls that the policy denies stay denied. The result goes to standard output unless
/// --output names a file.
#[derive(Args)]
#[command(
    group(ArgGroup::new("runtime").args(["oci", "lxc"]).required(true)),
    after_help = "\
--oci reads a profile as Docker, podman, containerd and CRI-O take it, runtime-spec's
linux.seccomp, or a bundle's whole config.json. Without FILE it starts from a profile that allows
everything; Docker's own default is https://github.com/moby/profiles, seccomp/default.json.

--lxc reads a policy of version 2 (lxc.seccomp.profile), such as Waydroid's, and prints on
standard error the lines that the container's configuration needs besides.

The container also needs a node at /dev/ashmem, so that stat and access find it. The null device
is enough, and every open of it becomes a region:
  config.json  added by --oci
  Docker       --device /dev/full:/dev/ashmem
  podman       --device /dev/full:/dev/ashmem
  Kubernetes   a hostPath volume of /dev/full (type CharDevice), mounted at /dev/ashmem
  LXC          lxc.mount.entry = /dev/full dev/ashmem none bind,create=file 0 0"
)]
struct Profile {
    /// A profile in JSON
    #[arg(
        long,
        value_name = "FILE",
        num_args = 0..=1
    )]
    oci: Option<Option<PathBuf>>,
    /// An LXC policy
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    lxc: Option<Option<PathBuf>>,
    /// Write here instead of to standard output; may be FILE itself
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How much of the device to emulate
    #[arg(long, value_name = "LEVEL", default_value = "full")]
    fidelity: Level,
    /// The agent's socket, as the container's runtime reaches it [default:
    /// unix:/run/ashmem/agent.sock, or lxc.sock]
    #[arg(long, value_name = "unix:PATH")]
    socket: Option<Address>,
}

impl Arguments {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.verb {
            Some(Verb::Profile(profile)) => profile.write(),
            None => {
                let sockets = [
                    (Protocol::Oci, &self.oci),
                    (Protocol::Lxc, &self.lxc),
                    (Protocol::Join, &self.join),
                ];
                if self.keep { keep(sockets, self.user) } else { serve(sockets) }
            }
        };
        ending(done)
    }
}

fn keep(sockets: [(Protocol, &Vec<Address>); 3], user: Option<ServiceUser>) -> Result<()> {
    // What that manager has stored would be nobody's.
    if let Some(name) = MANAGERS.iter().find(|name| std::env::var_os(name).is_some()) {
        bail!(
            "{name} is set: a service manager runs this, and stores descriptors itself. Leave out \
             --keep, --oci, --lxc and --join, and let it pass the sockets (ashmem-agent.socket); \
             or run it by `env --unset={name} ashmem agent --keep …`"
        );
    }
    let endpoints = bind(sockets)?;
    if endpoints.is_empty() {
        bail!("no socket to hold: give --oci, --lxc or --join unix:PATH beside --keep");
    }
    keeper::keep(endpoints, user).context("keeping the agent")
}

fn bind(sockets: [(Protocol, &Vec<Address>); 3]) -> Result<Vec<Endpoint>> {
    let mut endpoints = Vec::new();
    for (protocol, addresses) in sockets {
        for address in addresses {
            endpoints.push(Endpoint::bind(protocol, address)?);
        }
    }
    Ok(endpoints)
}

fn serve(sockets: [(Protocol, &Vec<Address>); 3]) -> Result<()> {
    let passed = systemd::passed_descriptors();
    let manager = Manager::from_environment()
        .context("reaching the service manager that NOTIFY_SOCKET names")?;
    let endpoints = bind(sockets)?;
    if endpoints.is_empty() && passed.is_empty() {
        bail!(
            "no socket to serve: give --oci, --lxc or --join unix:PATH, or let systemd start it \
             (ashmem-agent.socket)"
        );
    }
    ashmem_agent::agent::serve(manager, passed, endpoints).context("serving containers")
}

impl Profile {
    fn write(self) -> Result<()> {
        let fidelity = Fidelity::from(self.fidelity);
        let text = match (&self.oci, &self.lxc) {
            (_, Some(file)) => {
                let fstat = lxc::Fstat::of_host();
                if fstat == lxc::Fstat::Left {
                    notice!(
                        "fstat has no rule: LXC calls it itself with this host's C library, before \
                         the agent can answer; in this container fstat of a region shows a memfd"
                    );
                }
                let policy = lxc::add(&read(file.as_ref(), lxc::EMPTY)?, fidelity, fstat)?;
                let file = self
                    .output
                    .as_ref()
                    .map_or("/path/to/this/policy".into(), |path| path.display().to_string());
                let proxy = self
                    .socket
                    .map_or("unix:/run/ashmem/lxc.sock".into(), |socket| socket.to_string());
                notice!(
                    "the container's configuration needs:\n\n{}",
                    lxc::configuration(&file, &proxy).trim_end()
                );
                policy
            }
            (file, None) => {
                let socket =
                    self.socket.as_ref().map_or("/run/ashmem/agent.sock".as_ref(), Address::path);
                let file = file.as_ref().and_then(Option::as_ref);
                oci::add(&read(file, oci::EMPTY)?, fidelity, &socket.to_string_lossy())?
            }
        };
        match &self.output {
            // Over the policy itself too: a full disk takes nothing of it away.
            Some(path) => Ok(ashmem_report::file::write(path, &text)?),
            None => print(&text),
        }
    }
}

/// A file's text; `-` is standard input, and no file stands for `otherwise`.
fn read(file: Option<&PathBuf>, otherwise: &str) -> Result<String> {
    let Some(path) = file else { return Ok(otherwise.to_owned()) };
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("reading standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
