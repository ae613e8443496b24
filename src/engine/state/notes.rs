//! Progress notes: what running handlers say of how far they are, for whoever looks their jobs up.
//!
//! # Rules
//! - A handler that says nothing costs nothing: neither the start nor the end of a job looks here.
//! - So notes outlive their attempts. A note is shown only to who finds its job in the same attempt, and whatever has ended is
//!   swept out when there are twice as many as the sweep before left: there are never more than that, or [`SWEEP_MIN`].
//! - Partitions are entered while the notes are held, never the other way round.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::job::{JobView, ProgressNote};
use crate::partition::{Handle, Started, Timestamp};

/// Fewer are not worth a sweep.
const SWEEP_MIN: usize = 64;

#[derive(Default)]
pub(crate) struct Notes(Mutex<Book>);

#[derive(Default)]
struct Book {
    notes: HashMap<Handle, Noted>,
    /// How many the last sweep left.
    left: usize,
}

struct Noted {
    /// In which attempt, by its number and by when it began: each occurrence of a recurring job counts anew.
    attempt: u16,
    fired_at: Timestamp,
    turn: u64,
    note: ProgressNote,
}

impl Notes {
    /// Keeps what an attempt says in place of what was said before. What an attempt says that another has followed is dropped.
    pub(crate) fn keep(&self, started: &Started, note: ProgressNote, is_running: impl Fn(Handle) -> bool) {
        let Book { notes, left } = &mut *self.0.lock();
        let (handle, turn) = (started.handle, started.turn);
        let noted = Noted { attempt: started.attempt, fired_at: started.fired_at, turn, note };
        if let Some(last) = notes.get_mut(&handle) {
            if last.turn <= turn {
                *last = noted;
            }
            return;
        }
        if notes.len() >= SWEEP_MIN.max(2 * *left) {
            notes.retain(|&handle, _| is_running(handle));
            *left = notes.len();
        }
        notes.insert(handle, noted);
    }

    /// What the attempt of a running job has said.
    pub(crate) fn of(&self, view: &JobView) -> Option<ProgressNote> {
        let book = self.0.lock();
        let noted = book.notes.get(&view.handle)?;
        let is_of_this = noted.attempt == view.attempt && view.running_since() == Some(noted.fired_at);
        is_of_this.then(|| noted.note.clone())
    }

    #[cfg(all(test, not(any(reveille_loom, reveille_shuttle))))]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().notes.len()
    }
}
