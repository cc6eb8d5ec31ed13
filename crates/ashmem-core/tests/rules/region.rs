// SPDX-License-Identifier: GPL-2.0 OR MIT OR Apache-2.0
//! The rows of sections 3 to 7 that the core decides, and the checks of section 8, an example each.

use ashmem_core::Errno;
use ashmem_core::abi::Pin;
use ashmem_core::range::Span;
use ashmem_core::region::{Facts, Mapping, Prot, Read, State};
use ashmem_core::store::PageSize;

const PAGE: PageSize = PageSize::from_shift(12);

type Region = State<Vec<u8>, usize>;

fn open() -> (Facts, Region) {
    (Facts::new(), State::new())
}

/// A region of `size` bytes that was mapped once.
fn mapped(size: u64) -> (Facts, Region) {
    let (facts, mut state) = open();
    state.set_size(&facts, size).expect("not mapped yet");
    let mapping = state.map(&facts, PAGE, PAGE.align(size), Prot::NONE).expect("a good mapping");
    assert!(mapping.creates_backing);
    state.set_mapped(&facts);
    (facts, state)
}

fn rights(bits: u32) -> Prot {
    Prot::from_bits(bits)
}

#[test]
fn open_01_a_new_region_has_no_name_no_size_and_every_right() {
    let (facts, state) = open();
    assert_eq!((state.name(), state.given()), (&b"dev/ashmem"[..], None));
    assert_eq!((facts.size(), facts.prot_mask(), facts.is_mapped()), (0, Prot::ALL, false));
}

#[test]
fn name_02_and_09_the_last_name_counts_and_the_old_one_comes_back() {
    let (facts, mut state) = open();
    let mut name = Some(b"first".to_vec());
    assert_eq!(state.set_name(&facts, &mut name), Ok(()));
    assert_eq!(name, None);
    name = Some(b"a/b\n\xff".to_vec());
    assert_eq!(state.set_name(&facts, &mut name), Ok(()));
    assert_eq!((state.name(), name), (&b"a/b\n\xff"[..], Some(b"first".to_vec())));
}

#[test]
fn name_07_a_mapped_region_keeps_its_name() {
    let (facts, mut state) = open();
    state.set_name(&facts, &mut Some(b"kept".to_vec())).expect("not mapped yet");
    state.set_mapped(&facts);
    for refused in [Some(b"other".to_vec()), None] {
        let mut name = refused.clone();
        assert_eq!(state.set_name(&facts, &mut name), Err(Errno::Inval));
        assert_eq!((state.name(), name), (&b"kept"[..], refused));
    }
}

#[test]
fn name_10_the_empty_name_is_none() {
    let (facts, mut state) = open();
    state.set_name(&facts, &mut Some(b"name".to_vec())).expect("not mapped yet");
    state.set_name(&facts, &mut None).expect("not mapped yet");
    assert_eq!((state.name(), state.given()), (&b"dev/ashmem"[..], None));
}

#[test]
fn size_02_to_04_any_size_until_mapped() {
    let (facts, mut state) = open();
    for size in [1, u64::MAX, 0, 5000] {
        assert_eq!(state.set_size(&facts, size), Ok(()));
        assert_eq!(facts.size(), size);
    }
    state.set_mapped(&facts);
    for size in [5000, 5001, 0] {
        assert_eq!(state.set_size(&facts, size), Err(Errno::Inval));
    }
    assert_eq!(facts.size(), 5000);
}

#[test]
fn size_08_a_size_whose_rounding_wraps_maps_nothing() {
    let (facts, mut state) = open();
    for size in [u64::MAX, u64::MAX - 4094] {
        state.set_size(&facts, size).expect("not mapped yet");
        assert_eq!(state.map(&facts, PAGE, 4096, Prot::READ), Err(Errno::Inval));
    }
}

