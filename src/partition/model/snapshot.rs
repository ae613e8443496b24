//! Snapshots: read in slices while calls go on, and read back with the records that came to be since.

use super::input::Bytes;
use super::world::{ID, World, queue_number};
use crate::partition::{Config, Image, Now, Record, Replay};

/// A fuzzy image, and where the records are that it may show.
#[derive(Clone, Debug, Default)]
pub(in crate::partition) struct Snapshot {
    pub(in crate::partition) image: Image,
    /// The number of the first record that the image may lack.
    pub(in crate::partition) covered: usize,
    /// The number of the first record that the image shows nothing of.
    pub(in crate::partition) complete: usize,
}

/// A snapshot of which slices are still to be read.
pub(super) struct Scanning {
    snapshot: Snapshot,
    from: u32,
    slots_max: usize,
    /// How many calls go on between two slices.
    pause: u8,
    left: u8,
}

/// A run, as it was written down.
#[cfg(test)]
pub(in crate::partition) struct History {
    pub(in crate::partition) config: Config,
    /// Each record with the image of the live partition right after it.
    pub(in crate::partition) steps: Vec<(Record, Image)>,
    pub(in crate::partition) snapshots: Vec<Snapshot>,
}

impl Snapshot {
    /// The image, and those of `records`, which begin with the first of all, that it may show some of.
    pub(in crate::partition) fn replay<'a>(
        &self,
        config: &Config,
        records: impl IntoIterator<Item = &'a Record>,
        now: Now,
    ) -> Replay<'static> {
        let mut replay = Replay::new(ID, config.clone(), now).with_queues(queue_number);
        replay.load(self.image.clone(), now).expect("what was met can be loaded");
        for record in records.into_iter().take(self.complete).skip(self.covered) {
            replay.apply_fuzzy(record.clone(), now).expect("what happened meanwhile can be told");
        }
        replay
    }
}

impl World {
    pub(super) fn begin_scan(&mut self, bytes: &mut Bytes<'_>) {
        let (slots, pause) = (bytes.byte(), bytes.byte());
        let image = Image { next_sequence: self.partition.next_sequence(), ..Image::default() };
        let covered = self.records.len();
        self.scanning = Some(Scanning {
            snapshot: Snapshot { image, covered, complete: covered },
            from: 0,
            slots_max: usize::from(slots % 8),
            pause: pause % 16,
            left: 0,
        });
    }

    /// Reads the next slice, if a scan is under way and it is time for one.
    pub(super) fn scan_on(&mut self) {
        let Some(mut scanning) = self.scanning.take() else { return };
        if scanning.left > 0 {
            scanning.left -= 1;
            self.scanning = Some(scanning);
            return;
        }
        let slice = self.partition.scan(scanning.from, scanning.slots_max);
        let met = slice.image.jobs.len() + slice.image.fired.len();
        assert!(met <= scanning.slots_max.max(1), "more than asked for");
        scanning.snapshot.image.add(slice.image);
        scanning.left = scanning.pause;
        if let Some(next) = slice.next {
            assert!(next > scanning.from, "a slice that gets nowhere");
            scanning.from = next;
            self.scanning = Some(scanning);
            return;
        }
        let snapshot = Snapshot { complete: self.records.len(), ..scanning.snapshot };
        let replay = snapshot.replay(&self.config, &self.records, self.now);
        assert_eq!(replay.image(), self.partition.image(), "over {snapshot:?}");
        self.snapshots.push(snapshot);
    }

    /// What was written down, read back: all of it, or the last snapshot and what came after.
    pub(super) fn read_back(&self, is_from_snapshot: bool) -> Replay<'static> {
        let from = self.snapshots.last().filter(|_| is_from_snapshot).cloned().unwrap_or_default();
        let mut replay = from.replay(&self.config, &self.records, self.now);
        for record in &self.records[from.complete..] {
            replay.apply(record.clone(), self.now).expect("what happened can be told");
        }
        replay
    }

    #[cfg(test)]
    pub(super) fn into_history(mut self) -> History {
        while self.scanning.is_some() {
            self.scan_on();
        }
        let images = self.images.unwrap_or_default();
        History {
            config: self.config,
            steps: self.records.into_iter().zip(images).collect(),
            snapshots: self.snapshots,
        }
    }
}
