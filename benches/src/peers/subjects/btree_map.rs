//! The standard library's ordered map, keyed by deadline and then by sequence: what one writes before one looks for a
//! timer.

use std::collections::BTreeMap;

use super::Subject;

#[derive(Default)]
pub(crate) struct BTree {
    timers: BTreeMap<(u64, u64), u32>,
    sequence: u64,
}

impl Subject for BTree {
    const NAME: &'static str = "BTreeMap";

    /// The key.
    type Handle = (u64, u64);

    fn with_capacity(_: usize) -> Self {
        BTree::default()
    }

    fn insert(&mut self, deadline: u64, value: u32) -> Self::Handle {
        let key = (deadline, self.sequence);
        self.sequence += 1;
        self.timers.insert(key, value);
        key
    }

    fn cancel(&mut self, key: Self::Handle) -> bool {
        self.timers.remove(&key).is_some()
    }

    /// A key cannot be changed in place: out and in again.
    fn reschedule(&mut self, key: Self::Handle, deadline: u64) -> Self::Handle {
        let value = self.timers.remove(&key).expect("the timer is pending");
        self.insert(deadline, value)
    }

    fn fire(&mut self, now: u64, mut on_fired: impl FnMut(u32)) {
        while let Some(first) = self.timers.first_entry() {
            if first.key().0 > now {
                break;
            }
            on_fired(first.remove());
        }
    }
}
