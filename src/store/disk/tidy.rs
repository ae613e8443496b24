//! Removing what snapshots have made useless, so that the log stays as short as what it is needed for.
//!
//! # Rules
//! - A segment goes when nothing in it counts any more. One of which less than half counts is written anew with that half, so
//!   the log has at most twice what counts, and a segment.
//! - A snapshot goes when a newer one is on the disk.
//! - While a segment is given up, those behind it stay: they say that its end is not trusted. It is written anew without that
//!   end as soon as all that was lost with it has been written elsewhere.
//! - Only one tidies up at a time, and nobody waits for it: appends go on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Core;
use super::block::Head;
use super::errors::failed;
use super::log::{Segment, Share};
use super::rewrite::rewrite;
use super::segment::{self, Says};
use super::state::Open;
use crate::store::StoreError;

impl Core {
    /// Does what there is to do.
    pub(super) fn tidy(&self) -> Result<(), StoreError> {
        let Some(_only) = self.tidying.try_lock() else { return Ok(()) };
        let (mut useless, sparse) = match self.state.lock().as_mut() {
            Some(open) => (open.take_useless(), open.sparse()),
            None => return Ok(()),
        };
        while let Some(path) = useless.pop() {
            match self.config.files.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    let refusal = failed("removing", &path, &error);
                    useless.push(path);
                    // The next one removes them.
                    self.state.lock().iter_mut().for_each(|open| open.useless.append(&mut useless));
                    return Err(refusal);
                }
                _ => {}
            }
        }
        for number in sparse {
            self.thin_out(number)?;
        }
        Ok(())
    }

    /// Writes a segment anew with what counts of it.
    fn thin_out(&self, number: u64) -> Result<(), StoreError> {
        let (files, dir) = (&*self.config.files, self.config.path());
        let Some(mut read) = segment::Segment::read(files, dir, number)? else { return Ok(()) };
        let Some(trusted_bytes) = self.trusted_bytes(number) else { return Ok(()) };
        let says = Says { ended: read.ends(), ..read.says.clone() };
        read.entries.retain(|entry| entry.offset < trusted_bytes);
        let before = read.entries.len();
        {
            let state = self.state.lock();
            let Some(open) = state.as_ref() else { return Ok(()) };
            read.entries.retain(|entry| open.counts(&entry.head));
        }
        tracing::debug!(number, before, after = read.entries.len(), "a segment is written anew");
        let file = rewrite(files, dir, &read, Some(&says))?;
        let bytes = file.bytes().map_err(|error| failed("reading", &read.path, &error))?;
        let mut state = self.state.lock();
        // It may have been lost meanwhile; then the new one is of no use either.
        let Some(open) = state.as_mut() else { return Ok(()) };
        let Some(segment) = open.log.segments.get_mut(&number) else { return Ok(()) };
        read.good_bytes = bytes;
        *segment = Segment::found(&read, Arc::clone(&file));
        // They lie elsewhere now.
        open.partitions.values_mut().for_each(|partition| partition.found = None);
        Ok(())
    }

    /// How many bytes of a segment are trusted; `None` if it is gone, or takes batches.
    fn trusted_bytes(&self, number: u64) -> Option<u64> {
        let state = self.state.lock();
        let log = &state.as_ref()?.log;
        let segment = log.segments.get(&number).filter(|_| !log.is_current(number))?;
        Some(if segment.is_given_up { segment.synced_bytes } else { segment.bytes })
    }
}

impl Open {
    /// Whether a batch is needed to restore its partition.
    fn counts(&self, head: &Head) -> bool {
        self.needs(head.partition, head.end, head.lsn)
    }

    fn needs(&self, partition: u16, end: u64, lsn: u64) -> bool {
        self.partitions.get(&partition).is_none_or(|of| lsn >= of.from_lsn && end > of.covered())
    }

    /// How many bytes of a segment count, where each partition's last batch speaks for all.
    fn needed_bytes(&self, segment: &Segment) -> u64 {
        let is_needed = |(partition, share): &(&u16, &Share)| self.needs(**partition, share.end, share.lsn);
        segment.shares.iter().filter(is_needed).map(|(_, share)| share.bytes).sum()
    }

    /// The files that are not needed any more. Takes the segments in which nothing counts out of the log.
    fn take_useless(&mut self) -> Vec<PathBuf> {
        let first_given_up =
            self.log.segments.iter().find(|(_, segment)| segment.is_given_up).map(|(&number, _)| number);
        let stays =
            |number: u64| self.log.is_current(number) || first_given_up.is_some_and(|first| first < number);
        let useless: Vec<u64> = self
            .log
            .segments
            .iter()
            .filter(|&(&number, segment)| !stays(number) && self.needed_bytes(segment) == 0)
            .map(|(&number, _)| number)
            .collect();
        let segments =
            useless.iter().filter_map(|number| self.log.segments.remove(number)).map(|segment| segment.path);
        std::mem::take(&mut self.useless).into_iter().chain(segments).collect()
    }

    /// The segments that are to be written anew: those that were given up once nobody needs what was lost in them, and those of
    /// which less than half counts.
    fn sparse(&self) -> Vec<u64> {
        let has_doubts = self.has_doubts();
        let is_sparse = |number: u64, segment: &Segment| {
            if segment.is_given_up {
                return !has_doubts;
            }
            let is_closed = !self.log.is_current(number) && segment.synced_bytes == segment.bytes;
            is_closed && self.needed_bytes(segment) < segment.bytes / 2
        };
        let all = self.log.segments.iter();
        all.filter(|&(&number, segment)| is_sparse(number, segment)).map(|(&number, _)| number).collect()
    }
}
