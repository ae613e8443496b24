//! Waiting for a store that is not there yet, and saying so.
//!
//! A service that starts with its machine may be up before its Redis is, or while that reads a dump of gigabytes: `run`
//! waits. A command run by hand should report that nothing is there; but loading is known to end.

use std::future::Future;
use std::time::Duration;

use reveille::Clock;
use reveille::store::{StoreError, StoreErrorClass};

use super::Named;
use super::any::AnyStore;
use crate::complain;

/// How long to ask a store again that does not answer.
const SHORT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// When to say first that the program waits, and how often after that.
const TELL_FIRST: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(30);

/// How long to wait for a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// A few seconds.
    Short,
    /// The same, not counting the time in which Redis says that it is loading.
    WhileLoading,
    ForEver,
}

/// The result of asking so far.
struct Waiting {
    patience: Patience,
    began: Duration,
    /// When it last answered.
    heard: Duration,
    tell_at: Duration,
    /// The message, as far as it is known.
    error: StoreError,
    /// Whether it has said that it is not ready.
    is_loading: bool,
    has_told: bool,
}

impl Patience {
    /// For an engine that starts once the store has answered.
    pub(super) fn of_start(self) -> Duration {
        if self == Patience::ForEver { Duration::MAX } else { SHORT }
    }
}

impl Named {
    /// Asks again while there is no answer, as long as the patience lasts.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(AnyStore) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        self.ask_patiently(question).await.map_err(|error| self.cannot_use(&error))
    }

    /// The same, for whoever has words of its own for the error.
    pub(super) async fn ask_patiently<T, F>(&self, question: impl Fn(AnyStore) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let ask_after = |pause| {
            let asked = question(self.store.clone());
            async move {
                tokio::time::sleep(pause).await;
                asked.await
            }
        };
        let mut waiting = Waiting::new(self.patience);
        let mut asking = Box::pin(ask_after(Duration::ZERO));
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => match answer {
                    Err(error) if waiting.goes_on_after(&error) => asking = Box::pin(ask_after(PAUSE)),
                    answer => {
                        waiting.tell_end();
                        return answer;
                    }
                },
                () = tokio::time::sleep(waiting.left()) => {
                    if waiting.is_over() {
                        return Err(waiting.error);
                    }
                    waiting.tell();
                }
            }
        }
    }
}

impl Waiting {
    fn new(patience: Patience) -> Self {
        let began = now();
        let error = StoreError::retry("it has not answered yet");
        Waiting {
            patience,
            began,
            heard: began,
            tell_at: began + TELL_FIRST,
            error,
            is_loading: false,
            has_told: false,
        }
    }

    /// Whether it is asked again after this.
    fn goes_on_after(&mut self, error: &StoreError) -> bool {
        if error.class != StoreErrorClass::Retry {
            return false;
        }
        if error.again_after.is_some() && self.patience == Patience::WhileLoading {
            self.heard = now();
        }
        if error.again_after.is_some() && !self.is_loading {
            // Better news than no answer, which may have been reported.
            self.is_loading = true;
            self.tell_at = self.tell_at.min(now().max(self.began + TELL_FIRST));
        }
        self.error = error.clone();
        !self.is_over()
    }

    fn gives_up_at(&self) -> Option<Duration> {
        (self.patience != Patience::ForEver).then(|| self.heard + SHORT)
    }

    fn is_over(&self) -> bool {
        self.gives_up_at().is_some_and(|at| at <= now())
    }

    /// Until there is something to say or to do.
    fn left(&self) -> Duration {
        let until = self.gives_up_at().map_or(self.tell_at, |at| at.min(self.tell_at));
        // Not at all, if the clock and the timer do not quite agree.
        until.saturating_sub(now()).max(Duration::from_millis(1))
    }

    fn tell(&mut self) {
        let now = now();
        if now < self.tell_at {
            return;
        }
        let waited = (now - self.began).as_secs();
        let error = &self.error;
        let how = match self.patience {
            Patience::ForEver => "; --fail-fast would give up",
            Patience::WhileLoading | Patience::Short => "",
        };
        complain(format_args!("waiting for the store, for {waited} s so far: {error}{how}"));
        self.tell_at = now + TELL_EVERY;
        self.has_told = true;
    }

    fn tell_end(&self) {
        if self.has_told {
            complain(format_args!("the store has answered after {} s", (now() - self.began).as_secs()));
        }
    }
}

/// By the monotonic clock.
fn now() -> Duration {
    Duration::from_micros(Clock::System.now().mono.as_micros())
}
