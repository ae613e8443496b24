//! Which priorities the live jobs of a partition have: none of a tick that is still being gathered can be lower than the lowest.
//!
//! Only jobs whose priority is not the normal one are counted, so that who uses none pays a comparison with a number that is at
//! hand.

use super::Priority;

/// See the [module's documentation](self).
#[derive(Default, Debug)]
pub(super) struct Priorities {
    /// By priority, all but the normal one. `None` until there is such a job.
    others: Option<Box<[u32; 256]>>,
    /// The sum of these.
    total: usize,
}

impl Priorities {
    #[inline]
    pub(super) fn add(&mut self, priority: Priority) {
        if priority != Priority::NORMAL {
            self.add_other(priority);
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, priority: Priority) {
        if priority != Priority::NORMAL {
            self.remove_other(priority);
        }
    }

    #[cold]
    fn add_other(&mut self, priority: Priority) {
        self.others.get_or_insert_with(|| Box::new([0; 256]))[usize::from(priority.0)] += 1;
        self.total += 1;
    }

    #[cold]
    fn remove_other(&mut self, priority: Priority) {
        if let Some(others) = &mut self.others {
            others[usize::from(priority.0)] -= 1;
            self.total -= 1;
        }
    }

    /// The lowest of `live` jobs.
    pub(super) fn lowest(&self, live: usize) -> Priority {
        let others = self.others.iter().filter(|_| self.total > 0).flat_map(|others| others.iter().zip(0..));
        let other = others.filter(|&(&count, _)| count > 0).map(|(_, priority)| Priority(priority)).next();
        let normal = (live > self.total).then_some(Priority::NORMAL);
        other.into_iter().chain(normal).min().unwrap_or(Priority::LAST)
    }

    /// Checks that it counts `live`, the priorities of all live jobs.
    #[cfg(any(test, fuzzing))]
    pub(super) fn validate(&self, live: impl Iterator<Item = Priority>) {
        let mut counted = [0; 256];
        live.filter(|&priority| priority != Priority::NORMAL)
            .for_each(|priority| counted[usize::from(priority.0)] += 1);
        assert_eq!(counted.iter().sum::<u32>() as usize, self.total);
        assert!(self.others.as_ref().is_none_or(|others| **others == counted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_is_known_whatever_comes_and_goes() {
        let mut priorities = Priorities::default();
        assert_eq!(priorities.lowest(0), Priority::LAST);
        assert_eq!(priorities.lowest(3), Priority::NORMAL);
        priorities.add(Priority::NORMAL);
        assert!(priorities.others.is_none(), "who uses none pays for none");
        for (add, live, lowest) in [(200, 1, 200), (200, 3, 100), (7, 4, 7), (0, 5, 0)] {
            priorities.add(Priority(add));
            assert_eq!(priorities.lowest(live), Priority(lowest));
        }
        for (remove, live, lowest) in [(0, 4, 7), (7, 3, 100), (200, 1, 200), (200, 0, 255)] {
            priorities.remove(Priority(remove));
            assert_eq!(priorities.lowest(live), Priority(lowest));
        }
    }
}