#[test]
fn size_09_the_largest_size_that_rounds_leaves_the_answer_to_the_backing_file() {
    let (facts, mut state) = open();
    state.set_size(&facts, u64::MAX - 4095).expect("not mapped yet");
    let mapping = state.map(&facts, PAGE, 4096, Prot::READ);
    assert_eq!(mapping, Ok(Mapping { withheld: Prot::NONE, creates_backing: true }));
    state.set_prot_mask(&facts, 0, false).expect("a narrower mask");
    assert_eq!(state.map(&facts, PAGE, 4096, Prot::READ), Err(Errno::Perm));
    assert!(!facts.is_mapped());
}

#[test]
fn prot_02_to_05_rights_can_only_be_given_up() {
    let (facts, mut state) = open();
    for unknown in [8, 15, 1 << 32, u64::MAX] {
        assert_eq!(state.set_prot_mask(&facts, unknown, false), Err(Errno::Inval));
    }
    for (mask, answer) in [(7, 7), (3, 3), (1, 1), (1, 1), (0, 0)] {
        assert_eq!(state.set_prot_mask(&facts, mask, false), Ok(rights(answer)));
        assert_eq!(facts.prot_mask().bits(), answer);
    }
    for gone in [1, 2, 4] {
        assert_eq!(state.set_prot_mask(&facts, gone, false), Err(Errno::Inval));
    }
    assert_eq!(facts.prot_mask(), Prot::NONE);
}

#[test]
fn prot_06_the_mask_of_a_mapped_region_may_shrink() {
    let (facts, mut state) = mapped(4096);
    assert_eq!(state.set_prot_mask(&facts, 1, false), Ok(Prot::READ));
    assert_eq!(state.map(&facts, PAGE, 4096, rights(3)), Err(Errno::Perm));
}

#[test]
fn prot_07_read_implies_exec_brings_exec_back() {
    let (facts, mut state) = open();
    state.set_prot_mask(&facts, 3, false).expect("a narrower mask");
    assert_eq!(state.set_prot_mask(&facts, 5, true), Err(Errno::Inval));
    assert_eq!(state.set_prot_mask(&facts, 1, true), Ok(rights(5)));
    assert_eq!(state.set_prot_mask(&facts, 4, true), Ok(rights(4)));
}

#[test]
fn mmap_02_to_04_the_length_is_checked_before_the_rights() {
    let (facts, mut state) = open();
    state.set_prot_mask(&facts, 0, false).expect("a narrower mask");
    assert_eq!(state.map(&facts, PAGE, 4096, Prot::ALL), Err(Errno::Inval));
    state.set_size(&facts, 5000).expect("not mapped yet");
    assert_eq!(state.map(&facts, PAGE, 12288, Prot::ALL), Err(Errno::Inval));
    assert_eq!(state.map(&facts, PAGE, 8192, Prot::ALL), Err(Errno::Perm));
    assert!(state.map(&facts, PAGE, 8192, Prot::NONE).is_ok());
}

#[test]
fn mmap_05_and_08_every_right_against_every_mask() {
    for mask in 0..8 {
        let (facts, mut state) = open();
        state.set_size(&facts, 1).expect("not mapped yet");
        state.set_prot_mask(&facts, mask.into(), false).expect("a narrower mask");
        for prot in 0..8 {
            let allowed = Mapping { withheld: rights(7 - mask), creates_backing: true };
            let expected = if prot & !mask == 0 { Ok(allowed) } else { Err(Errno::Perm) };
            assert_eq!(
                state.map(&facts, PAGE, 4096, rights(prot)),
                expected,
                "mask {mask} prot {prot}"
            );
        }
    }
}

