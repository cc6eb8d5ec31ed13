// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! Random sequences of operations, played on the core and on the model.

use std::cell::Cell;

use ashmem_core::abi::Pin;
use ashmem_core::region::{Facts, State};
use ashmem_core::store::PageSize;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use crate::model;
use crate::twin::{Op, Twin};

/// How many operations a run of the tests plays at least.
const OPERATIONS: usize = 1_000_000;

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig { cases, ..ProptestConfig::with_source_file(file!()) })
}

#[test]
fn a_million_operations_answer_and_look_like_the_model() {
    let played = Cell::new(0);
    let ops = vec(any::<[u8; Op::BYTES]>().prop_map(Op::decode), 1..2048);
    while played.get() < OPERATIONS {
        let sequence = |ops: Vec<Op>| {
            let mut twin = Twin::new(PageSize::from_shift(12), ops.len());
            ops.iter().for_each(|&op| twin.play(op));
            twin.finish();
            played.set(played.get() + ops.len());
            Ok(())
        };
        runner(256).run(&ops, sequence).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Page by page over more than 4 GiB, with pages of 64 KiB to keep their number small (BUG-12,
/// PIN-25 to PIN-27).
#[test]
fn regions_beyond_four_gib_are_no_exception() {
    const PAGE: u64 = 1 << 16;
    let pin = || {
        let offset = prop_oneof![0..16_u32, 65_520..65_536_u32, 0..65_536_u32];
        let len = prop_oneof![Just(0_u32), 1..16_u32, 0..65_536_u32];
        (offset, len).prop_map(|(offset, len)| Pin { offset: offset << 16, len: len << 16 })
    };
    let ops = vec((0..3_u8, pin()), 1..40);
    let sizes = select(vec![(4_u64 << 30) - PAGE, 4 << 30, (4 << 30) + 1, (4 << 30) + 3 * PAGE]);
    let sequence = |(size, ops): (u64, Vec<(u8, Pin)>)| {
        let mut twin = Twin::new(PageSize::from_shift(16), ops.len());
        twin.play(Op::Blank { region: 0 });
        twin.create(0, size);
        for (verb, pin) in ops {
            match verb {
                0 => twin.unpin(0, pin),
                1 => twin.pin(0, pin),
                _ => twin.purge(1),
            }
            twin.status(0, pin);
            twin.compare();
        }
        twin.finish();
        Ok(())
    };
    runner(48).run(&(sizes, ops), sequence).unwrap_or_else(|failure| panic!("{failure}"));
}

/// Near the borders of pages, of the region, of 32 and of 64 bits.
fn awkward() -> impl Strategy<Value = u64> {
    let near = select(vec![
        0,
        1 << 12,
        3 << 12,
        1 << 16,
        5 << 16,
        1 << 31,
        1 << 32,
        1 << 33,
        1 << 63,
        u64::MAX,
    ]);
    prop_oneof![
        2 => (near.clone(), -2..3_i64).prop_map(|(near, by)| near.wrapping_add_signed(by)),
        2 => (near, -2..3_i64, 12..17_u32)

            .prop_map(|(near, by, shift)| near.wrapping_add_signed(by << shift)),
        1 => any::<u64>(),
    ]
}

#[test]
fn an_interval_is_what_the_checks_in_order_leave_of_it() {
    let input = (awkward(), awkward(), awkward(), 12..17_u32);
    let check = |(size, offset, len, shift): (u64, u64, u64, u32)| {
        // A larger size has no backing file, so that such a region is never mapped (SIZE-08,
        // SIZE-09).
        let size = size & (i64::MAX as u64);
        let pin = Pin { offset: offset as u32, len: len as u32 };
        let (page, facts) = (PageSize::from_shift(shift), Facts::new());
        let mut state = State::<Vec<u8>, usize>::new();
        state.set_size(&facts, size).expect("not mapped yet");
        prop_assert_eq!(
            facts.interval(page, pin).map_err(|errno| errno.as_return()),
            Err(model::EINVAL)
        );

        state.set_mapped(&facts);
        let ours = facts.interval(page, pin).map_err(|errno| errno.as_return());
        let expected = model::interval(page.bytes(), size, pin.offset, pin.len);
        let expected = expected.map(|span| (!span.is_empty()).then_some((span.start, span.end)));
        prop_assert_eq!(
            ours.map(|span| span.map(|span| (span.first(), span.last() + 1))),
            expected
        );
        Ok(())
    };
    runner(50_000).run(&input, check).unwrap_or_else(|failure| panic!("{failure}"));
}
