//! Tests of the slab. In tests a page has 16 slots and a slot 256 generations.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use crate::slab::{Index, Slab};

const PAGE: u32 = 16;
const GENERATIONS: u32 = 256;

/// Numbers that a page takes up: from its first slot to that of the next.
const STEP: u32 = 32;

/// The slots of so many pages.
fn slots(pages: u32) -> impl Iterator<Item = u32> {
    (0..pages).flat_map(|page| page * STEP..page * STEP + PAGE)
}

fn filled(count: u32) -> (Slab<u32>, Vec<Index>) {
    let mut slab = Slab::new();
    let indices = (0..count).map(|value| slab.insert(value).expect("room")).collect();
    slab.validate();
    (slab, indices)
}

#[test]
fn values_are_found_until_they_are_removed() {
    let (mut slab, indices) = filled(100);
    assert_eq!(slab.len(), 100);
    for (value, &index) in (0..).zip(&indices) {
        assert_eq!(slab.get(index), Some(&value));
        assert_eq!(slab.at(index.slot), Some(&value));
        assert_eq!(slab.index_of(index.slot), Some(index));
    }
    *slab.get_mut(indices[7]).expect("is there") += 1_000;
    *slab.at_mut(8).expect("is there") += 1_000;
    assert_eq!(slab.remove(indices[7]), Some(1_007));
    assert_eq!(slab.remove(indices[7]), None);
    assert_eq!((slab.get(indices[7]), slab.at(7), slab.index_of(7)), (None, None, None));
    assert!(!slab.contains(indices[7]) && slab.contains(indices[8]));
    slab.validate();
}

#[test]
fn what_was_never_given_out_is_refused() {
    let (mut slab, _) = filled(3);
    for slot in [0, 3, PAGE, STEP, 1_000_000, u32::MAX] {
        for generation in [1, GENERATIONS - 1, GENERATIONS, u32::MAX] {
            assert_eq!(slab.get(Index { slot, generation }), None);
            assert_eq!(slab.remove(Index { slot, generation }), None);
        }
    }
    assert_eq!(slab.at(u32::MAX), None);
    // The index that the next value will have is not good before.
    let index = Index { slot: 0, generation: 0 };
    assert_eq!(slab.remove(index), Some(0));
    assert_eq!(slab.remove(Index { generation: 1, ..index }), None);
    slab.validate();
}

#[test]
fn the_lowest_page_with_room_is_taken() {
    let (mut slab, indices) = filled(8 * PAGE);
    for page in [7, 2, 5] {
        slab.remove(indices[(page * PAGE) as usize]);
    }
    let pages: Vec<u32> = (0..4).map(|value| slab.insert(value).expect("room").slot / STEP).collect();
    assert_eq!(pages, [2, 5, 7, 8]);
    slab.validate();
}

#[test]
fn an_empty_page_is_given_back_but_for_one() {
    let (mut slab, indices) = filled(4 * PAGE);
    let open = |slab: &Slab<u32>| slab.pages.iter().filter(|page| page.is_open()).count();
    let full = open(&slab);
    for &index in &indices[PAGE as usize..2 * PAGE as usize] {
        slab.remove(index);
    }
    assert_eq!(open(&slab), full, "the first empty page is kept");
    for &index in &indices[2 * PAGE as usize..3 * PAGE as usize] {
        slab.remove(index);
    }
    slab.validate();
    assert_eq!(open(&slab), full - 1, "the second is given back");
    let allocated = slab.allocated_bytes();
    // Breathing at the edge of a page allocates nothing.
    for _ in 0..100 {
        let index = slab.insert(0).expect("room");
        assert_eq!(slab.allocated_bytes(), allocated);
        slab.remove(index);
        assert_eq!(slab.allocated_bytes(), allocated);
    }
    slab.validate();
}

