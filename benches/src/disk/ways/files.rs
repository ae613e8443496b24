//! Files of our own frames, no more than is needed to measure what they cost: one log of segments for all partitions, and a
//! file for each snapshot. A sync is shared by all who wait. The store proper has more to do; this says what it may cost.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use reveille::partition::{PartitionId, Record};
use reveille::store::Loaded;
use reveille::store::codec::{BatchHeader, Names, decode_batch};

use super::backend::{Assembly, Backend, Change, Error, Meta};

const SEGMENT_BYTES: u64 = 64 << 20;

/// What a frame has before its body, and where in that its length is.
const HEADER_BYTES: usize = 16;
const LENGTH: std::ops::Range<usize> = 8..12;

type Decoded = (BatchHeader, Vec<Record>);

#[derive(Debug)]
struct Files {
    folder: PathBuf,
    is_inline: bool,
    log: Mutex<Log>,
    /// What was in the log when it was opened, until it is loaded.
    found: Mutex<BTreeMap<PartitionId, Vec<Decoded>>>,
    /// The snapshot that is being written, of each partition.
    snapshots: Mutex<BTreeMap<PartitionId, (PathBuf, File)>>,
}

#[derive(Debug)]
struct Log {
    file: Arc<File>,
    number: u64,
    bytes: u64,
    /// The sequence after the last record, by segment and partition.
    ends: BTreeMap<u64, BTreeMap<PartitionId, u64>>,
    covered: BTreeMap<PartitionId, u64>,
    unsynced: Vec<Arc<File>>,
    is_broken: bool,
}

pub(crate) fn open(folder: &Path, is_inline: bool) -> Result<impl Backend, Error> {
    let (mut ends, mut found) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix("log-")?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    for number in &numbers {
        let here: &mut BTreeMap<_, _> = ends.entry(*number).or_default();
        let is_last = Some(number) == numbers.last();
        for (header, records) in read(&segment(folder, *number), is_last)? {
            here.insert(header.partition, header.first_record + records.len() as u64);
            found.entry(header.partition).or_default().push((header, records));
        }
    }
    let number = numbers.last().map_or(0, |last| last + 1);
    let log = Log {
        file: Arc::new(create(folder, number)?),
        number,
        bytes: 0,
        ends,
        covered: BTreeMap::new(),
        unsynced: Vec::new(),
        is_broken: false,
    };
    let folder = folder.to_owned();
    Ok(Files {
        folder,
        is_inline,
        log: Mutex::new(log),
        found: Mutex::new(found),
        snapshots: Mutex::default(),
    })
}

fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("log-{number:08}"))
}

fn create(folder: &Path, number: u64) -> Result<File, Error> {
    let file = OpenOptions::new().append(true).create_new(true).open(segment(folder, number))?;
    sync_folder(folder)?;
    Ok(file)
}

fn sync_folder(folder: &Path) -> Result<(), Error> {
    Ok(File::open(folder)?.sync_all()?)
}

/// The batches of a segment. A last one that is torn is cut off.
fn read(path: &Path, is_last: bool) -> Result<Vec<Decoded>, Error> {
    let (bytes, mut names, mut batches) = (fs::read(path)?, Names::new(), Vec::new());
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let mut records = Vec::new();
        let frame = first_frame(rest);
        match frame.and_then(|frame| Ok(decode_batch(frame, &mut names, &mut records)?)) {
            Ok(header) => batches.push((header, records)),
            Err(_) if is_last => {
                OpenOptions::new().write(true).open(path)?.set_len((bytes.len() - rest.len()) as u64)?;
                break;
            }
            Err(error) => return Err(error),
        }
        rest = &rest[first_frame(rest)?.len()..];
    }
    Ok(batches)
}

fn first_frame(bytes: &[u8]) -> Result<&[u8], Error> {
    let length = bytes.get(LENGTH).ok_or("a frame is torn")?;
    let length = HEADER_BYTES + usize::try_from(u32::from_le_bytes(length.try_into()?))?;
    Ok(bytes.get(..length).ok_or("a frame is torn")?)
}

impl Files {
    fn append(&self, log: &mut Log, partition: PartitionId, end: u64, frame: &[u8]) -> Result<(), Error> {
        if log.bytes + frame.len() as u64 > SEGMENT_BYTES {
            let file = Arc::new(create(&self.folder, log.number + 1)?);
            let full = std::mem::replace(&mut log.file, file);
            log.unsynced.push(full);
            (log.number, log.bytes) = (log.number + 1, 0);
        }
        (&*log.file).write_all(frame)?;
        log.bytes += frame.len() as u64;
        log.ends.entry(log.number).or_default().insert(partition, end);
        Ok(())
    }

    fn write_chunks(
        &self,
        partition: PartitionId,
        generation: u64,
        first: u32,
        chunks: &[Vec<u8>],
    ) -> Result<(), Error> {
        let mut snapshots = self.snapshots.lock().unwrap();
        if first == 0 {
            let path = self.snapshot(partition, generation);
            snapshots.insert(partition, (path.clone(), File::create(path)?));
        }
        let (_, file) = snapshots.get_mut(&partition).ok_or("no snapshot was begun")?;
        chunks.iter().try_for_each(|chunk| file.write_all(chunk))?;
        Ok(())
    }

