// SPDX-License-Identifier: MIT OR Apache-2.0
//! Treemaps: rectangles as large as what they stand for, gathered by what they belong to.
//!
//! Squarified as M. Bruls, K. Huizing and J. van Wijk have it (Squarified Treemaps, 2000): row
//! after row along the shorter side, each row as long as that makes its rectangles squarer.

/// Groups and members of one that are drawn; the rest is drawn as one.
const MOST_GROUPS: usize = 16;
const MOST_MEMBERS: usize = 32;

/// The height of a group's title.
const TITLE: f64 = 20.0;

/// What belongs together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) members: Vec<Member>,
}

/// One thing with its weight.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) weight: u64,
    /// Held and mapped nowhere.
    pub(crate) is_leak: bool,
}

/// A rectangle of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// A group where it is drawn.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) area: Area,
    pub(crate) name: String,
    pub(crate) weight: u64,
    /// Whether there is room for its title.
    pub(crate) has_title: bool,
    pub(crate) members: Vec<(Area, Member)>,
}

/// Places what has any weight.
pub(crate) fn place(groups: &[Group], area: Area) -> Vec<Placed> {
    let mut groups: Vec<(u64, &Group)> =
        groups.iter().map(|group| (group.weight(), group)).collect();
    groups.retain(|(weight, _)| *weight > 0);
    groups.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let mut others = None;
    if groups.len() > MOST_GROUPS {
        let rest = groups.split_off(MOST_GROUPS - 1);
        let name = format!("{} others", rest.len());
        let members = rest.into_iter().map(|(weight, group)| Member {
            name: group.name.clone(),
            weight,
            is_leak: false,
        });
        others = Some(Group { name, members: members.collect() });
    }
    groups.extend(others.iter().map(|group| (group.weight(), group)));
    groups.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let weights: Vec<u64> = groups.iter().map(|(weight, _)| *weight).collect();
    let placed = squarify(&weights, area).into_iter().zip(groups);
    placed.map(|(area, (weight, group))| place_members(area, weight, group)).collect()
}

fn place_members(area: Area, weight: u64, group: &Group) -> Placed {
    let area = area.shrunk(1.5);
    let has_title = area.height > 2.0 * TITLE && area.width > 60.0;
    let mut seen: Vec<&Member> = group.members.iter().filter(|member| member.weight > 0).collect();
    seen.sort_by_key(|member| std::cmp::Reverse(member.weight));
    let most = if seen.len() > MOST_MEMBERS { MOST_MEMBERS - 1 } else { MOST_MEMBERS };
    let rest = seen.split_off(most.min(seen.len()));
    let mut members: Vec<Member> = seen.into_iter().cloned().collect();
    if !rest.is_empty() {
        let is_leak = rest.iter().all(|member| member.is_leak);
        let weight = rest.iter().map(|member| member.weight).sum();
        members.push(Member { name: format!("{} more", rest.len()), weight, is_leak });
        members.sort_by_key(|member| std::cmp::Reverse(member.weight));
    }
    let title = if has_title { TITLE } else { 0.0 };
    let inner = Area { y: area.y + title, height: area.height - title, ..area };
    let weights: Vec<u64> = members.iter().map(|member| member.weight).collect();
    let areas = squarify(&weights, inner).into_iter().map(|area| area.shrunk(0.5));
    let name = group.name.clone();
    Placed { area, name, weight, has_title, members: areas.zip(members).collect() }
}

impl Group {
    pub(crate) fn weight(&self) -> u64 {
        self.members.iter().map(|member| member.weight).sum()
    }
}

impl Area {
    fn shrunk(self, by: f64) -> Self {
        let (width, height) = ((self.width - 2.0 * by).max(0.1), (self.height - 2.0 * by).max(0.1));
        Self { x: self.x + by, y: self.y + by, width, height }
    }
}

/// Rectangles for weights, the largest of which stands first; each has its part of the area.
fn squarify(weights: &[u64], mut area: Area) -> Vec<Area> {
    let total: u64 = weights.iter().sum();
    let scale = area.width * area.height / (total.max(1) as f64);
    let sizes: Vec<f64> = weights.iter().map(|weight| *weight as f64 * scale).collect();
    let mut placed = Vec::with_capacity(sizes.len());
    let mut rest = sizes.as_slice();
    while !rest.is_empty() {
        let side = area.width.min(area.height);
        let mut len = 1;
        while len < rest.len() && worst(&rest[..=len], side) <= worst(&rest[..len], side) {
            len += 1;
        }
        let (row, after) = rest.split_at(len);
        let thickness = row.iter().sum::<f64>() / side.max(f64::MIN_POSITIVE);
        let mut along = 0.0;
        for size in row {
            let length = size / thickness.max(f64::MIN_POSITIVE);
            placed.push(if area.width >= area.height {
                Area { x: area.x, y: area.y + along, width: thickness, height: length }
            } else {
                Area { x: area.x + along, y: area.y, width: length, height: thickness }
            });
            along += length;
        }
        if area.width >= area.height {
            area = Area { x: area.x + thickness, width: (area.width - thickness).max(0.0), ..area };
        } else {
            area =
                Area { y: area.y + thickness, height: (area.height - thickness).max(0.0), ..area };
        }
        rest = after;
    }
    placed
}

/// How far from a square the worst rectangle of a row is.
fn worst(row: &[f64], side: f64) -> f64 {
    let sum: f64 = row.iter().sum();
    let (least, most) = (row.last().copied().unwrap_or(0.0), row.first().copied().unwrap_or(0.0));
    let (side, sum) = (side * side, sum * sum);
    (side * most / sum).max(sum / (side * least).max(f64::MIN_POSITIVE))
}

#[cfg(test)]
mod tests {
    use super::{Area, Group, Member, place, squarify};

    const PICTURE: Area = Area { x: 0.0, y: 0.0, width: 600.0, height: 400.0 };

    #[test]
    fn each_has_its_part_and_none_lies_on_another() {
        let weights = [6, 6, 4, 3, 2, 2, 1];
        let areas = squarify(&weights, PICTURE);
        for (area, weight) in areas.iter().zip(weights) {
            assert!((area.width * area.height - weight as f64 * 10_000.0).abs() < 1e-6);
            assert!(
                area.x >= 0.0
                    && area.x + area.width <= 600.0 + 1e-6
                    && area.y + area.height <= 400.0 + 1e-6
            );
        }
        for (place, one) in areas.iter().enumerate() {
            for other in &areas[place + 1..] {
                let wide =
                    one.x + 1e-6 < other.x + other.width && other.x + 1e-6 < one.x + one.width;
                let high =
                    one.y + 1e-6 < other.y + other.height && other.y + 1e-6 < one.y + one.height;
                assert!(!(wide && high), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn many_are_drawn_as_few_and_nothing_as_nothing() {
        let member =
            |number: u64| Member { name: number.to_string(), weight: number, is_leak: false };
        let group = |name: usize| Group {
            name: name.to_string(),
            members: (0..1000).map(member).collect(),
        };
        let groups: Vec<Group> = (0..300).map(group).collect();
        let placed = place(&groups, PICTURE);
        assert_eq!(placed.len(), super::MOST_GROUPS);
        assert!(placed.iter().all(|group| group.members.len() <= super::MOST_MEMBERS));
        let all: u64 = placed.iter().map(|group| group.weight).sum();
        assert_eq!(all, groups.iter().map(Group::weight).sum::<u64>());
        assert!(place(&[], PICTURE).is_empty());
        assert!(
            place(&[Group { name: "empty".to_owned(), members: vec![member(0)] }], PICTURE)
                .is_empty()
        );
    }
}
