// SPDX-License-Identifier: MIT OR Apache-2.0
//! A page of a trace: what happened, played through event by event.

use std::collections::BTreeMap;

use ashmem_inspect::amount::Bytes;
use ashmem_inspect::group::Sum;
use ashmem_trace::event::{Event, Source};
use ashmem_trace::family_totals::FamilyTotals;
use ashmem_trace::json::{JsonLine, TraceStart};
use ashmem_trace::life::RegionBytes;
use ashmem_trace::operation::Operation;
use ashmem_trace::summary::{Summary, SummaryRow};
use ashmem_trace::text::Text;

use crate::cell::{Cell, ColumnKind};
use crate::chart::{Chart, ChartLine, Counts, Series};
use crate::family_lines::FamilyLines;
use crate::history::{Histories, RegionHistory, flame, groups, maps, who};
use crate::sheet::{Figure, Sheet, Table, name_of};

/// Purges kept one by one; all are in the sums.
const MOST_PURGES: usize = 10_000;

/// A trace so far.
#[derive(Debug)]
pub struct Past {
    start: TraceStart,
    seconds: f64,
    limits: Vec<String>,
    unreadable: Option<(u64, u64)>,
    lost: Sum,
    has_losses: bool,
    has_ended: bool,
    events: u64,
    failures: BTreeMap<(i32, &'static str, String), (u64, f64, String)>,
    regions: Histories,
    /// Bytes of all regions: their sizes, and of these the unpinned and the purged. Programs choose
    /// sizes up to 2^64 each.
    state: [i128; 3],
    totals: FamilyTotals,
    families: FamilyLines,
    total: ChartLine,
    unpinned: ChartLine,
    purged: ChartLine,
    purges: Counts,
    calls: Counts,
    errors: Counts,
    purge_list: Vec<(f64, String, u64, String)>,
    summary: Summary,
}

impl Past {
    pub(crate) fn new(start: TraceStart) -> Self {
        Self {
            start,
            seconds: 0.0,
            limits: Vec::new(),
            unreadable: None,
            lost: Sum::default(),
            has_losses: false,
            has_ended: false,
            events: 0,
            failures: BTreeMap::new(),
            regions: Histories::new(),
            state: [0; 3],
            totals: FamilyTotals::default(),
            families: FamilyLines::of_growth(),
            total: ChartLine::default(),
            unpinned: ChartLine::default(),
            purged: ChartLine::default(),
            purges: Counts::default(),
            calls: Counts::default(),
            errors: Counts::default(),
            purge_list: Vec::new(),
            summary: Summary::default(),
        }
    }

    pub(crate) fn limit(&mut self, sentence: String) {
        self.limits.push(sentence);
    }

    /// A line in the middle is none.
    pub(crate) fn unreadable(&mut self, number: u64) {
        self.unreadable.get_or_insert((0, number)).0 += 1;
    }

    pub(crate) fn take(&mut self, record: JsonLine) {
        match record {
            JsonLine::Start(_) | JsonLine::Growth(_) => {}
            JsonLine::Event(stamped) => self.event(&stamped.event),
            JsonLine::Lost(lost) => {
                self.has_losses = true;
                self.lost.add(lost.events);
            }
            JsonLine::End(end) => {
                self.has_ended = true;
                self.seconds = self.seconds.max(self.at(end.mono_ns));
            }
        }
    }

    fn at(&self, mono_ns: u64) -> f64 {
        mono_ns.saturating_sub(self.start.mono_ns) as f64 / 1e9
    }

    fn event(&mut self, event: &Event) {
        let now = self.at(event.mono_ns);
        self.seconds = self.seconds.max(now);
        self.events += 1;
        self.summary.add(event);
        self.calls.add(now, 1.0);
        if let Some(errno) = event.outcome.errno() {
            self.errors.add(now, 1.0);
            let key = (event.process.pid, event.operation.name(), errno.to_string());
            let example = || {
                let name = event.region.as_ref().and_then(|region| region.name.as_ref());
                let name = name.map(|name| format!("{name}: ")).unwrap_or_default();
                format!("{name}{}", event.operation)
            };
            let one = self.failures.entry(key).or_insert_with(|| (0, now, example()));
            one.0 += 1;
        }
        if let Operation::Purge { len, .. } = event.operation {
            self.purges.add(now, len as f64);
        }
        self.region(event, now);
        if event.source.sees_ends() {
            for change in self.totals.take(event) {
                self.families.push(now, &change.family, change.after.bytes);
            }
        }
    }