#[test]
fn a_page_that_was_given_back_remembers_its_generations() {
    let (mut slab, first) = filled(4 * PAGE);
    for &index in first.iter().rev() {
        slab.remove(index);
    }
    let second: Vec<Index> = (0..4 * PAGE).map(|value| slab.insert(value).expect("room")).collect();
    let found: HashSet<u32> = second.iter().map(|index| index.slot).collect();
    assert_eq!(found, slots(4).collect(), "the same pages");
    for &stale in &first {
        assert_eq!(slab.get(stale), None);
        assert_eq!(slab.remove(stale), None);
    }
    slab.validate();
}

#[test]
fn a_slot_whose_generations_are_used_up_is_retired() {
    let mut slab = Slab::new();
    let keep = slab.insert(u32::MAX).expect("room");
    let mut last = None;
    for generation in 0..GENERATIONS {
        let index = slab.insert(generation).expect("room");
        assert_eq!(index, Index { slot: 1, generation });
        assert_eq!(slab.remove(index), Some(generation));
        last = Some(index);
    }
    slab.validate();
    let next = slab.insert(0).expect("room");
    assert_eq!(next, Index { slot: 2, generation: 0 });
    assert_eq!(last.and_then(|last| slab.get(last)), None);
    assert_eq!(slab.get(keep), Some(&u32::MAX));
}

#[test]
fn a_page_that_is_worn_out_is_never_opened_again() {
    let mut slab = Slab::new();
    let mut seen = HashSet::new();
    for round in 0..2 * PAGE * GENERATIONS {
        let index = slab.insert(round).expect("room");
        assert!(seen.insert(index), "{index:?} again");
        assert_eq!(slab.remove(index), Some(round));
    }
    slab.validate();
    let index = slab.insert(0).expect("room");
    assert_eq!(index.slot / STEP, 2, "the first two pages are used up");
}

#[test]
fn a_scan_in_slices_meets_what_stays_once() {
    let (mut slab, indices) = filled(200);
    for &index in indices.iter().filter(|index| index.slot % 3 == 0 || (128..224).contains(&index.slot)) {
        slab.remove(index);
    }
    let all: Vec<Index> = slab.iter().map(|(index, _)| index).collect();
    assert_eq!(all.len(), slab.len());
    assert!(all.is_sorted_by_key(|index| index.slot));
    for limit in [1, 2, 7, 16, 1_000] {
        let (mut cursor, mut met) = (Some(0), Vec::new());
        while let Some(from) = cursor {
            let mut scan = slab.scan(from, limit);
            let before = met.len();
            met.extend(scan.by_ref().map(|(index, &value)| {
                assert_eq!(indices.get(value as usize).map(|index| index.slot), Some(index.slot));
                index
            }));
            assert!(met.len() - before <= limit);
            cursor = scan.cursor();
        }
        assert_eq!(met, all, "in slices of {limit}");
    }
    assert_eq!(Slab::<u32>::new().scan(0, 5).cursor(), None);
}

proptest! {
    #[test]
    fn a_slab_agrees_with_a_map(ops in prop::collection::vec((0..20_u8, any::<u16>()), 0..600)) {
        let (mut slab, mut model) = (Slab::new(), BTreeMap::new());
        let mut given: Vec<Index> = Vec::new();
        for (op, at) in ops {
            let at = usize::from(at);
            match op {
                0..=9 => {
                    let index = slab.insert(given.len()).expect("room");
                    prop_assert!(model.insert((index.slot, index.generation), given.len()).is_none());
                    given.push(index);
                }
                10..=18 => if let Some(&index) = given.get(at % given.len().max(1)) {
                    prop_assert_eq!(slab.remove(index), model.remove(&(index.slot, index.generation)));
                }
                _ if at % 8 == 0 => {
                    slab.clear();
                    model.clear();
                }
                _ => {}
            }
            slab.validate();
        }
        let found: Vec<_> = slab.iter().map(|(index, &value)| ((index.slot, index.generation), value)).collect();
        prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        for index in given {
            prop_assert_eq!(slab.get(index).is_some(), slab.contains(index));
        }
    }
}
