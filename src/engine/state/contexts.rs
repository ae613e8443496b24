//! What an application gives its handlers: values by type.

use std::any::{Any, TypeId, type_name};
use std::fmt;
use std::sync::Arc;

use crate::engine::error::StartError;

/// The values of an engine, by type. There are few, so a linear search is faster than a hash.
#[derive(Default)]
pub(crate) struct Contexts(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

/// A type that a task needs among the values.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
#[expect(unnameable_types, reason = "only a `ContextTask` says what it needs")]
pub struct Wanted {
    id: TypeId,
    name: &'static str,
}

impl Contexts {
    pub(crate) fn insert<C: Send + Sync + 'static>(&mut self, context: Arc<C>) {
        let id = TypeId::of::<C>();
        self.0.retain(|&(known, _)| known != id);
        self.0.push((id, context));
    }

    /// The value of this type.
    pub(crate) fn find<C: Send + Sync + 'static>(&self) -> Option<Arc<C>> {
        Arc::clone(self.any(TypeId::of::<C>())?).downcast().ok()
    }

    fn any(&self, id: TypeId) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.0.iter().find(|&&(known, _)| known == id).map(|(_, context)| context)
    }

    /// Checks that what the task `task` needs is there.
    pub(crate) fn check(&self, task: &'static str, wanted: Option<Wanted>) -> Result<(), StartError> {
        match wanted {
            Some(Wanted { id, name }) if self.any(id).is_none() => {
                Err(StartError::NoContext { task, context: name })
            }
            _ => Ok(()),
        }
    }
}

impl Wanted {
    pub(crate) fn of<C: 'static>() -> Self {
        Wanted { id: TypeId::of::<C>(), name: type_name::<C>() }
    }
}

impl fmt::Debug for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contexts").field("count", &self.0.len()).finish()
    }
}
