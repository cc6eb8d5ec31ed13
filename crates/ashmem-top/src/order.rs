// SPDX-License-Identifier: MIT OR Apache-2.0
//! The columns that can be sorted by, in the order in which a key goes through them.

use ashmem_inspect::query::SortOrder;

/// The columns with what their heads say.
const ALL: [(SortOrder, &str); 9] = [
    (SortOrder::Resident, "RESIDENT"),
    (SortOrder::Share, "SHARE"),
    (SortOrder::Size, "SIZE"),
    (SortOrder::Unpinned, "UNPINNED"),
    (SortOrder::Purged, "PURGED"),
    (SortOrder::Holders, "HOLDERS"),
    (SortOrder::Name, "NAME"),
    (SortOrder::Id, "ID"),
    (SortOrder::Age, "AGE"),
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

/// The order by the column of this head; `None` where it cannot be sorted by.
pub fn of_head(head: &str) -> Option<SortOrder> {
    ALL.iter().find(|(_, one)| *one == head).map(|(order, _)| *order)
}

#[cfg(test)]
mod tests {
    use super::{ALL, SortOrder, further, of_head};

    #[test]
    fn a_key_goes_round_all_columns_and_back() {
        let mut order = SortOrder::Resident;
        for _ in ALL {
            order = further(order, 1);
        }
        assert_eq!(order, SortOrder::Resident);
        assert_eq!(further(order, -1), SortOrder::Age);
        assert_eq!((of_head("SIZE"), of_head("KIND")), (Some(SortOrder::Size), None));
        assert_eq!(further(further(order, 3), -3), order);
    }
}