#[test]
fn mmap_06_and_10_only_a_good_mapping_freezes_and_only_the_first_creates() {
    let (facts, mut state) = open();
    state.set_size(&facts, 4096).expect("not mapped yet");
    state.set_prot_mask(&facts, 1, false).expect("a narrower mask");
    assert_eq!(state.map(&facts, PAGE, 4096, Prot::WRITE), Err(Errno::Perm));
    assert_eq!(state.set_size(&facts, 8192), Ok(()));
    assert!(state.map(&facts, PAGE, 8192, Prot::READ).is_ok_and(|mapping| mapping.creates_backing));
    state.set_mapped(&facts);
    assert!(
        state.map(&facts, PAGE, 8192, Prot::READ).is_ok_and(|mapping| !mapping.creates_backing)
    );
}

#[test]
fn read_01_and_02_and_seek_01_and_02_before_the_backing_file_exists() {
    let (facts, mut state) = open();
    assert_eq!((facts.read(), facts.seek()), (Ok(Read::EndOfFile), Err(Errno::Inval)));
    state.set_size(&facts, 1).expect("not mapped yet");
    assert_eq!((facts.read(), facts.seek()), (Err(Errno::BadF), Err(Errno::BadF)));
    state.set_mapped(&facts);
    assert_eq!((facts.read(), facts.seek()), (Ok(Read::Backing), Ok(())));
}

#[test]
fn fid_01_and_02_only_a_mapped_region_has_a_file_id() {
    assert_eq!(open().0.file_id(), Err(Errno::Inval));
    assert_eq!(mapped(1).0.file_id(), Ok(()));
}

#[test]
fn pin_01_to_09_intervals() {
    let interval = |size, offset, len| mapped(size).0.interval(PAGE, Pin { offset, len });
    let pages = |first, last| Ok(Span::new(first, last));
    assert_eq!(open().0.interval(PAGE, Pin { offset: 0, len: 0 }), Err(Errno::Inval), "PIN-01");
    assert_eq!(interval(40960, 1, 4096), Err(Errno::Inval), "PIN-04: offset");
    assert_eq!(interval(40960, 0, 4095), Err(Errno::Inval), "PIN-04: length");
    assert_eq!(interval(40960, 2048, 0), Err(Errno::Inval), "PIN-04: offset, to the end");
    assert_eq!(interval(40960, 0, 0), pages(0, 9), "PIN-05");
    assert_eq!(interval(40960, 8192, 0), pages(2, 9), "PIN-06");
    assert_eq!(interval(40960, 45056, 0), Err(Errno::Inval), "PIN-07");
    assert_eq!(interval(40960, 40960, 0), Ok(None), "PIN-08");
    assert_eq!(interval(5000, 0, 8192), pages(0, 1), "PIN-09: the rounded size");
    assert_eq!(interval(5000, 0, 12288), Err(Errno::Inval), "PIN-09: beyond it");
    assert_eq!(interval(40960, 4096, 0xffff_f000), Err(Errno::Inval), "step 7");
    assert_eq!(interval(40960, 0xffff_f000, 4096), Err(Errno::Inval), "step 7");
}

/// Beyond 32 bits only a length of 0 reaches (BUG-12).
#[test]
fn pin_25_to_27_regions_of_four_gib_and_more() {
    let (facts, _) = mapped((4 << 30) + 4096);
    let interval = |offset, len| facts.interval(PAGE, Pin { offset, len });
    assert_eq!(interval(0, 0), Ok(Span::new(0, 1 << 20)));
    assert_eq!(interval(0xffff_f000, 0), Ok(Span::new((1 << 20) - 1, 1 << 20)));
    assert_eq!(interval(0xffff_f000, 4096), Err(Errno::Inval));
    assert_eq!(interval(0xffff_e000, 4096), Ok(Span::new((1 << 20) - 2, (1 << 20) - 2)));
}

#[test]
fn a_span_holds_at_least_one_page_that_a_file_can_have() {
    assert_eq!(Span::new(1, 0), None);
    assert_eq!(Span::new(0, 1 << 52), None);
    assert_eq!(Span::new(0, (1 << 52) - 1).map(Span::pages), Some(1 << 52));
    assert_eq!(Span::new(7, 7).map(Span::pages), Some(1));
}
