// SPDX-License-Identifier: MIT OR Apache-2.0
//! `ashmem list`, `ashmem top` and `ashmem trace` beside each other: of one program's regions they
//! show the same, which is what the program knows of them itself.

use std::fs;
use std::io::{BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use ashmem_trace::event::Event;
use ashmem_trace::life::{Life, RegionBytes};
use ashmem_trace::operation::Operation;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::account::Account;
use crate::cases::{Case, EVERY, compare, wait_until};
use crate::program::COMMAND;
use crate::setup::{Processes, Stands};
use crate::tracer::{Tracer, read};

pub(crate) const ALL: &[Case] =
    &[("list, top and trace show of one program's regions what it knows of them", EVERY, the_same)];

const PAGE: u64 = 4096;

/// The program, halting under the tracer.
struct Scene<'a> {
    tracer: &'a Tracer,
    trace: Child,
    said: BufReader<ChildStdout>,
    processes: Processes,
    group: Option<Group>,
}

/// A control group named as Docker names a container's, and the container's id.
struct Group {
    id: String,
    folder: PathBuf,
}

impl Group {
    fn make(pid: i32) -> Result<Self> {
        let id = format!("{:064x}", 0x5ce_0000_0000_u64 + u64::from(std::process::id()))
            .chars()
            .rev()
            .collect();
        let roots = ["unified", "", "pids", "systemd"]
            .map(|name| PathBuf::from("/sys/fs/cgroup").join(name));
        let is_one = |root: &PathBuf| root.join("cgroup.procs").exists();
        let root = roots.into_iter().find(is_one).context("there are no control groups")?;
        let group = Self { folder: root.join(format!("docker-{id}.scope")), id };
        fs::create_dir_all(&group.folder)
            .with_context(|| format!("making {}", group.folder.display()))?;
        fs::write(group.folder.join("cgroup.procs"), pid.to_string())
            .context("moving the child into its group")?;
        Ok(group)
    }

    /// As the programs show it.
    fn shown(&self) -> String {
        format!("docker:{}", &self.id[..12])
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // Where it halts it ends when its input does.
        drop(self.trace.stdin.take());
        let _ = self.trace.wait();
    }
}

fn the_same(tracer: &Tracer) -> Result<()> {
    let mut scene = Scene::start(tracer)?;
    scene.go_on()?;
    let opened: String = scene.hear()?;
    ensure!(opened == "opened", "the program said {opened:?}");
    if tracer.source == "syscalls" {
        // Which file a descriptor is of, this source looks up where it reads of it.
        scene.wait_until_told("\"MEMFD_CREATE\"", 5)?;
    }
    scene.go_on()?;
    let regions: Vec<Stands> = scene.hear()?;
    scene.listed(&regions).context("ashmem list")?;
    scene.on_the_screen(&regions).context("ashmem top")?;
    if rustix::process::geteuid().is_root() {
        scene.to_nobody().context("ashmem list as an ordinary user")?;
    }
    scene.go_on()?;
    let accounts: Vec<Account> = scene.hear()?;
    let status = scene.trace.wait()?;
    ensure!(status.success(), "ashmem trace ended with {status}");
    scene.traced(&regions, &accounts).context("ashmem trace")
}

