// SPDX-License-Identifier: MIT OR Apache-2.0
//! A census as text for people.

use std::fmt::{self, Display, Formatter};

use crate::amount::{Bytes, counted, or_unknown};
use crate::group::{Totals, by_family};
use crate::region::{CensusRegion, Holder};
use crate::style::{BOLD, PLAIN, WARN};

/// The regions, by family with totals or one after another, and who holds each.
pub struct Listing<'a> {
    /// In the order in which they are shown.
    pub regions: &'a [&'a CensusRegion],
    /// Whether they stay in one list.
    pub is_flat: bool,
    /// Whether what stands out is marked by escape sequences, as a terminal wants them.
    pub in_colour: bool,
}

impl Display for Listing<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        self.head(out)?;
        if self.is_flat {
            self.regions.iter().try_for_each(|region| self.region(out, region))?;
        } else {
            for (totals, regions) in by_family(self.regions) {
                self.totals(out, &totals)?;
                regions.iter().try_for_each(|region| self.region(out, region))?;
            }
        }
        let all = Totals::of("total", self.regions.iter().copied());
        writeln!(out)?;
        self.totals(out, &all)
    }
}

impl Listing<'_> {
    fn head(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let row = [
            "ID", "KIND", "SIZE", "RESIDENT", "SHARE", "MASK", "PINNED", "UNPINNED", "PURGED",
            "MAPPERS",
        ];
        self.in_bold(out, &line(row.map(str::to_owned), "NAME"))
    }

    fn totals(&self, out: &mut Formatter<'_>, totals: &Totals) -> fmt::Result {
        let mut text = format!(
            "{}: {}, size {}, resident {}",
            totals.name,
            counted(totals.regions, "region"),
            totals.size.shown(Bytes),
            totals.resident.shown(Bytes)
        );
        if totals.unpinned.known() != Some(0) || totals.purged.known() != Some(0) {
            text.push_str(&format!(
                ", {} pages unpinned, {} purged",
                totals.unpinned.shown(|pages| pages),
                totals.purged.shown(|pages| pages)
            ));
        }
        if totals.unmapped > 0 {
            let resident = totals.unmapped_resident.shown(Bytes);
            text.push_str(&format!(", {} mapped nowhere (resident {resident})", totals.unmapped));
        }
        self.in_bold(out, &text)
    }

    fn region(&self, out: &mut Formatter<'_>, region: &CensusRegion) -> fmt::Result {
        let pages = |count: fn(&crate::region::PageCounts) -> u64| {
            or_unknown(region.pages.as_ref().map(count))
        };
        let row = [
            region.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
            region.kind.word().to_owned(),
            size(region),
            or_unknown(region.resident.map(Bytes)),
            Bytes(region.share()).to_string(),
            or_unknown(region.mask),
            pages(|pages| pages.pinned),
            pages(|pages| pages.unpinned),
            pages(|pages| pages.purged),
            region.mappers().to_string(),
        ];
        let name = if region.name.is_empty() { "-".to_owned() } else { region.name.to_string() };
        writeln!(out, "{}", line(row, &name))?;
        if region.is_unmapped() {
            let mark = "possible leak: open but not mapped by any process";
            if self.in_colour {
                writeln!(out, "    {WARN}{mark}{PLAIN}")?
            } else {
                writeln!(out, "    {mark}")?
            }
        }
        region.holders.iter().try_for_each(|holder| writeln!(out, "    {}", who(holder)))
    }

    fn in_bold(&self, out: &mut Formatter<'_>, text: &str) -> fmt::Result {
        if self.in_colour { writeln!(out, "{BOLD}{text}{PLAIN}") } else { writeln!(out, "{text}") }
    }
}

fn line(row: [String; 10], name: &str) -> String {
    let [id, kind, size, resident, share, mask, pinned, unpinned, purged, mappers] = row;
    format!(
        "{id:>10} {kind:<6} {size:>6} {resident:>8} {share:>6} {mask:>4} {pinned:>8} {unpinned:>8} \
         {purged:>8} {mappers:>7}  {name}"
    )
}

/// A process and what it has of a region, in one line.
pub fn who(holder: &Holder) -> String {
    let process = &holder.process;
    let mut text = format!("pid {}", process.pid);
    match &process.container {
        Some(container) if process.inner_pid == process.pid => {
            text.push_str(&format!(" in {container}"))
        }
        Some(container) => text.push_str(&format!(" ({} in {container})", process.inner_pid)),
        None => {}
    }
    text.push_str(&format!(" {}", process.command));
    match holder.descriptors.len() {
        0 => text.push_str(", no descriptor"),
        1 => text.push_str(&format!(", fd {}", numbers(&holder.descriptors))),
        _ => text.push_str(&format!(", fds {}", numbers(&holder.descriptors))),
    }
    match holder.mappings.as_slice() {
        [] => text.push_str(", not mapped"),
        [one] => {
            text.push_str(&format!(", mapped {}, share {}", one.rights(), Bytes(holder.share)))
        }
        [first, ..] => {
            let count = holder.mappings.len();
            text.push_str(&format!(
                ", mapped {count} times {}, share {}",
                first.rights(),
                Bytes(holder.share)
            ));
        }
    }
    text
}

/// `3,5-9,12`.
fn numbers(numbers: &[i32]) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let run = |(first, last): &(i32, i32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(run).collect::<Vec<_>>().join(",")
}

/// A region's size, or what it is at least.
pub fn size(region: &CensusRegion) -> String {
    match region.size {
        Some(size) => Bytes(size).to_string(),
        None => format!("≥{}", Bytes(extent(region))),
    }
}

/// How far mappings reach into a region, in bytes: it is not smaller.
fn extent(region: &CensusRegion) -> u64 {
    let mappings = region.holders.iter().flat_map(|holder| &holder.mappings);
    mappings.map(|mapping| mapping.offset + (mapping.end - mapping.start)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn runs_of_numbers_are_short() {
        assert_eq!(numbers(&[3, 5, 6, 7, 12]), "3,5-7,12");
        assert_eq!(numbers(&[4]), "4");
    }
}