    fn region(&mut self, event: &Event, now: f64) {
        let Some(seen) = &event.region else { return };
        let region = self.regions.entry(seen.id).or_insert_with(|| RegionHistory {
            maker: who(&event.process),
            since: now,
            ..RegionHistory::default()
        });
        if let Some(name) = &seen.name {
            region.name = name.clone();
        }
        let failed = event.outcome.errno().is_some();
        let is_unseen = event.outcome.is_unseen(&event.operation);
        region.calls += 1;
        region.errors += u64::from(failed);
        let before =
            if region.until.is_some() { RegionBytes::default() } else { region.life.state() };
        region.life.take_size(event);
        region.life.take_pins(event);
        let after = region.life.state();
        region.size = region.size.max(after.size);
        let mut counted = after;
        match &event.operation {
            Operation::Mmap { .. } if is_unseen => region.unseen_maps += 1,
            Operation::Mmap { .. } if !failed => region.maps += 1,
            Operation::Munmap { .. } if !failed => region.maps = (region.maps - 1).max(0),
            Operation::Release {} => {
                region.until = Some(now);
                counted = RegionBytes::default();
            }
            Operation::Purge { len, .. } => {
                region.purged = region.purged.saturating_add(*len);
                if self.purge_list.len() < MOST_PURGES {
                    let by = who(&event.process);
                    self.purge_list.push((now, name_of(&region.name), *len, by));
                }
            }
            _ => {}
        }
        let figures = |state: RegionBytes| [state.size, state.unpinned, state.purged];
        let changes = figures(before).into_iter().zip(figures(counted));
        for (all, (before, after)) in self.state.iter_mut().zip(changes) {
            *all += i128::from(after) - i128::from(before);
        }
        let [size, unpinned, purged] = self.state.map(|bytes| bytes as f64);
        self.total.push(now, size);
        self.unpinned.push(now, unpinned);
        self.purged.push(now, purged);
    }

    /// The page.
    pub fn sheet(mut self) -> Sheet {
        self.tell_limits();
        let sources: Vec<String> = self.start.sources.iter().map(ToString::to_string).collect();
        let purged = self.regions.values().map(|region| region.purged);
        let purged = purged.fold(0, u64::saturating_add);
        let errors: u64 = self.failures.values().map(|(count, ..)| count).sum();
        let leaks = self.leaks();
        let bad = leaks.all();
        let untold = self.untold();
        let mapped_nowhere =
            if untold == 0 { bad.to_string() } else { format!("{bad} to {}", bad + untold) };
        let figures = vec![
            Figure::new("events", self.events),
            Figure::new("regions", self.regions.len()),
            Figure::new("mapped nowhere", mapped_nowhere).bad_if(bad > 0),
            Figure::new("failed calls", errors).bad_if(errors > 0),
            Figure::new("bytes purged", Bytes(purged)),
            Figure::new("events lost", self.lost.shown(|events| events)).bad_if(self.has_losses),
        ];
        let tables = vec![
            self.all(),
            self.failures(),
            self.purges(),
            self.sums("operation"),
            self.sums("process"),
        ];
        Sheet {
            title: "Shared memory in a trace".to_owned(),
            about: vec![
                format!(
                    "Host {}, from {}",
                    Text::from(&self.start.host),
                    Text::from(&self.start.time)
                ),
                format!("{:.3} s", self.seconds),
                format!("seen by: {}", sources.join(", ")),
            ],
            limits: std::mem::take(&mut self.limits),
            figures,
            leaks,
            maps: maps(&self.regions),
            flames: vec![flame(&self.regions)],
            folds: vec![groups(&self.regions)],
            tables,
            charts: self.charts(),
        }
    }

