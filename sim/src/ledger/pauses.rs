//! What was said of the one queue that users of a run pause, and whether a life begins with it.
//!
//! # How it judges
//! - Within a life every answer is foretold by what was said last, and a paused queue starts nothing.
//! - Across lives what was acknowledged last binds, as any fact does. A life may begin with something newer: said, written, and
//!   not acknowledged any more.

use reveille::partition::QueuePause;
use reveille::sim::Image;
use reveille::{Durability, QueueName, Timestamp, Version};

use super::{Done, Fact, Life};

/// The queue.
pub(crate) const PAUSED_QUEUE: &str = "work";

/// What was said in all lives.
#[derive(Default)]
pub(crate) struct Pauses {
    /// The partition that keeps it.
    pub(super) partition: Option<u16>,
    said: Vec<Said>,
}

struct Said {
    version: Version,
    is_paused: bool,
    fact: Fact,
}

impl Pauses {
    /// A life has said that the queue is paused, or goes on. Returns what was said before, and what this did.
    pub(super) fn say(
        &mut self,
        number: u64,
        life: &mut Life,
        is_paused: bool,
        at: Timestamp,
        level: Durability,
    ) -> (Option<QueuePause>, Done) {
        let before = life.pause.clone();
        if life.is_paused() == is_paused {
            return (before, Done::Nothing);
        }
        let version = before.as_ref().map_or(Version::FIRST, |said| Version(said.version.0 + 1));
        let queue = QueueName::new(PAUSED_QUEUE).unwrap_or_else(|_| unreachable!("a constant"));
        life.pause = Some(QueuePause { queue, is_paused, at, version });
        self.said.push(Said { version, is_paused, fact: Fact::new(number, level) });
        (before, Done::Said { at: self.said.len() - 1 })
    }

    pub(super) fn fact_mut(&mut self, at: usize) -> Option<&mut Fact> {
        Some(&mut self.said.get_mut(at)?.fact)
    }

    pub(super) fn facts_mut(&mut self) -> impl Iterator<Item = &mut Fact> {
        self.said.iter_mut().map(|said| &mut said.fact)
    }

    /// What is wrong with what a life begins with, of which these facts bind.
    pub(super) fn missing(
        &self,
        found: Option<&QueuePause>,
        binds: impl Fn(&Fact) -> bool,
    ) -> Option<String> {
        let owed = self.said.iter().filter(|said| binds(&said.fact)).max_by_key(|said| said.version.0)?;
        let is_kept = found.is_some_and(|found| {
            found.version > owed.version
                || (found.version == owed.version && found.is_paused == owed.is_paused)
        });
        let word = if owed.is_paused { "pause" } else { "resumption" };
        let version = owed.version.0;
        (!is_kept).then(|| {
            format!("the {word} of a queue was acknowledged (version {version}), and it has {found:?}")
        })
    }
}

/// What is said of the queue in a state.
pub(super) fn found(images: &[Image]) -> Option<&QueuePause> {
    images.iter().flat_map(|image| &image.pauses).find(|said| said.queue.as_str() == PAUSED_QUEUE)
}
