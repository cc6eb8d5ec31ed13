// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bars that stand below what they are part of: all memory, processes, families of names, regions.
//! Each is as wide as its memory.

use std::collections::BTreeMap;

/// What one level has at most below one bar; the rest of it is one bar.
const MOST: [usize; 3] = [24, 12, 12];
/// Bars narrower than this part of the picture are drawn with their neighbours as one.
const NARROWEST: f64 = 0.002;

/// The picture.
#[derive(Debug)]
pub(crate) struct Flame {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) root: Bar,
}

/// One bar and what it consists of, the largest first.
#[derive(Debug, Default)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) weight: u64,
    pub(crate) is_leak: bool,
    pub(crate) parts: Vec<Bar>,
}

/// A bar where it is drawn: from where to where, as parts of the picture, and how deep.
#[derive(Debug)]
pub(crate) struct PlacedBar<'a> {
    pub(crate) bar: &'a Bar,
    pub(crate) depth: usize,
    /// Which of the processes it belongs to.
    pub(crate) branch: usize,
    pub(crate) start: f64,
    pub(crate) width: f64,
}

/// Parts of a bar.
type ByName<T> = BTreeMap<String, T>;

/// A region's memory on its way down: process, family, region, bytes, whether it is a leak.
pub(crate) type Stack = (String, String, String, u64, bool);

impl Flame {
    /// Of these regions; those of one name below one family are one bar.
    pub(crate) fn of(
        title: &'static str,
        about: &'static str,
        stacks: impl Iterator<Item = Stack>,
    ) -> Self {
        let mut tree: ByName<ByName<ByName<(u64, bool)>>> = ByName::new();
        for (process, family, region, weight, is_leak) in stacks.filter(|stack| stack.3 > 0) {
            let known = tree
                .entry(process)
                .or_default()
                .entry(family)
                .or_default()
                .entry(region)
                .or_insert((0, true));
            known.0 = known.0.saturating_add(weight);
            known.1 &= is_leak;
        }
        let processes = tree.into_iter().map(|(name, families)| {
            let families = families.into_iter().map(|(name, regions)| {
                let regions = regions.into_iter().map(|(name, (weight, is_leak))| Bar {
                    name,
                    weight,
                    is_leak,
                    parts: Vec::new(),
                });
                Bar::of(name, regions.collect(), MOST[2])
            });
            Bar::of(name, families.collect(), MOST[1])
        });
        Self { title, about, root: Bar::of("all".to_owned(), processes.collect(), MOST[0]) }
    }

    /// Every bar that is wide enough to be seen, from the top.
    pub(crate) fn placed(&self) -> Vec<PlacedBar<'_>> {
        let mut placed = Vec::new();
        place(&self.root, 0, 0, (0.0, 1.0), &mut placed);
        placed
    }
}

impl Bar {
    fn of(name: String, mut parts: Vec<Self>, most: usize) -> Self {
        parts.sort_by_key(|part| std::cmp::Reverse(part.weight));
        let sum =
            |parts: &[Self]| parts.iter().fold(0, |sum: u64, part| sum.saturating_add(part.weight));
        let weight = sum(&parts);
        let is_leak = parts.iter().all(|part| part.is_leak);
        let seen = parts
            .iter()
            .position(|part| (part.weight as f64) < weight as f64 * NARROWEST)
            .unwrap_or(parts.len());
        if parts.len() > seen.min(most) + 1 {
            let rest = parts.split_off(seen.min(most));
            let (name, weight) = (format!("{} others", rest.len()), sum(&rest));
            let is_leak = rest.iter().all(|part| part.is_leak);
            parts.push(Self { name, weight, is_leak, parts: Vec::new() });
        }
        Self { name, weight, is_leak, parts }
    }
}

fn place<'a>(
    bar: &'a Bar,
    depth: usize,
    branch: usize,
    (start, width): (f64, f64),
    placed: &mut Vec<PlacedBar<'a>>,
) {
    if width < NARROWEST || bar.weight == 0 {
        return;
    }
    placed.push(PlacedBar { bar, depth, branch, start, width });
    let mut from = start;
    for (number, part) in bar.parts.iter().enumerate() {
        let wide = width * part.weight as f64 / bar.weight as f64;
        place(part, depth + 1, if depth == 0 { number } else { branch }, (from, wide), placed);
        from += wide;
    }
}

#[cfg(test)]
mod tests {
    use super::Flame;

    fn stack(process: usize, family: usize, region: usize, weight: u64) -> super::Stack {
        (format!("p{process}"), format!("f{family}"), format!("r{region}"), weight, false)
    }

    #[test]
    fn every_bar_is_as_wide_as_what_is_below_it() {
        let stacks =
            [stack(1, 1, 1, 600), stack(1, 1, 1, 100), stack(1, 2, 1, 100), stack(2, 1, 1, 200)];
        let flame = Flame::of("", "", stacks.into_iter());
        let placed = flame.placed();
        let shown: Vec<_> = placed
            .iter()
            .map(|one| (one.depth, one.bar.name.as_str(), (one.width * 1000.0).round()))
            .collect();
        assert_eq!(
            shown,
            [
                (0, "all", 1000.0),
                (1, "p1", 800.0),
                (2, "f1", 700.0),
                (3, "r1", 700.0),
                (2, "f2", 100.0),
                (3, "r1", 100.0),
                (1, "p2", 200.0),
                (2, "f1", 200.0),
                (3, "r1", 200.0)
            ]
        );
    }

    #[test]
    fn many_are_drawn_as_few() {
        let stacks = (0..100_000).map(|number| stack(number % 500, number % 50, number, 4096));
        let flame = Flame::of("", "", stacks);
        let placed = flame.placed();
        assert!(placed.len() < 4000, "{} bars", placed.len());
        assert!(flame.root.parts.iter().any(|part| part.name.ends_with(" others")));
        assert_eq!(flame.root.weight, 100_000 * 4096);
        assert!(Flame::of("", "", std::iter::empty()).placed().is_empty());
    }
}