impl<'a> Scene<'a> {
    fn start(tracer: &'a Tracer) -> Result<Self> {
        let what = if tracer.source == "syscalls" { "memfd" } else { "device" };
        let mut command = Command::new(&tracer.ashmem);
        command.args([
            "trace",
            "--source",
            &tracer.source,
            "--json",
            "-o",
            &tracer.file("scene.json"),
        ]);
        command.args(["--", &crate::program::own_path()?, "work", "scene", what]);
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            command.env("TRIAL_INSIDE", "1");
        }
        let mut trace = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting ashmem")?;
        let mut said = BufReader::new(trace.stdout.take().context("it has no output")?);
        let processes: Processes = hear(&mut said)?;
        let group = is_root.then(|| Group::make(processes.child)).transpose()?;
        Ok(Self { tracer, trace, said, processes, group })
    }

    fn hear<T: DeserializeOwned>(&mut self) -> Result<T> {
        hear(&mut self.said)
    }

    fn go_on(&mut self) -> Result<()> {
        let input = self.trace.stdin.as_mut().context("it has no input")?;
        input.write_all(b"\n").context("telling the program to go on")
    }

    fn wait_until_told(&self, text: &str, times: usize) -> Result<()> {
        let file = self.tracer.file("scene.json");
        wait_until(&format!("{text} is {times} times in {file}"), || {
            fs::read_to_string(&file).is_ok_and(|written| written.matches(text).count() >= times)
        })
    }

    fn ashmem(&self, words: &[&str]) -> Result<(String, String)> {
        output(Command::new(&self.tracer.ashmem).args(words))
    }

    /// The census in JSON, with these words besides.
    fn list(&self, words: &[&str]) -> Result<Value> {
        let (text, _) = self.ashmem(&[&["list", "--json"], words].concat())?;
        serde_json::from_str(&text).context("reading the census")
    }

    fn listed(&self, regions: &[Stands]) -> Result<()> {
        let own = self.processes.own.to_string();
        let all = self.list(&[])?;
        for stands in regions {
            let holder = &stands.holders[0];
            let (pid, fd) = (json!(holder.pid), json!(holder.descriptor));
            let is_it = |region: &&Value| {
                let mut holders = region["holders"].as_array().into_iter().flatten();
                holders.any(|one| one["process"]["pid"] == pid && one["descriptors"][0] == fd)
            };
            let found: Vec<&Value> =
                all["regions"].as_array().into_iter().flatten().filter(is_it).collect();
            ensure!(found.len() == 1, "{} is there {} times", stands.name, found.len());
            self.is_listed(stands, found[0])
                .with_context(|| format!("{:?} as {}", stands.name, found[0]))?;
        }
        let limits = self.list(&["--pid", &own])?["limits"].to_string();
        ensure!(!limits.contains("unknown"), "what is unknown: {limits}");

        let named = |words: &[&str]| -> Result<Vec<String>> {
            let found = self.list(words)?;
            let regions = found["regions"].as_array().context("there are no regions")?;
            Ok(regions
                .iter()
                .filter_map(|region| Some(region["name"].as_str()?.to_owned()))
                .collect())
        };
        let [window, unnamed, leak, passed, plain] =
            [0, 1, 2, 3, 4].map(|at| regions[at].name.to_string());
        let mut orders = vec![
            (vec!["--pid", &own, "--name", "Cursor*"], vec![&window]),
            (vec!["--pid", &own, "--leaks", "--sort", "resident"], vec![&leak, &unnamed]),
            (
                vec!["--pid", &own, "--sort", "name"],
                vec![&unnamed, &window, &passed, &leak, &plain],
            ),
            (
                vec!["--pid", &own, "--sort", "size"],
                vec![&window, &plain, &leak, &unnamed, &passed],
            ),
        ];
        let inside =
            self.group.as_ref().map(|group| (group.shown(), format!("{}:1", group.shown())));
        if let Some((container, process)) = &inside {
            orders.push((vec!["--container", container], vec![&passed]));
            orders.push((vec!["--pid", process], vec![&passed]));
        }
        for (words, wanted) in orders {
            let found = named(&words)?;
            ensure!(found.iter().eq(wanted.iter().copied()), "{words:?} shows {found:?}");
        }
        for (order, first) in [("resident", &window), ("share", &window), ("holders", &passed)] {
            let found = named(&["--pid", &own, "--sort", order])?;
            ensure!(found.len() == 5 && found[0] == **first, "--sort {order} shows {found:?}");
        }
        if self.tracer.source != "syscalls" {
            for order in ["unpinned", "purged"] {
                let found = named(&["--pid", &own, "--sort", order])?;
                ensure!(found[0] == window, "--sort {order} shows {found:?}");
            }
        }
        let found = self.list(&["--pid", &own])?;
        let resident: u64 = regions.iter().map(|stands| stands.resident * PAGE).sum();
        ensure!(
            found["total"]["regions"] == 5 && found["total"]["resident"] == resident,
            "{}",
            found["total"]
        );
        let groups = found["groups"].as_array().context("there are no groups")?;
        let mut families: Vec<&str> =
            groups.iter().filter_map(|group| group["name"].as_str()).collect();
        families.sort_unstable();
        ensure!(
            families == ["(no name)", "CursorWindow", "MemoryFile", "gralloc", "wayland"],
            "{families:?}"
        );
        let (text, _) = self.ashmem(&["list", "--pid", &own])?;
        let marks = text.matches("possible leak: open but not mapped by any process").count();
        ensure!(marks == 2 && text.contains("total: 5 regions"), "it shows {marks} leaks:\n{text}");
        Ok(())
    }

    /// Field by field.
    fn is_listed(&self, stands: &Stands, region: &Value) -> Result<()> {
        let by_agent = self.tracer.source == "agent" && !stands.is_memfd;
        let kind = match self.tracer.source.as_str() {
            _ if stands.is_memfd => "memfd",
            "agent" => "agent",
            _ => "device",
        };
        let was_mapped = stands.id.is_some();
        let is_unmapped = stands.holders.iter().all(|holder| holder.mapping.is_none());
        let [pinned, unpinned, purged] = stands.pages;
        let pages = json!({ "pinned": pinned, "unpinned": unpinned, "purged": purged });
        let mut fields = vec![
            ("kind", json!(kind)),
            ("name", json!(stands.name.to_string())),
            ("size", json!(stands.size)),
            ("resident", json!(stands.resident * PAGE)),
            ("mask", json!(stands.mask)),
            ("pages", pages),
            ("share", json!(stands.holders.iter().map(|holder| holder.share).sum::<u64>())),
            (
                "mappers",
                json!(stands.holders.iter().filter(|holder| holder.mapping.is_some()).count()),
            ),
            ("is_unmapped", json!(is_unmapped)),
        ];
        // The agent's has an inode from the start, which its program cannot see.
        if !by_agent || was_mapped {
            fields.push(("id", json!(stands.id)));
        }
        for (field, wanted) in fields {
            ensure!(
                region[field] == wanted,
                "{field} is {}, and should be {wanted}",
                region[field]
            );
        }
        let holders = region["holders"].as_array().context("it has no holders")?;
        ensure!(holders.len() == stands.holders.len(), "it has {} holders", holders.len());
        for (found, wanted) in holders.iter().zip(&stands.holders) {
            let group = self.group.as_ref().filter(|_| wanted.pid == self.processes.child);
            let container =
                group.map(|group| json!({ "runtime": "docker", "id": group.id, "pod": null }));
            let mapped = |start: &u64| {
                let end = start + stands.size.next_multiple_of(PAGE);
                json!([{ "start": start, "end": end, "offset": 0, "rights": "rw-s" }])
            };
            let inner = if group.is_some() { 1 } else { wanted.pid };
            let user = rustix::process::getuid().as_raw();
            let process = json!({
                "pid": wanted.pid, "inner_pid": inner, "user": user,
                "command": COMMAND, "container": container,
            });
            let whole = json!({
                "process": process, "descriptors": [wanted.descriptor], "share": wanted.share,
                "mappings": wanted.mapping.as_ref().map_or_else(|| json!([]), mapped),
            });
            ensure!(*found == whole, "a holder is {found}, and should be {whole}");
        }
        Ok(())
    }

    fn on_the_screen(&self, regions: &[Stands]) -> Result<()> {
        let own = self.processes.own.to_string();
        let top = ["top", "--snapshot", "--size", "180x40", "--pid", &own];
        let (screen, _) = self.ashmem(&top)?;
        ensure!(screen.contains("5 regions") && screen.contains("2 mapped nowhere"), "{screen}");
        for stands in regions {
            let by_agent = self.tracer.source == "agent" && !stands.is_memfd;
            let [size, resident, share] = &stands.amounts;
            // The agent's has an inode from the start, which its program cannot see.
            let is_unknown = by_agent && stands.id.is_none();
            let pages = stands.pages.map(|pages| pages.to_string());
            let (holders, pid) = (stands.holders.len().to_string(), self.processes.own.to_string());
            let mut wanted: Vec<&str> = vec![size, resident, share, &stands.mask];
            wanted.extend(pages.iter().map(String::as_str));
            wanted.extend([holders.as_str(), pid.as_str()]);
            let end = if stands.name.is_empty() { "-".to_owned() } else { stands.name.to_string() };
            let is_leak = stands.holders.iter().all(|holder| holder.mapping.is_none());
            let end = format!(" {}{end}", if is_leak { "! " } else { "" });
            let row = screen.lines().find(|row| row.ends_with(&end) && row.contains(&own));
            let row = row.with_context(|| format!("no row ends with {end:?}:\n{screen}"))?;
            let words: Vec<&str> = row.split_whitespace().collect();
            let id = stands.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
            ensure!(is_unknown || words[0] == id, "{row:?} does not begin with {id}");
            ensure!(words.get(2..2 + wanted.len()) == Some(&wanted), "{row:?} has not {wanted:?}");
        }
        let keys = ["--keys", "/CursorWindow<enter><enter>"];
        let (screen, _) = self.ashmem(&[top.as_slice(), &keys].concat())?;
        let map = match self.tracer.source.as_str() {
            "syscalls" => "     0  ░░██████",
            _ => "     0  ░·██▒▒▒█",
        };
        ensure!(screen.lines().any(|line| line.trim_end() == map), "no line is {map:?}:\n{screen}");
        ensure!(!screen.contains("which pages are unpinned"), "what is unknown:\n{screen}");
        ensure!(screen.contains("each block 1 page ") && screen.contains("1 holder"), "{screen}");
        Ok(())
    }

    /// What is another user's is left out, and how to see it is said.
    fn to_nobody(&self) -> Result<()> {
        const NOBODY: u32 = 65534;
        // A copy, for the way to the original may be closed to nobody.
        let folder = std::env::temp_dir().join(format!("ashmem-list-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let copy = folder.join("ashmem");
        fs::copy(&self.tracer.ashmem, &copy)?;
        let said = output(Command::new(&copy).args(["list", "--json"]).uid(NOBODY).gid(NOBODY));
        let _ = fs::remove_dir_all(&folder);
        let (text, said) = said?;
        ensure!(!text.contains("scene"), "nobody sees root's regions:\n{text}");
        ensure!(said.contains("run it as root"), "it said: {said}");
        Ok(())
    }

    fn traced(&self, regions: &[Stands], accounts: &[Account]) -> Result<()> {
        let told = read(&self.tracer.file("scene.json"))?;
        ensure!(told.lost.is_empty(), "{:?} were lost", told.lost);
        let wanted: Vec<_> = regions
            .iter()
            .zip(accounts)
            .filter(|(stands, _)| self.tracer.source == "syscalls" || !stands.is_memfd)
            .collect();
        let mut ids: Vec<u64> = Vec::new();
        for region in told.events.iter().filter_map(|event| event.region.as_ref()) {
            if !ids.contains(&region.id) {
                ids.push(region.id);
            }
        }
        ensure!(ids.len() == wanted.len(), "{} regions were told of {}", ids.len(), wanted.len());
        for (id, (stands, account)) in ids.iter().zip(wanted) {
            let of_it =
                |event: &&Event| event.region.as_ref().is_some_and(|region| region.id == *id);
            let events: Vec<&Event> = told.events.iter().filter(of_it).collect();
            self.is_traced(stands, account, &events)
                .with_context(|| format!("{:?}", stands.name))?;
        }
        Ok(())
    }

    fn is_traced(&self, stands: &Stands, account: &Account, events: &[&Event]) -> Result<()> {
        let (mut life, mut before_the_end) = (Life::default(), RegionBytes::default());
        let mut done = account.done.iter();
        let (mut purged, mut inside) = (0, 0);
        for event in events {
            if matches!(event.operation, Operation::Release {}) {
                before_the_end = life.state();
            }
            life.take_size(event);
            life.take_pins(event);
            if let Operation::Purge { len, .. } = event.operation {
                purged += len;
            } else if event.process.command.as_bytes() == b"ashmem" {
                // The page map asks the module, and who traces the region sees it.
                let is_question = matches!(event.operation, Operation::GetPinStatus(_));
                ensure!(
                    is_question && self.tracer.source == "module",
                    "{event:?} is none of its business"
                );
            } else if event.process.pid == self.processes.child {
                if let Operation::Close { fd } = event.operation {
                    let is_its_own =
                        stands.holders.get(1).is_some_and(|holder| holder.descriptor == fd);
                    ensure!(is_its_own, "{event:?} is not the child's");
                    continue;
                }
                inside += 1;
                self.is_the_childs(stands, event).with_context(|| format!("{event:?}"))?;
            } else {
                let done = done.next().with_context(|| format!("{event:?} was not done"))?;
                compare(event, done, account.pid)?;
            }
        }
        ensure!(done.next().is_none(), "not all that was done was told: {events:?}");
        ensure!(inside == stands.holders.len() - 1, "of the child {inside} events were told");
        if !stands.is_memfd {
            let [_, unpinned, kept_purged] = stands.pages.map(|pages| pages * PAGE);
            let wanted = RegionBytes { size: stands.size, unpinned, purged: kept_purged };
            ensure!(
                before_the_end == wanted,
                "it came to {before_the_end:?}, and stood at {wanted:?}"
            );
            ensure!(
                purged == if kept_purged == 0 { 0 } else { 2 * PAGE },
                "{purged} bytes were purged"
            );
        }
        Ok(())
    }

    /// The child maps the region it was given.
    fn is_the_childs(&self, stands: &Stands, event: &Event) -> Result<()> {
        let process = &event.process;
        ensure!(
            process.container_pid == self.group.as_ref().map(|_| 1),
            "it is another number in its container"
        );
        let container = process.container.as_ref().map(ToString::to_string);
        ensure!(container == self.group.as_ref().map(Group::shown), "it is in {container:?}");
        let mapping =
            stands.holders.get(1).and_then(|holder| holder.mapping).context("no child has it")?;
        let wanted = Operation::Mmap {
            address: mapping,
            len: stands.size,
            prot: 3,
            shared: true,
            offset: 0,
        };
        ensure!(event.operation == wanted, "it should be {wanted:?}");
        let region = event.region.as_ref().context("it has no region")?;
        let inode = (region.inode, region.name.as_ref(), region.size);
        ensure!(
            inode == (stands.id, Some(&stands.name), Some(stands.size)),
            "it is another region"
        );
        Ok(())
    }
}

fn hear<T: DeserializeOwned>(said: &mut impl std::io::BufRead) -> Result<T> {
    let mut line = String::new();
    said.read_line(&mut line).context("hearing the program")?;
    serde_json::from_str(&line).with_context(|| format!("the program said {line:?}"))
}

/// What a program that ends well says, on its output and besides.
fn output(command: &mut Command) -> Result<(String, String)> {
    let output = command.output().context("starting ashmem")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok((String::from_utf8(output.stdout).context("reading what it shows")?, said))
}