    fn tell_limits(&mut self) {
        if self.has_losses {
            let more = match self.lost.known() {
                None | Some(0) => "Events".to_owned(),
                Some(_) => format!("{} events", self.lost.shown(|events| events)),
            };
            self.limits.push(format!(
                "{more} were lost while tracing: what stands here may lack what they did."
            ));
        }
        if let Some((count, first)) = self.unreadable {
            self.limits.push(format!(
                "{count} lines could not be read and were left out, the first is line {first}."
            ));
        }
        if !self.has_ended {
            self.limits
                .push("The trace has no end: it was cut off, or its tracer was killed.".to_owned());
        }
        let untold = self.untold();
        if untold > 0 {
            self.limits.push(format!(
                "Of {untold} regions that were mapped and are there at the end this trace cannot \
                 tell whether they still are mapped: its source sees no munmap. Of programs that \
                 run `ashmem list --leaks` tells it."
            ));
        }
        if !self.start.sources.iter().all(|source| source.sees_ends()) {
            self.limits.push(
                "The kernel's system call tracepoints do not show when a region ends: regions that \
                 are gone are counted as there, and what grew by name is not drawn."
                    .to_owned(),
            );
        }
        if self.events == 0 {
            self.limits.push("The trace saw no call.".to_owned());
        }
    }

    /// Whether the sources see the ends of mappings: supervisor and module do not.
    fn sees_munmap(&self) -> bool {
        self.start.sources.iter().all(|source| *source == Source::Syscalls)
    }

    /// How many regions were there at the end of which cannot be told whether they were mapped.
    fn untold(&self) -> usize {
        let is_untold = |region: &&RegionHistory| {
            let was_mapped = region.maps > 0 || region.unseen_maps > 0;
            let may_be_unmapped = !self.sees_munmap() || region.unseen_maps > 0;
            region.until.is_none() && was_mapped && may_be_unmapped
        };
        self.regions.values().filter(is_untold).count()
    }

    fn leaks(&self) -> Table {
        let mut leaks: Vec<(&u64, &RegionHistory)> =
            self.regions.iter().filter(|(_, region)| region.is_leak()).collect();
        leaks.sort_by_key(|(_, region)| std::cmp::Reverse(region.size));
        let columns = vec![
            ("Name", ColumnKind::Words),
            ("#", ColumnKind::Number),
            ("Size", ColumnKind::Number),
            ("Made by", ColumnKind::Words),
            ("At, s", ColumnKind::Number),
        ];
        let table = Table {
            id: "leaks",
            title: "Leaks",
            about: "There at the end and, as far as this trace saw, mapped by nobody.".to_owned(),
            if_empty: match self.untold() {
                0 => "None: every region that this trace saw was mapped, or is gone.",
                _ => "None that this trace can tell.",
            },
            columns,
            rows: Vec::new(),
            left_out: 0,
        };
        table.fill(&leaks, |(id, region)| {
            vec![
                Cell::words(name_of(&region.name)),
                Cell::count(**id),
                Cell::bytes(region.size),
                Cell::words(&region.maker),
                Cell::seconds(region.since),
            ]
        })
    }

    fn all(&self) -> Table {
        let mut regions: Vec<(&u64, &RegionHistory)> = self.regions.iter().collect();
        regions.sort_by_key(|(_, region)| std::cmp::Reverse(region.size));
        let columns = vec![
            ("Name", ColumnKind::Words),
            ("#", ColumnKind::Number),
            ("Size", ColumnKind::Number),
            ("Purged", ColumnKind::Number),
            ("Calls", ColumnKind::Number),
            ("Failed", ColumnKind::Number),
            ("Made by", ColumnKind::Words),
            ("From, s", ColumnKind::Number),
            ("To, s", ColumnKind::Number),
        ];
        let table = Table {
            id: "regions",
            title: "Regions",
            about:
                "Largest first. Purged counts every byte each time it was taken. - is: there at \
                 the end."
                    .to_owned(),
            if_empty: "No region was seen.",
            columns,
            rows: Vec::new(),
            left_out: 0,
        };
        table.fill(&regions, |(id, region)| {
            vec![
                Cell::words(name_of(&region.name)),
                Cell::count(**id),
                Cell::bytes(region.size),
                Cell::bytes(region.purged),
                Cell::count(region.calls),
                Cell::count(region.errors),
                Cell::words(&region.maker),
                Cell::seconds(region.since),
                region.until.map_or_else(Cell::none, Cell::seconds),
            ]
        })
    }

