// SPDX-License-Identifier: MIT OR Apache-2.0
//! A page of a moment, or of a short while that ends with it.

use std::collections::{BTreeSet, HashMap};

use ashmem_inspect::amount::Bytes;
use ashmem_inspect::census::Census;
use ashmem_inspect::group::{Totals, by_family};
use ashmem_inspect::listing::who;
use ashmem_inspect::query::{RegionFilter, SortOrder};
use ashmem_inspect::region::{CensusRegion, PageCounts};

use crate::cell::{Cell, ColumnKind};
use crate::chart::{Chart, ChartLine, Counts, Series};
use crate::family_lines::FamilyLines;
use crate::holders::{Family, ProcessRegions, by_process, flame, groups, maps};
use crate::sheet::{Figure, Sheet, Table, date, name_of};

/// Holders that a cell names.
const FEW: usize = 3;

/// Censuses of a while, summed as they come.
#[derive(Debug)]
pub struct Watch {
    filter: RegionFilter,
    /// When, in seconds of [`Census::seconds`].
    began: Option<f64>,
    resident: ChartLine,
    unpinned: ChartLine,
    purged: ChartLine,
    purges: Counts,
    families: FamilyLines,
    /// Purged pages of each region when it was last seen.
    last: HashMap<u64, u64>,
    censuses: usize,
    /// Whether pins were known of some region at some time.
    knows_pages: bool,
}

impl Watch {
    /// Of the regions that are wanted.
    pub fn new(filter: RegionFilter) -> Self {
        let (resident, unpinned, purged, purges) =
            <(ChartLine, ChartLine, ChartLine, Counts)>::default();
        Self {
            filter,
            began: None,
            resident,
            unpinned,
            purged,
            purges,
            families: FamilyLines::default(),
            last: HashMap::new(),
            censuses: 0,
            knows_pages: false,
        }
    }

    /// One census more.
    pub fn take(&mut self, census: &Census) {
        let began = *self.began.get_or_insert(census.seconds);
        let seconds = census.seconds - began;
        let regions = self.filter.apply(census, SortOrder::Id);
        let totals = Totals::of("all", regions.iter().copied());
        let bytes = |pages: u64| pages.saturating_mul(census.page_size) as f64;
        let families = by_family(&regions);
        for (totals, _) in &families {
            if let Some(resident) = totals.resident.known() {
                self.families.push(seconds, &totals.name, resident.into());
            }
        }
        let present: BTreeSet<&str> =
            families.iter().map(|(totals, _)| totals.name.as_str()).collect();
        self.families.end_others(seconds, &present);
        // A line has no gaps: what is unknown of all regions adds no point.
        if let Some(resident) = totals.resident.known() {
            self.resident.push(seconds, resident as f64);
        }
        if let Some((unpinned, purged)) = totals.unpinned.known().zip(totals.purged.known()) {
            self.unpinned.push(seconds, bytes(unpinned));
            self.purged.push(seconds, bytes(purged));
            self.knows_pages = true;
        }
        let mut now = HashMap::new();
        for region in regions {
            let (Some(id), Some(pages)) = (region.id, region.pages) else { continue };
            if let Some(before) = self.last.get(&id)
                && pages.purged > *before
            {
                self.purges.add(seconds, bytes(pages.purged - before));
            }
            now.insert(id, pages.purged);
        }
        self.last = now;
        self.censuses += 1;
    }

    /// The page of this while, with the regions of its last census.
    pub fn sheet(self, census: &Census, host: &str) -> Sheet {
        let regions = self.filter.apply(census, SortOrder::Resident);
        let totals = Totals::of("all", regions.iter().copied());
        let (by_family, by_process) = (by_family(&regions), by_process(&regions));
        let mut about = vec![format!("Host {host}, {}", date(census.taken))];
        about.push(format!("{} processes looked at", census.processes));
        let seconds = self.began.map_or(0.0, |began| census.seconds - began);
        if self.censuses > 1 {
            about.push(format!("watched for {seconds:.0} s before"));
        }
        let charts = if self.censuses > 1 { self.charts(seconds) } else { Vec::new() };
        Sheet {
            title: "Shared memory at a moment".to_owned(),
            about,
            limits: census.limits(&regions),
            figures: figures(census, &totals),
            maps: maps(&by_family, &by_process),
            flames: vec![flame(&by_process)],
            charts,
            leaks: leaks(&regions),
            folds: vec![groups(&by_family)],
            tables: vec![families(&by_family), processes(&by_process), all(census, &regions)],
        }
    }

