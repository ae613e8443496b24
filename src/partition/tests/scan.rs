//! An image read in slices, while nothing happens and while much does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{MAIL, Rig};
use crate::partition::{End, Image, Partition};
use crate::slab::{Index, Slab};

/// All slices, with `between` called after each.
fn scan(rig: &mut Rig, slots_max: usize, mut between: impl FnMut(&mut Rig)) -> (Image, usize) {
    let (mut all, mut next, mut slices) = (Image::default(), Some(0), 0);
    while let Some(from) = next {
        let slice = rig.partition.scan(from, slots_max);
        assert!(slice.image.jobs.len() + slice.image.fired.len() <= slots_max.max(1));
        assert_eq!(slice.image.next_sequence, rig.partition.next_sequence());
        all.next_sequence = slice.image.next_sequence;
        all.add(slice.image);
        (next, slices) = (slice.next, slices + 1);
        between(rig);
    }
    (all, slices)
}

fn sorted(mut image: Image) -> Image {
    image.jobs.sort_by_key(|job| job.id);
    image.fired.sort_by_key(|fired| fired.ended_at);
    image
}

#[test]
fn slices_of_a_partition_that_stands_still_are_its_image() {
    let mut rig = Rig::new();
    assert_eq!(rig.partition.scan(0, 10).next, None);
    let jobs: Vec<_> = (0..300).map(|n| rig.at(&format!("{n}"), i64::from(n % 3) * 10)).collect();
    for job in jobs.iter().step_by(7) {
        rig.partition.cancel(*job, None).cancelled().unwrap();
    }
    rig.pass_ms(10);
    rig.settle();
    for n in 0..60 {
        let job = rig.start().unwrap();
        rig.pass_us(n % 2);
        if n % 3 > 0 {
            rig.partition.finish(job.handle, End::Done, rig.now);
        }
    }
    let image = rig.partition.image();
    assert_eq!((image.fired.len(), image.jobs.len(), image.next_sequence), (40, 300 - 43 - 40, 300));
    assert!(image.fired.is_sorted_by(|a, b| a.ended_at < b.ended_at), "ends have one order");
    for slots_max in [0, 1, 2, 15, 16, 17, 100, usize::MAX] {
        let (slices, count) = scan(&mut rig, slots_max, |_| {});
        assert_eq!(sorted(slices), image, "in slices of {slots_max}");
        // A slot each, and one step for the end of a page.
        assert!(count <= 1 + 330 / slots_max.max(1), "{count} slices of {slots_max}");
    }
}

#[test]
fn promise_9_a_slice_is_bounded_however_empty_the_table_is() {
    let mut rig = Rig::new();
    let jobs: Vec<_> = (0..10_000).map(|n| rig.at("k", 1_000 + n)).collect();
    // One in a hundred stays: most pages are given back.
    for (n, job) in jobs.iter().enumerate() {
        if n % 100 > 0 {
            rig.partition.cancel(*job, None).cancelled().unwrap();
        }
    }
    let (image, slices) = scan(&mut rig, 64, |_| {});
    assert_eq!(image.jobs.len(), 100);
    assert!((10..60).contains(&slices), "{slices} slices: a page that holds nothing counts as one slot");
}

/// What fires while it is read is met as it stands then, and what stays is met once.
#[test]
fn jobs_that_fire_while_they_are_read_are_met_once() {
    let mut rig = Rig::new();
    for n in 0..200 {
        rig.at(&format!("{n}"), n);
    }
    let (image, _) = scan(&mut rig, 10, |rig| {
        rig.pass_ms(20);
        rig.settle();
        while let Some(job) = rig.partition.start(MAIL, rig.now) {
            if job.id.sequence() % 3 > 0 {
                rig.partition.finish(job.handle, End::Done, rig.now);
            }
        }
    });
    let ids: BTreeSet<_> =
        image.jobs.iter().map(|job| job.id).chain(image.fired.iter().map(|f| f.id)).collect();
    assert_eq!((ids.len(), image.jobs.len() + image.fired.len()), (200, 200), "each once");
    assert!(image.fired.len() > 20 && image.jobs.iter().any(|job| job.running_since.is_some()));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Remove(prop::sample::Index, u8),
    Slice(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (1u8..40).prop_map(Step::Insert),
        3 => (any::<prop::sample::Index>(), 1u8..60).prop_map(|(at, count)| Step::Remove(at, count)),
        4 => prop_oneof![1usize..4, 4usize..50].prop_map(Step::Slice),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The table's promise, of which all of this is made: with pages that run dry between two slices, are closed and are
    /// opened again (a page of the tests has 16 slots), what stays is met once, and nothing twice.
    #[test]
    fn what_stays_in_the_table_is_met_once_whatever_its_pages_do(
        first in 0u32..200,
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let mut slab = Slab::new();
        let mut live: Vec<Index> = (0..first).map(|n| slab.insert(n).unwrap()).collect();
        let mut stays: BTreeSet<Index> = live.iter().copied().collect();
        let (mut met, mut cursor) = (BTreeMap::new(), Some(0));
        for step in steps {
            match step {
                Step::Insert(count) => live.extend((0..count).map(|n| slab.insert(n.into()).unwrap())),
                Step::Remove(at, count) if !live.is_empty() => {
                    // Neighbours, so that pages run dry.
                    let from = at.index(live.len());
                    for index in live.drain(from..live.len().min(from + usize::from(count))) {
                        slab.remove(index);
                        stays.remove(&index);
                    }
                }
                Step::Slice(limit) => if let Some(from) = cursor {
                    let mut scan = slab.scan(from, limit);
                    for (index, _) in scan.by_ref() {
                        *met.entry(index).or_insert(0) += 1;
                    }
                    cursor = scan.cursor();
                }
                Step::Remove(..) => {}
            }
        }
        while let Some(from) = cursor {
            let mut scan = slab.scan(from, 7);
            for (index, _) in scan.by_ref() {
                *met.entry(index).or_insert(0) += 1;
            }
            cursor = scan.cursor();
        }
        prop_assert!(met.values().all(|&times| times == 1));
        prop_assert!(stays.iter().all(|index| met.contains_key(index)));
    }
}

#[test]
fn the_next_sequence_is_that_of_the_next_job() {
    let mut rig = Rig::new();
    let sequence = |partition: &Partition| partition.next_sequence();
    assert_eq!(sequence(&rig.partition), 0);
    let job = rig.at("a", 5);
    assert_eq!(sequence(&rig.partition), 1);
    rig.partition.cancel(job, None).cancelled().unwrap();
    assert_eq!(sequence(&rig.partition), 1);
}
