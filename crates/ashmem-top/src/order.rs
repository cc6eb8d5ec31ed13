// SPDX-License-Identifier: MIT OR Apache-2.0
//! The columns that can be sorted by, in the order in which a key goes through them.

use ashmem_inspect::query::SortOrder;

/// The columns with what their heads say.
const ALL: [(SortOrder, &str); 8] = [
    (SortOrder::Resident, "RESIDENT"),
    (SortOrder::Share, "SHARE"),
    (SortOrder::Size, "SIZE"),
    (SortOrder::Unpinned, "UNPINNED"),
    (SortOrder::Purged, "PURGED"),
    (SortOrder::Holders, "HOLDERS"),
    (SortOrder::Name, "NAME"),
    (SortOrder::Id, "ID"),
];

/// The order `steps` further on, round and round.
pub fn further(order: SortOrder, steps: isize) -> SortOrder {
    let at = ALL.iter().position(|(one, _)| *one == order).unwrap_or(0);
    ALL[(at as isize + steps).rem_euclid(ALL.len() as isize) as usize].0
}

/// The head of the column that is sorted by.
pub fn head(order: SortOrder) -> &'static str {
    ALL.iter().find(|(one, _)| *one == order).map_or("", |(_, head)| head)
}

#[cfg(test)]
mod tests {
    use super::{ALL, SortOrder, further};

    #[test]
    fn a_key_goes_round_all_columns_and_back() {
        let mut order = SortOrder::Resident;
        for _ in ALL {
            order = further(order, 1);
        }
        assert_eq!(order, SortOrder::Resident);
        assert_eq!(further(order, -1), SortOrder::Id);
        assert_eq!(further(further(order, 3), -3), order);
    }
}
