// SPDX-License-Identifier: MIT OR Apache-2.0
//! The columns that can be sorted by, in the order in which a key goes through them.

use ashmem_inspect::query::Order;

/// The columns with what their heads say.
const ALL: [(Order, &str); 8] = [
    (Order::Resident, "RESIDENT"),
    (Order::Share, "SHARE"),
    (Order::Size, "SIZE"),
    (Order::Unpinned, "UNPINNED"),
    (Order::Purged, "PURGED"),
    (Order::Holders, "HOLDERS"),
    (Order::Name, "NAME"),
    (Order::Id, "ID"),
];

/// The order `steps` further on, round and round.
pub fn further(order: Order, steps: isize) -> Order {
    let at = ALL.iter().position(|(one, _)| *one == order).unwrap_or(0);
    ALL[(at as isize + steps).rem_euclid(ALL.len() as isize) as usize].0
}

/// The head of the column that is sorted by.
pub fn head(order: Order) -> &'static str {
    ALL.iter().find(|(one, _)| *one == order).map_or("", |(_, head)| head)
}

#[cfg(test)]
mod tests {
    use super::{ALL, Order, further};

    #[test]
    fn a_key_goes_round_all_columns_and_back() {
        let mut order = Order::Resident;
        for _ in ALL {
            order = further(order, 1);
        }
        assert_eq!(order, Order::Resident);
        assert_eq!(further(order, -1), Order::Id);
        assert_eq!(further(further(order, 3), -3), order);
    }
}