    fn charts(self, seconds: f64) -> Vec<Chart> {
        let mut memory = vec![("resident".to_owned(), Series::Line(self.resident))];
        let mut charts = Vec::new();
        let about = if self.knows_pages {
            memory.push(("unpinned".to_owned(), Series::Line(self.unpinned)));
            memory.push(("purged".to_owned(), Series::Line(self.purged)));
            let purges = vec![("purged".to_owned(), Series::Counts(self.purges))];
            charts.push(Chart {
                title: "Purges",
                about: "Bytes that were purged from one look to the next.".to_owned(),
                seconds,
                is_bytes: true,
                series: purges,
            });
            "Resident memory of all regions; unpinned and purged bytes, as far as known."
        } else {
            "Resident memory of all regions. Which pages were unpinned or purged is unknown."
        };
        let about = about.to_owned();
        let memory = Chart { title: "Memory", about, seconds, is_bytes: true, series: memory };
        charts.insert(0, memory);
        charts.splice(1..1, self.families.chart(seconds));
        charts
    }
}

fn figures(census: &Census, totals: &Totals) -> Vec<Figure> {
    let pages = |pages: u64| Bytes(pages.saturating_mul(census.page_size));
    vec![
        Figure::new("regions", totals.regions),
        Figure::new("resident", totals.resident.shown(Bytes)),
        Figure::new("size", totals.size.shown(Bytes)),
        Figure::new("mapped nowhere", totals.unmapped).bad_if(totals.unmapped > 0),
        Figure::new("resident in these", totals.unmapped_resident.shown(Bytes))
            .bad_if(totals.unmapped_resident.known() != Some(0)),
        Figure::new("unpinned", totals.unpinned.shown(pages)),
        Figure::new("purged", totals.purged.shown(pages)),
    ]
}

fn leaks(regions: &[&CensusRegion]) -> Table {
    let unmapped: Vec<&CensusRegion> =
        regions.iter().copied().filter(|region| region.is_unmapped()).collect();
    let columns = vec![
        ("Name", ColumnKind::Words),
        ("Id", ColumnKind::Number),
        ("Kind", ColumnKind::Words),
        ("Size", ColumnKind::Number),
        ("Resident", ColumnKind::Number),
        ("Held by", ColumnKind::Words),
    ];
    let table = Table {
        id: "leaks",
        title: "Leaks",
        about: "Held by a descriptor and mapped nowhere: memory that no process shows among its \
                own. Some are meant so for a while, between making a region and passing it on."
            .to_owned(),
        if_empty: "None: every region is mapped by somebody.",
        columns,
        rows: Vec::new(),
        left_out: 0,
    };
    table.fill(&unmapped, |region| {
        let [name, id, kind, size, resident] = head(region);
        vec![name, id, kind, size, resident, Cell::words(holders(region))]
    })
}

fn all(census: &Census, regions: &[&CensusRegion]) -> Table {
    let columns = vec![
        ("Name", ColumnKind::Words),
        ("Id", ColumnKind::Number),
        ("Kind", ColumnKind::Words),
        ("Size", ColumnKind::Number),
        ("Resident", ColumnKind::Number),
        ("Share", ColumnKind::Number),
        ("Mask", ColumnKind::Words),
        ("Unpinned", ColumnKind::Number),
        ("Purged", ColumnKind::Number),
        ("Mappers", ColumnKind::Number),
        ("Who", ColumnKind::Words),
    ];
    let table = Table {
        id: "regions",
        title: "Regions",
        about: "Most memory first. Share is what processes have mapped, each page divided by its \
                mappings (PSS)."
            .to_owned(),
        if_empty: "There is no region of shared memory that can be seen here.",
        columns,
        rows: Vec::new(),
        left_out: 0,
    };
    table.fill(regions, |region| {
        let [name, id, kind, size, resident] = head(region);
        let pages = |count: fn(&PageCounts) -> u64| {
            region
                .pages
                .as_ref()
                .map_or_else(Cell::unknown, |pages| Cell::bytes(count(pages) * census.page_size))
        };
        let mask = Cell::words(ashmem_inspect::amount::or_unknown(region.mask));
        let (unpinned, purged) = (pages(|pages| pages.unpinned), pages(|pages| pages.purged));
        let mappers = Cell::count(region.mappers() as u64);
        let share = Cell::bytes(region.share());
        vec![
            name,
            id,
            kind,
            size,
            resident,
            share,
            mask,
            unpinned,
            purged,
            mappers,
            Cell::words(holders(region)),
        ]
    })
}

fn head(region: &CensusRegion) -> [Cell; 5] {
    let id = region.id.map_or_else(Cell::none, Cell::count);
    let known = |bytes: Option<u64>| bytes.map_or_else(Cell::unknown, Cell::bytes);
    let (size, resident) = (known(region.size), known(region.resident));
    [Cell::words(name_of(&region.name)), id, Cell::words(region.kind.word()), size, resident]
}