    fn failures(&self) -> Table {
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, (count, ..))| std::cmp::Reverse(*count));
        let columns = vec![
            ("Pid", ColumnKind::Number),
            ("Operation", ColumnKind::Words),
            ("Error", ColumnKind::Words),
            ("Times", ColumnKind::Number),
            ("First at, s", ColumnKind::Number),
            ("For instance", ColumnKind::Words),
        ];
        let table = Table {
            id: "failures",
            title: "Calls that failed",
            about: "Gathered by process, operation and error.".to_owned(),
            if_empty: "None.",
            columns,
            rows: Vec::new(),
            left_out: 0,
        };
        table.fill(&failures, |((pid, operation, errno), (count, first, example))| {
            vec![
                Cell::count(*pid as u64),
                Cell::words(operation),
                Cell::words(errno),
                Cell::count(*count),
                Cell::seconds(*first),
                Cell::words(example),
            ]
        })
    }

    fn purges(&self) -> Table {
        let columns = vec![
            ("At, s", ColumnKind::Number),
            ("Region", ColumnKind::Words),
            ("Bytes", ColumnKind::Number),
            ("By", ColumnKind::Words),
        ];
        let table = Table {
            id: "purges",
            title: "Purges",
            about:
                "In the order in which they happened. - is the supervisor, for whoever asked or \
                 needed the memory."
                    .to_owned(),
            if_empty: "None: nothing was taken away.",
            columns,
            rows: Vec::new(),
            left_out: 0,
        };
        table.fill(&self.purge_list, |(at, name, len, by)| {
            vec![Cell::seconds(*at), Cell::words(name), Cell::bytes(*len), Cell::words(by)]
        })
    }

    fn sums(&self, by: &'static str) -> Table {
        let rows: Vec<SummaryRow<'_>> =
            self.summary.rows().into_iter().filter(|row| row.by == by).collect();
        let is_by_process = by == "process";
        let columns = vec![
            (if is_by_process { "Process" } else { "Operation" }, ColumnKind::Words),
            ("Calls", ColumnKind::Number),
            ("Failed", ColumnKind::Number),
            ("Bytes", ColumnKind::Number),
            ("Time, s", ColumnKind::Number),
        ];
        let table = Table {
            id: if is_by_process { "processes" } else { "operations" },
            title: if is_by_process { "Processes" } else { "Operations" },
            about: "Longest first, where the source measures time.".to_owned(),
            if_empty: "None.",
            columns,
            rows: Vec::new(),
            left_out: 0,
        };
        table.fill(&rows, |row| {
            let of = row.process.map_or_else(|| row.op.unwrap_or("-").to_owned(), who);
            vec![
                Cell::words(of),
                Cell::count(row.sums.calls),
                Cell::count(row.sums.errors),
                Cell::bytes(row.sums.bytes),
                Cell::seconds(row.sums.ns as f64 / 1e9),
            ]
        })
    }

    fn charts(self) -> Vec<Chart> {
        let seconds = self.seconds;
        let memory = [
            ("size of all regions", self.total),
            ("unpinned", self.unpinned),
            ("purged", self.purged),
        ];
        let memory = memory.map(|(name, line)| (name.to_owned(), Series::Line(line)));
        let bars = |name: &str, counts| (name.to_owned(), Series::Counts(counts));
        let purges = vec![bars("purged", self.purges)];
        let calls = vec![bars("calls", self.calls), bars("failed", self.errors)];
        let chart = |title, about: &str, is_bytes, series| {
            let about = about.to_owned();
            Chart { title, about, seconds, is_bytes, series }
        };
        let memory = chart(
            "Memory",
            "Bytes of the regions there were, and of them the unpinned and the purged.",
            true,
            memory.into(),
        );
        let mut charts = vec![memory];
        charts.extend(self.families.chart(seconds));
        charts.push(chart("Purges", "Bytes purged in each span of time.", true, purges));
        let about = "Calls in each span of time, and those that failed.";
        charts.push(chart("Calls", about, false, calls));
        charts
    }
}
