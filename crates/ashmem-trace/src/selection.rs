// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which events are wanted.

use std::collections::{HashMap, HashSet};

use crate::event::Event;
use crate::glob::Glob;
use crate::operation::Operation;

/// Events that a region without a name yet has had, kept at most, until its name says whether they
/// are wanted.
const PATIENCE: usize = 16;
/// Regions without a name that are waited for, at most.
const UNNAMED: usize = 4096;
/// Regions whose ends are waited for, at most: an end may be lost.
const MOST_CHOSEN: usize = 1 << 20;

/// Which events are wanted: those that meet all of these.
#[derive(Debug, Default)]
pub struct Selection {
    /// Only failures.
    fail_only: bool,
    /// Only regions whose name matches one of these.
    names: Vec<Glob>,
    /// Only processes in containers that one of these names: as it is shown, or the end of that
    /// after its colon, or a pattern of either.
    containers: Vec<Glob>,
    /// What regions without a name have had so far.
    unnamed: HashMap<u64, Vec<Event>>,
    /// Regions of which something was handed on: so are their purges and their ends, whoever brings
    /// them about, and however the regions are called by then.
    chosen: HashSet<u64>,
    /// Wanted but for their results, which nobody saw.
    unseen: u64,
}

impl Selection {
    /// These.
    pub fn new(fail_only: bool, names: Vec<Glob>, containers: Vec<Glob>) -> Self {
        Self { fail_only, names, containers, ..Self::default() }
    }

    /// Calls that are left out although they may have failed: nobody saw their results.
    pub fn unseen(&self) -> u64 {
        self.unseen
    }

    /// Hands on what is wanted; with names to match, a region's first events when its name is
    /// known.
    pub fn sift(&mut self, event: Event, sink: &mut dyn FnMut(&Event)) {
        if self.is_of_chosen(&event) {
            return self.hand_on(&event, sink);
        }
        if !self.is_in_container(&event) {
            return;
        }
        if self.names.is_empty() {
            return self.hand_on(&event, sink);
        }
        let Some(region) = &event.region else { return };
        let asked = match &event.operation {
            Operation::SetName { name } | Operation::MemfdCreate { name } => name.as_ref(),
            _ => None,
        };
        let matches = |name: &crate::text::Text| {
            let name = name.to_string();
            self.names.iter().any(|pattern| pattern.matches(&name))
        };
        if region.name.as_ref().is_some_and(matches) || asked.is_some_and(matches) {
            for earlier in self.unnamed.remove(&region.id).unwrap_or_default() {
                self.hand_on(&earlier, sink);
            }
            return self.hand_on(&event, sink);
        }
        if region.name.is_some() || matches!(event.operation, Operation::Release {}) {
            self.unnamed.remove(&region.id);
        } else if self.unnamed.len() < UNNAMED || self.unnamed.contains_key(&region.id) {
            let earlier = self.unnamed.entry(region.id).or_default();
            if earlier.len() < PATIENCE {
                earlier.push(event);
            }
        }
    }

    /// Whether this is a purge or the end of a region that was handed on before.
    fn is_of_chosen(&mut self, event: &Event) -> bool {
        let Some(region) = &event.region else { return false };
        match event.operation {
            Operation::Release {} => self.chosen.remove(&region.id),
            Operation::Purge { .. } => self.chosen.contains(&region.id),
            _ => false,
        }
    }

    fn choose(&mut self, event: &Event) {
        let is_all = self.names.is_empty() && self.containers.is_empty();
        // Of system calls no region's end is seen; and a failed open makes no region.
        let ends = event.source.sees_ends();
        let lives = match event.operation {
            Operation::Release {} => false,
            Operation::Open {} => event.outcome.errno().is_none(),
            _ => true,
        };
        let Some(region) = event.region.as_ref().filter(|_| !is_all && ends && lives) else {
            return;
        };
        if self.chosen.len() >= MOST_CHOSEN {
            self.chosen.clear();
        }
        self.chosen.insert(region.id);
    }

    fn hand_on(&mut self, event: &Event, sink: &mut dyn FnMut(&Event)) {
        self.choose(event);
        if !self.fail_only || event.outcome.errno().is_some() {
            sink(event);
        } else if event.outcome.is_unseen(&event.operation) {
            self.unseen += 1;
        }
    }

    fn is_in_container(&self, event: &Event) -> bool {
        if self.containers.is_empty() {
            return true;
        }
        let Some(container) = &event.process.container else { return false };
        let shown = container.to_string();
        self.containers.iter().any(|wanted| is_container(wanted, &shown))
    }
}

