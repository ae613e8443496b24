//! Calls about queues that share a pool of handlers, and about rates.

use super::{Caller, Wish};
use crate::plan::Turns;

impl Caller {
    pub(super) async fn call_turns(self, call: Turns) {
        match call {
            Turns::Schedule { key, queue, when, priority, behave } => {
                self.schedule(Wish { queue, priority, ..Wish::new(key, when, behave) }).await;
            }
            Turns::SetPool { handlers } => {
                if let Err(error) = self.engine.set_pool(handlers) {
                    return self.broken("4 definite", format!("a pool of {handlers}: {error}"));
                }
                self.note(|| format!("the pool has {handlers} handlers"));
                let _ = self.app.ledger.with(self.life, |life, _| life.limits.set_pool(handlers));
            }
            Turns::SetConcurrency { queue, jobs } => {
                if let Err(error) = self.engine.set_concurrency(queue.name(), jobs) {
                    return self.broken("4 definite", format!("{jobs} of {queue:?}: {error}"));
                }
                self.note(|| format!("{jobs} jobs of {queue:?} may run"));
                let _ = self.app.ledger.with(self.life, |life, _| life.limits.set_concurrency(queue, jobs));
            }
            Turns::SetRate { queue, pace } => {
                if let Err(error) = self.engine.set_rate(queue.name(), pace.map(|pace| pace.to_rate())) {
                    return self.broken("4 definite", format!("a rate of {queue:?}: {error}"));
                }
                self.note(|| format!("the rate of {queue:?} is {pace:?}"));
                let _ = self.app.ledger.with(self.life, |life, _| life.limits.set_rate(queue, pace));
            }
        }
    }
}
