//! Queues while the engine runs: added, and given other limits. For pauses see `queue_pause`.

use std::future::Future;
use std::sync::Arc;

use crate::engine::error::{PoolError, QueueError};
use crate::engine::queues::{Queue, QueueConfig, Rate};
use crate::engine::run::{Ends, Job, worker};
use crate::engine::state::Engine;

impl Engine {
    #[doc(alias = "queue")]
    /// Adds a queue with an async handler while the engine runs. See [`Builder::queue`](crate::Builder::queue).
    ///
    /// # Errors
    /// See [`QueueError`].
    pub fn add_queue<F, Fut>(&self, config: impl Into<QueueConfig>, handler: F) -> Result<(), QueueError>
    where
        F: Fn(Job) -> Fut + Send + Sync + 'static,
        Fut: Future + Send + 'static,
        Fut::Output: Ends,
    {
        if self.shared.handlers.has_ended() {
            return Err(QueueError::RuntimeEnded);
        }
        let config = config.into();
        config.check(self.shared.settings.horizon)?;
        config.check_place(self.shared.pool.is_some())?;
        let layers = config.layers().clone();
        let queue = self.shared.queues.claim(config)?;
        self.shared.recall_pause(&queue);
        self.shared.pool.iter().for_each(|pool| pool.join(&queue));
        queue.run_by(worker::runner(Arc::downgrade(&self.shared), &layers, Arc::new(handler)));
        self.shared.call_workers(&queue);
        Ok(())
    }

    /// Changes how many jobs of a queue may start in a time; `None` for as many as its concurrency lets.
    ///
    /// It is a setting of this process, and not kept as a [pause](Self::pause) is: after a restart, and at a standby that takes over, the queue
    /// has the [rate that it is built with](crate::QueueConfig::rate). One that is to last belongs into the configuration that the engine
    /// is built from.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn set_rate(&self, queue: &str, rate: Option<Rate>) -> Result<(), QueueError> {
        let queue = self.queue(queue)?;
        queue.set_rate(rate);
        self.shared.start_again(queue);
        Ok(())
    }

    /// Changes how many jobs of a queue may run at a time. With fewer than run now, those go on, and others start when enough have ended.
    /// Of an inline queue one runs at a time, whatever is said here.
    ///
    /// It is a setting of this process, as [a rate](Self::set_rate) is: after a restart, and at a standby that takes over, the queue has the
    /// [concurrency that it is built with](crate::QueueConfig::concurrency).
    ///
    /// # Errors
    /// When there is no such queue, or none may run.
    pub fn set_concurrency(&self, queue: &str, jobs: usize) -> Result<(), QueueError> {
        let queue = self.queue(queue)?;
        if jobs == 0 {
            return Err(QueueError::NoConcurrency { name: queue.name.as_str().to_owned() });
        }
        queue.set_concurrency(jobs);
        // Workers that go from job to job look again, and those that are too many leave.
        self.shared.releases.note();
        self.shared.call_workers(queue);
        Ok(())
    }

    /// Changes how many handlers may run at a time over all queues of the [pool](crate::Builder::pool). With fewer than run now, those
    /// go on, and others start when enough have ended. It is a setting of this process: after a restart the pool is as it is built.
    ///
    /// # Errors
    /// When the engine was built without a pool, or none may run.
    pub fn set_pool(&self, handlers: usize) -> Result<(), PoolError> {
        let pool = self.shared.pool.as_ref().ok_or(PoolError::NoPool)?;
        if handlers == 0 {
            return Err(PoolError::Empty);
        }
        pool.set_limit(handlers);
        self.shared.call_all();
        Ok(())
    }

    fn queue(&self, name: &str) -> Result<&Arc<Queue>, QueueError> {
        self.shared.queues.by_name(name).ok_or_else(|| QueueError::Unknown { name: name.to_owned() })
    }
}
