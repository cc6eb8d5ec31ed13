// SPDX-License-Identifier: MIT OR Apache-2.0
//! Regions whose names begin alike, and what they come to.

use std::collections::BTreeMap;

use serde::Serialize;

use ashmem_trace::text::Text;

use crate::region::CensusRegion;

/// Beginnings of names that belong together although what follows them is no separator, as Android
/// gives them.
const FAMILIES: &[&str] = &["CursorWindow", "gralloc", "dalvik-", "MemoryFile", "libc malloc"];

/// What regions without a name are gathered under.
pub const NAMELESS: &str = "(no name)";

/// What several regions come to. A region counts once, however many processes have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// What they have in common.
    pub name: String,
    /// How many.
    pub regions: usize,
    /// Bytes, as far as known.
    pub size: u64,
    /// Bytes, as far as known.
    pub resident: u64,
    /// Pages, as far as known.
    pub pinned: u64,
    /// Pages, as far as known.
    pub unpinned: u64,
    /// Pages, as far as known.
    pub purged: u64,
    /// How many are held and mapped nowhere.
    pub unmapped: usize,
    /// Bytes of memory of these.
    pub unmapped_resident: u64,
}

impl Totals {
    /// What these regions come to.
    pub fn of<'a>(name: &str, regions: impl Iterator<Item = &'a CensusRegion>) -> Self {
        let mut totals = Self { name: name.to_owned(), ..Self::default() };
        regions.for_each(|region| totals.add(region));
        totals
    }

    fn add(&mut self, region: &CensusRegion) {
        let pages = region.pages.unwrap_or_default();
        let resident = region.resident.unwrap_or(0);
        self.regions += 1;
        self.size += region.size.unwrap_or(0);
        self.resident += resident;
        self.pinned += pages.pinned;
        self.unpinned += pages.unpinned;
        self.purged += pages.purged;
        if region.is_unmapped() {
            self.unmapped += 1;
            self.unmapped_resident += resident;
        }
    }
}

/// What a name begins with, as far as that names a family: `CursorWindow` of `CursorWindow:
/// /data/…`, `dalvik-` of `dalvik-main space`. Otherwise up to the first character that is no
/// letter.
pub fn family(name: &Text) -> String {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return NAMELESS.to_owned();
    }
    if let Some(family) = FAMILIES.iter().find(|family| bytes.starts_with(family.as_bytes())) {
        return (*family).to_owned();
    }
    let word = bytes.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    if word > 0 { Text::from(&bytes[..word]).to_string() } else { name.to_string() }
}

/// Regions by the family of their names, the family with most memory first; within one the order
/// stays.
pub fn by_family<'a>(regions: &[&'a CensusRegion]) -> Vec<(Totals, Vec<&'a CensusRegion>)> {
    let mut families: BTreeMap<String, Vec<&CensusRegion>> = BTreeMap::new();
    for region in regions {
        families.entry(family(&region.name)).or_default().push(region);
    }
    let totals = |(name, regions): (String, Vec<&'a CensusRegion>)| {
        (Totals::of(&name, regions.iter().copied()), regions)
    };
    let mut groups: Vec<_> = families.into_iter().map(totals).collect();
    groups.sort_by_key(|(totals, _)| std::cmp::Reverse((totals.resident, totals.size)));
    groups
}

#[cfg(test)]
mod tests {
    use super::family;
    use ashmem_trace::text::Text;

    #[test]
    fn names_find_their_family() {
        for (name, wanted) in [
            ("CursorWindow: /data/user/0/x.db", "CursorWindow"),
            ("gralloc-buffer-7", "gralloc"),
            ("dalvik-main space (region space)", "dalvik-"),
            ("MemoryFile", "MemoryFile"),
            ("wayland-shm", "wayland"),
            ("", "(no name)"),
            ("12", "12"),
        ] {
            assert_eq!(family(&Text::from(name)), wanted);
        }
    }
}