    fn publish(&self, partition: PartitionId, meta: &Meta, replaces_log: bool) -> Result<(), Error> {
        let written = self.snapshots.lock().unwrap().remove(&partition);
        if let Some((_, file)) = &written {
            file.sync_all()?;
        }
        let before = self.meta(partition)?;
        self.write_meta(partition, meta, true)?;
        if let Some(before) =
            before.filter(|before| before.chunks > 0 && before.generation != meta.generation)
        {
            fs::remove_file(self.snapshot(partition, before.generation))?;
        }
        let gone: Vec<u64> = {
            let mut log = self.log.lock().unwrap();
            log.covered.insert(partition, if replaces_log { u64::MAX } else { meta.covered });
            let Log { ends, covered, number, .. } = &mut *log;
            let is_gone = |ends: &BTreeMap<_, _>| {
                ends.iter()
                    .all(|(partition, end)| covered.get(partition).is_some_and(|covered| covered >= end))
            };
            let gone = ends.iter().filter(|(at, ends)| *at != number && is_gone(ends));
            let gone: Vec<_> = gone.map(|(at, _)| *at).collect();
            ends.retain(|at, _| !gone.contains(at));
            gone
        };
        gone.into_iter().try_for_each(|number| fs::remove_file(segment(&self.folder, number)))?;
        Ok(())
    }

    fn write_meta(&self, partition: PartitionId, meta: &Meta, is_synced: bool) -> Result<(), Error> {
        let (path, aside) = (self.meta_path(partition), self.folder.join(format!("aside-{}", partition.0)));
        let mut file = File::create(&aside)?;
        file.write_all(&meta.to_bytes())?;
        if is_synced {
            file.sync_all()?;
        }
        fs::rename(aside, path)?;
        if is_synced { sync_folder(&self.folder) } else { Ok(()) }
    }

    fn meta_path(&self, partition: PartitionId) -> PathBuf {
        self.folder.join(format!("meta-{}", partition.0))
    }

    fn snapshot(&self, partition: PartitionId, generation: u64) -> PathBuf {
        self.folder.join(format!("snapshot-{}-{generation}", partition.0))
    }

    fn append_all(&self, changes: Vec<Change>) -> Result<(), Error> {
        let mut log = self.log.lock().unwrap();
        if log.is_broken {
            return Err("a write has failed before".into());
        }
        for change in changes {
            if let Change::Append { partition, end, frame } = change {
                let appended = self.append(&mut log, partition, end, &frame);
                log.is_broken = appended.is_err();
                appended?;
            }
        }
        Ok(())
    }
}

impl Backend for Files {
    fn commit(&self, changes: Vec<Change>) -> Result<(), Error> {
        let (appends, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| matches!(change, Change::Append { .. }));
        self.append_all(appends)?;
        for change in others {
            match change {
                Change::Append { .. } => {}
                Change::Chunks { partition, generation, first, chunks } => {
                    self.write_chunks(partition, generation, first, &chunks)?;
                }
                // A lost epoch is none that a living owner has: losing the power ends owners too.
                Change::Meta { partition, meta } => self.write_meta(partition, &meta, false)?,
                Change::Publish { partition, meta, replaces_log } => {
                    self.publish(partition, &meta, replaces_log)?;
                }
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), Error> {
        // Appends go on meanwhile.
        let files = {
            let mut log = self.log.lock().unwrap();
            let mut files = std::mem::take(&mut log.unsynced);
            files.push(Arc::clone(&log.file));
            files
        };
        files.iter().try_for_each(|file| file.sync_data())?;
        Ok(())
    }

    fn is_inline(&self) -> bool {
        self.is_inline
    }

    fn frame_bytes_max(&self) -> usize {
        reveille::store::codec::FRAME_BYTES_IDEAL
    }

    fn meta(&self, partition: PartitionId) -> Result<Option<Meta>, Error> {
        match fs::read(self.meta_path(partition)) {
            Ok(bytes) => Meta::from_bytes(&bytes).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn log_end(&self, partition: PartitionId, meta: &Meta) -> Result<u64, Error> {
        let log = self.log.lock().unwrap();
        let ends = log.ends.values().filter_map(|ends| ends.get(&partition));
        Ok(ends.copied().max().unwrap_or_default().max(meta.covered))
    }

    fn load(&self, partition: PartitionId, meta: &Meta) -> Result<Loaded, Error> {
        let mut assembly = Assembly::new(partition, *meta);
        if meta.chunks > 0 {
            let bytes = fs::read(self.snapshot(partition, meta.generation))?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let frame = first_frame(rest)?;
                assembly.chunk(frame)?;
                rest = &rest[frame.len()..];
            }
        }
        let found = self.found.lock().unwrap().remove(&partition);
        for (header, records) in found.into_iter().flatten() {
            assembly.batch(&header, records)?;
        }
        assembly.finish()
    }
}
