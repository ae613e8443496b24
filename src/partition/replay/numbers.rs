//! The numbers of queues. What is written down has their names; a number holds for one process, and each name is resolved
//! here, once, on its way from a record or an image to the job table.

use std::collections::HashMap;
use std::fmt;

use super::FixedState;
use crate::partition::{QUEUES_MAX, QueueId, QueueName};

/// Gives a queue its number; `None` if there is none left.
type Resolve<'a> = dyn FnMut(&QueueName) -> Option<QueueId> + Send + 'a;

pub(super) struct Numbers<'a> {
    resolve: Box<Resolve<'a>>,
    /// Most jobs are of the queue of the job before them.
    last: Option<(QueueName, QueueId)>,
}

impl<'a> Numbers<'a> {
    pub(super) fn given_by(resolve: impl FnMut(&QueueName) -> Option<QueueId> + Send + 'a) -> Self {
        Numbers { resolve: Box::new(resolve), last: None }
    }

    /// Counts names as they come.
    pub(super) fn counted() -> Self {
        let mut known: HashMap<QueueName, QueueId, FixedState> = HashMap::default();
        Self::given_by(move |name| {
            if let Some(&id) = known.get(name) {
                return Some(id);
            }
            let id = QueueId(u16::try_from(known.len()).ok()?);
            known.insert(name.clone(), id);
            Some(id)
        })
    }

    pub(super) fn number(&mut self, name: &QueueName) -> Option<QueueId> {
        if let Some((last, id)) = &self.last
            && last == name
        {
            return Some(*id);
        }
        let id = (self.resolve)(name).filter(|id| usize::from(id.0) < QUEUES_MAX)?;
        self.last = Some((name.clone(), id));
        Some(id)
    }
}

impl fmt::Debug for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Numbers").field("last", &self.last).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_as_they_come_and_keep_their_numbers() {
        let mut numbers = Numbers::counted();
        let name = |text: &str| QueueName::new(text).unwrap();
        let told: Vec<_> = ["a", "b", "a", "a", "c", "b"].map(|text| numbers.number(&name(text))).into();
        assert_eq!(told, [0, 1, 0, 0, 2, 1].map(|number| Some(QueueId(number))));
    }

    #[test]
    fn a_name_without_a_number_is_said_to_have_none() {
        let mut numbers = Numbers::given_by(|name| (name.as_str() != "too many").then_some(QueueId(7)));
        assert_eq!(numbers.number(&QueueName::new("q").unwrap()), Some(QueueId(7)));
        assert_eq!(numbers.number(&QueueName::new("too many").unwrap()), None);
    }
}
