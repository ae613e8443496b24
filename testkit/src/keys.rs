//! Handlers: one that does nothing, and those that note what fires.

use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};

use reveille::Job;

/// A handler that does nothing.
pub async fn nothing(_: Job) {}

/// The keys that fired, in order. Clones share them.
#[derive(Clone, Default, Debug)]
pub struct Keys(Arc<Mutex<Vec<String>>>);

impl Keys {
    /// Notes a key, or another word.
    pub fn push(&self, key: impl Into<String>) {
        self.0.lock().unwrap().push(key.into());
    }

    /// What was noted since the last time.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// How many were noted and not taken.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A handler that notes the key of each job.
    pub fn handler(&self) -> impl Fn(Job) -> Ready<()> + Send + Sync + 'static {
        let keys = self.clone();
        move |job| {
            keys.push(job.key().as_str());
            ready(())
        }
    }

    /// The same for an inline queue.
    pub fn inline_handler(&self) -> impl Fn(&Job) + Send + Sync + 'static {
        let keys = self.clone();
        move |job| keys.push(job.key().as_str())
    }
}