fn holders(region: &CensusRegion) -> String {
    let mut words: Vec<String> = region.holders.iter().take(FEW).map(who).collect();
    if region.holders.len() > FEW {
        words.push(format!("and {} more", region.holders.len() - FEW));
    }
    words.join("; ")
}

fn families(groups: &[Family<'_>]) -> Table {
    let columns = vec![
        ("Name begins with", ColumnKind::Words),
        ("Regions", ColumnKind::Number),
        ("Size", ColumnKind::Number),
        ("Resident", ColumnKind::Number),
        ("Mapped nowhere", ColumnKind::Number),
        ("Resident in these", ColumnKind::Number),
    ];
    let table = Table {
        id: "families",
        title: "Families",
        about: "Regions gathered by the beginning of their names.".to_owned(),
        if_empty: "None.",
        columns,
        rows: Vec::new(),
        left_out: 0,
    };
    table.fill(groups, |(totals, _)| {
        vec![
            Cell::words(&totals.name),
            Cell::count(totals.regions as u64),
            Cell::sum(totals.size),
            Cell::sum(totals.resident),
            Cell::count(totals.unmapped as u64),
            Cell::sum(totals.unmapped_resident),
        ]
    })
}

fn processes(parts: &[ProcessRegions<'_>]) -> Table {
    let columns = vec![
        ("Command", ColumnKind::Words),
        ("Pid", ColumnKind::Number),
        ("Container", ColumnKind::Words),
        ("Pid inside", ColumnKind::Number),
        ("Regions", ColumnKind::Number),
        ("Descriptors", ColumnKind::Number),
        ("Share", ColumnKind::Number),
        ("Mapped nowhere", ColumnKind::Number),
    ];
    let table = Table {
        id: "processes",
        title: "Processes",
        about: "Share, and beside it what of the memory mapped nowhere each keeps alive, divided \
                by its holders."
            .to_owned(),
        if_empty: "None holds a region.",
        columns,
        rows: Vec::new(),
        left_out: 0,
    };
    table.fill(parts, |(process, part)| {
        vec![
            Cell::words(&process.command),
            Cell::count(process.pid as u64),
            Cell::words(
                process.container.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            ),
            Cell::count(process.inner_pid as u64),
            Cell::count(part.regions),
            Cell::count(part.descriptors),
            Cell::bytes(part.share),
            Cell::sum(part.alone),
        ]
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ashmem_inspect::census::Census;
    use ashmem_inspect::process::Process;
    use ashmem_inspect::query::RegionFilter;
    use ashmem_inspect::region::{
        CensusRegion, Holder, Mask, PageCounts, RegionKind, RegionMapping,
    };
    use ashmem_trace::text::Text;

    use super::Watch;

    fn region(id: u64, name: &[u8], pid: i32, is_mapped: bool) -> CensusRegion {
        let process = Process {
            pid,
            inner_pid: pid,
            user: Some(0),
            command: Text::from(b"app"),
            container: None,
        };
        let mapping = RegionMapping { start: 0x1000, end: 0x3000, offset: 0, rights: *b"rw-s" };
        let mappings = if is_mapped { vec![mapping] } else { Vec::new() };
        let share = if is_mapped { 8192 } else { 0 };
        CensusRegion {
            id: Some(id),
            kind: RegionKind::Memfd,
            name: Arc::new(Text::from(name)),
            size: Some(8192),
            resident: Some(8192),
            mask: Some(Mask::ALL),
            pages: Some(PageCounts { pinned: 2, unpinned: 0, purged: 0 }),
            created: None,
            supervisor: None,
            holders: vec![Holder {
                process: Arc::new(process),
                descriptors: vec![3],
                mappings,
                share,
            }],
        }
    }

    fn census(regions: Vec<CensusRegion>) -> Census {
        Census {
            taken: 0.0,
            seconds: 0.0,
            page_size: 4096,
            regions,
            processes: 1,
            unseen_processes: 0,
            unread: None,
        }
    }

    fn page(regions: Vec<CensusRegion>) -> String {
        let census = census(regions);
        let mut watch = Watch::new(RegionFilter::default());
        watch.take(&census);
        watch.sheet(&census, "host").html()
    }

    #[test]
    fn a_name_does_nothing_but_stand_there() {
        let name = b"</script></title><img src=x onerror=alert(1)>\x1b[31m\"'&";
        let html = page(vec![region(1, name, 7, true), region(2, name, 7, false)]);
        assert!(!html.contains("<img") && !html.contains('\u{1b}'), "{html}");
        assert!(html.contains(
            "&lt;/script&gt;&lt;/title&gt;&lt;img src=x onerror=alert(1)&gt;\\x1b[31m&quot;'&amp;"
        ));
        assert_eq!(html.matches("<script").count(), 2, "the data and the script");
    }

    #[test]
    fn pictures_stand_first_then_leaks_and_nothing_is_asked_of_others() {
        let html = page(vec![region(1, b"mapped", 7, true), region(2, b"leaked", 7, false)]);
        let place =
            |text: &str| html.find(text).unwrap_or_else(|| panic!("{text} is not in {html}"));
        assert!(
            place("<svg") < place("id=\"leaks\"")
                && place("id=\"leaks\"") < place("\"Name\">leaked")
                && place("\"Name\">leaked") < place("\"Name\">mapped")
        );
        for asking in ["http:", "https:", " src=", " href=", "url(", "@import", "<link"] {
            assert!(!html.contains(asking), "{asking}");
        }
    }

    #[test]
    fn no_region_is_a_page_too() {
        let html = page(Vec::new());
        assert!(
            html.contains("There is no region of shared memory")
                && html.contains("nothing to draw")
        );
    }

    #[test]
    fn unknown_memory_is_no_memory_of_nothing() {
        let mut blind = region(1, b"blind", 7, false);
        blind.resident = None;
        let html = page(vec![blind]);
        let row = html.split("id=\"processes\"").nth(1).expect("a table of processes");
        let row = row.split("</tbody>").next().expect("its rows");
        assert!(row.contains("data-label=\"Mapped nowhere\">?</td></tr>"), "{row}");
        assert!(html.contains("There is nothing to draw: no memory is known."), "{html}");
    }

    #[test]
    fn a_hundred_thousand_regions_are_all_there_in_a_page_of_bounded_size() {
        let names = ["gralloc-", "CursorWindow: /data/user/0/app.db ", "dalvik-", "x"];
        let regions = (0..100_000_u64).map(|id| {
            let name = format!("{}{}", names[id as usize % 4], id.wrapping_mul(7919) % 100_000);
            region(id, name.as_bytes(), (id % 500) as i32, id % 10 != 0)
        });
        let html = page(regions.collect());
        assert!(!html.contains(" are here, the first"), "every row has room");
        assert!(html.contains("25000 regions") && html.contains("5000 mapped nowhere"));
        assert!(html.len() < 5_000_000, "{} bytes", html.len());
    }

    #[test]
    fn names_without_end_have_a_page_of_bounded_size() {
        // Noise, which nothing packs: each byte is shown as four letters.
        let mut seed = 1_u64;
        let mut noise = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8 | 0x80
        };
        let regions: Vec<_> = (0..16_000)
            .map(|id| {
                let name: Vec<u8> = (0..249).map(|_| noise()).collect();
                region(id, &name, (id % 500) as i32, id % 2 == 0)
            })
            .collect();
        let html = page(regions);
        assert!(html.contains(" of 16000 are here, the first"), "not every row has room");
        assert!(html.len() < 24 << 20, "{} bytes", html.len());
    }

    #[test]
    fn groups_are_folded_and_tell_who_holds_them() {
        let mut shared = region(1, b"gralloc-1", 7, true);
        shared.holders.extend(region(1, b"", 8, true).holders);
        let html = page(vec![shared, region(2, b"gralloc-2", 8, false)]);
        let group = html.split("<details").nth(1).expect("a group");
        let group = group.split("</details>").next().expect("its end");
        assert!(group.starts_with(" data-name=\"gralloc\">"), "it is folded: {group}");
        for wanted in ["2 regions · 16K resident · 2 holders", "1 mapped nowhere", "app 8</td>"] {
            assert!(group.contains(wanted), "{wanted} is not in {group}");
        }
    }

    #[test]
    fn what_is_purged_meanwhile_is_drawn() {
        // The wall clock is set back an hour meanwhile.
        let at = |seconds, purged| {
            let mut one = region(1, b"cache", 7, true);
            one.pages = Some(PageCounts { pinned: 0, unpinned: 2 - purged, purged });
            let taken = if purged == 0 { 7200.0 } else { 3600.0 };
            Census { taken, seconds, ..census(vec![one]) }
        };
        let mut watch = Watch::new(RegionFilter::default());
        let (first, last) = (at(10.0, 0), at(12.0, 2));
        watch.take(&first);
        watch.take(&last);
        let html = watch.sheet(&last, "host").html();
        assert!(
            html.contains("watched for 2 s before") && html.contains("<title>purged: 8K at"),
            "{html}"
        );
    }
}
