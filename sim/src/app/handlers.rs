//! The handlers of a run's jobs: each does what its job's payload says.

use std::sync::Arc;
use std::time::Duration;

use reveille::sim::Simulation;
use reveille::{End, Job};

use super::App;
use crate::calls::{Caller, Wish};
use crate::ledger::nonce;
use crate::plan::{Behave, When};
use crate::process::Process;

/// What the handlers of one life share.
#[derive(Clone)]
pub(super) struct Handlers {
    pub app: Arc<App>,
    pub process: Arc<Process>,
    pub life: u64,
}

impl Handlers {
    pub(super) async fn handle(&self, job: Job) -> Result<(), String> {
        let Some(nonce) = nonce(job.payload().as_bytes()) else { return Ok(()) };
        self.app.ledger.began(self.life, nonce);
        let behave = Behave::of_payload(job.payload().as_bytes());
        match behave {
            Behave::Slow(us) => self.process.sleep(Duration::from_micros(us)).await,
            Behave::Hang => {
                let mut healed = self.app.is_healed.subscribe();
                let _ = healed.wait_for(|is_healed| *is_healed).await;
            }
            Behave::Repeat(us) => self.repeat(&job, us),
            Behave::Quick | Behave::Fail | Behave::Panic => {}
        }
        self.app.ledger.ended(self.life, nonce, end_of(&behave));
        self.app.world.note(|| format!("life {}: end of {nonce}", self.life));
        match behave {
            Behave::Fail => Err("it was told to".to_owned()),
            Behave::Panic => panic!("it was told to"),
            _ => Ok(()),
        }
    }

    pub(super) fn handle_inline(&self, job: &Job) -> Result<(), String> {
        let Some(nonce) = nonce(job.payload().as_bytes()) else { return Ok(()) };
        self.app.ledger.began(self.life, nonce);
        let behave = Behave::of_payload(job.payload().as_bytes());
        if let Behave::Repeat(us) = behave {
            self.repeat(job, us);
        }
        self.app.ledger.ended(self.life, nonce, end_of(&behave));
        match behave {
            Behave::Fail => Err("it was told to".to_owned()),
            Behave::Panic => panic!("it was told to"),
            _ => Ok(()),
        }
    }

    fn repeat(&self, job: &Job, us: u64) {
        let caller = Caller {
            app: Arc::clone(&self.app),
            process: Arc::clone(&self.process),
            life: self.life,
            engine: job.engine(),
        };
        let wish = Wish {
            key: job.key().as_str().to_owned(),
            is_inline: job.queue() == "inline",
            when: When::In(us),
            on_conflict: reveille::OnConflict::Keep,
            priority: job.priority(),
            is_once: false,
            level: None,
            behave: Behave::Quick,
        };
        self.process.spawn_task(caller.schedule(wish));
    }
}

/// How a handler with this behaviour ends.
fn end_of(behave: &Behave) -> End {
    match behave {
        Behave::Fail => End::Failed,
        Behave::Panic => End::Panicked,
        _ => End::Done,
    }
}