/// Whether this pattern means the container that is shown so.
pub(crate) fn is_container(wanted: &Glob, shown: &str) -> bool {
    let id = shown.rsplit(':').next().unwrap_or_default();
    // An id may be given longer than it is shown.
    wanted.matches(shown)
        || wanted.matches(id)
        || (id.len() >= 12 && wanted.as_str().starts_with(id))
}

#[cfg(test)]
mod tests {
    use super::{Glob, Selection};
    use crate::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
    use crate::operation::Operation;
    use crate::text::Text;

    fn event(id: u64, name: Option<&str>, operation: Operation, result: i64) -> Event {
        Event {
            mono_ns: 0,
            source: Source::Agent,
            process: EventProcess {
                container: Some(Text::from("docker:0123456789ab")),
                ..EventProcess::default()
            },
            operation,
            region: Some(EventRegion { id, name: name.map(Text::from), ..EventRegion::default() }),
            outcome: CallOutcome::of_return(result),
            duration_ns: None,
        }
    }

    fn sifted(mut selection: Selection, events: Vec<Event>) -> Vec<String> {
        let mut found = Vec::new();
        for event in events {
            selection.sift(event, &mut |event| found.push(event.operation.name().to_owned()));
        }
        found
    }

    fn life(id: u64, name: &'static str) -> Vec<Event> {
        let given = Some(Text::from(name));
        vec![
            event(id, None, Operation::Open {}, 3),
            event(id, Some(name), Operation::SetName { name: given }, 0),
            event(id, Some(name), Operation::SetSize { bytes: 1 }, -22),
        ]
    }

    fn pattern(text: &str) -> Vec<Glob> {
        vec![text.parse().expect("a pattern")]
    }

    #[test]
    fn a_region_is_wanted_from_its_open_on() {
        let events = [life(1, "CursorWindow: /x/y"), life(2, "dalvik-main")].concat();
        let found = sifted(Selection::new(false, pattern("Cursor*"), Vec::new()), events);
        assert_eq!(found, ["OPEN", "SET_NAME", "SET_SIZE"]);
    }

    /// A purge, and the end, which nobody in particular brings about.
    fn end(id: u64, name: &str) -> Vec<Event> {
        let by_nobody = |mut event: Event| {
            event.process = EventProcess::default();
            event.outcome = CallOutcome::UNSEEN;
            event
        };
        let purge = Operation::Purge { offset: 0, len: 4096 };
        let events = [purge, Operation::Release {}];
        events.map(|operation| by_nobody(event(id, Some(name), operation, 0))).into()
    }

    #[test]
    fn what_is_wanted_of_a_region_is_followed_by_its_end_whoever_brings_it_about() {
        let whole = ["OPEN", "SET_NAME", "SET_SIZE", "PURGE", "RELEASE"];
        let others = [life(2, "other"), end(2, "other")].concat();
        let events = [life(1, "cache"), end(1, "cache")].concat();
        let mut selection = Selection::new(false, Vec::new(), pattern("docker:*"));
        let mut found = Vec::new();
        for event in events.into_iter().chain(end(3, "of another container")) {
            selection.sift(event, &mut |event| found.push(event.operation.name().to_owned()));
        }
        assert_eq!(found, whole);
        assert!(selection.chosen.is_empty(), "what ended needs no memory");
        // Renamed since.
        let events = [life(1, "cache"), end(1, "other"), others].concat();
        let found = sifted(Selection::new(false, pattern("cache"), Vec::new()), events);
        assert_eq!(found, whole);
    }

    #[test]
    fn failures_alone() {
        let found = sifted(Selection::new(true, Vec::new(), Vec::new()), life(1, "x"));
        assert_eq!(found, ["SET_SIZE"]);
    }

    #[test]
    fn what_may_have_failed_is_counted() {
        let mut selection = Selection::new(true, Vec::new(), Vec::new());
        let mut unseen = event(1, None, Operation::SetSize { bytes: 1 }, 0);
        unseen.outcome = CallOutcome::UNSEEN;
        let mut released = event(1, None, Operation::Release {}, 0);
        released.outcome = CallOutcome::UNSEEN;
        for event in [unseen, released] {
            selection.sift(event, &mut |event| panic!("no failure: {event:?}"));
        }
        assert_eq!(selection.unseen(), 1, "an end is no call");
    }

    #[test]
    fn containers_are_known_by_name_and_by_id() {
        for (wanted, many) in [
            ("docker:0123456789ab", 3),
            ("0123456789ab", 3),
            ("0123456789abcdef", 3),
            ("docker:*", 3),
            ("0123456789ac", 0),
            ("web", 0),
        ] {
            let found = sifted(Selection::new(false, Vec::new(), pattern(wanted)), life(1, "x"));
            assert_eq!(found.len(), many, "{wanted}");
        }
    }
}
