//! One thread's wait for a deadline that any other thread may bring forward.
//!
//! # The race it must win
//! The sleeper decides how long to sleep while callers schedule earlier jobs. It must sleep through none of them:
//!
//! ```text
//! sleeper                                     caller
//! 1. armed = deadline                         a. publish what is due   (a partition's hint)
//! 2. is anything due before it? do not sleep  b. is it before armed? wake
//! 3. sleep
//! ```
//!
//! All four are sequentially consistent, so either the sleeper at 2 sees what the caller published at a, or the caller
//! at b sees what the sleeper armed at 1. A wake-up that comes between 2 and 3 is not lost either: it leaves a token
//! that makes `park` return at once.
//!
//! While the sleeper is awake `armed` is zero, and no caller pays for a wake-up that is not needed: the sleeper will
//! look at the hints again before it sleeps.

use std::sync::Arc;
use std::time::Duration;

use super::margin::Margin;
use super::{Clock, Profile, system};
use crate::partition::MonoTime;
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst, fence};
use crate::sync::thread::{self, Thread};

/// How much earlier a sleeper wakes that has something to do before it spins. With less than half of it left to the
/// deadline there is no time for anything else.
const MEANWHILE_US: u64 = 20;

/// The sleeping side. It belongs to the thread that made it.
#[derive(Debug)]
pub(crate) struct Waiter {
    clock: Clock,
    profile: Profile,
    margin: Margin,
    waker: Arc<Waker>,
}

/// The waking side.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    /// When the sleeper wakes by itself, in microseconds of the monotonic clock; 0 while it is awake.
    armed: AtomicU64,
    is_woken: AtomicBool,
    sleeper: OnceLock<Thread>,
    /// The sleeper, where it is a task of a simulation.
    #[cfg(feature = "_sim")]
    task: parking_lot::Mutex<Option<std::task::Waker>>,
}

impl Waker {
    /// Ends the present wait, or the next one if there is none.
    pub(crate) fn wake(&self) {
        self.is_woken.store(true, SeqCst);
        // A sleeper that is just starting: it publishes itself, then looks whether it was woken. The fences have one of the
        // two see the other; `OnceLock` alone does not give that order.
        fence(SeqCst);
        if let Some(sleeper) = self.sleeper.get() {
            sleeper.unpark();
        }
        #[cfg(feature = "_sim")]
        if let Some(task) = self.task.lock().take() {
            task.wake();
        }
    }

    /// Ends the present wait if it would last beyond `deadline`. To be called after what is due at `deadline` has been
    /// published with a sequentially consistent store.
    pub(crate) fn wake_before(&self, deadline: MonoTime) {
        if deadline.as_micros() < self.armed.load(SeqCst) {
            self.wake();
        }
    }
}

#[cfg(feature = "_sim")]
impl Waker {
    async fn woken(&self) {
        std::future::poll_fn(|context| {
            *self.task.lock() = Some(context.waker().clone());
            if self.is_woken.load(SeqCst) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

impl Waiter {
    /// Makes the calling thread a sleeper that `waker` wakes.
    pub(crate) fn new(clock: Clock, profile: Profile, waker: Arc<Waker>) -> Self {
        let is_first = waker.sleeper.set(thread::current()).is_ok();
        fence(SeqCst);
        debug_assert!(is_first, "a waker has one sleeper");
        match &clock {
            Clock::Manual(manual) => manual.register(Arc::downgrade(&waker)),
            Clock::System => system::sharpen_wake_ups(),
            #[cfg(feature = "_sim")]
            Clock::Simulated(_) => {}
        }
        if let Profile::Dedicated { core, .. } = profile {
            system::pin_to(core);
        }
        Waiter { clock, profile, margin: Margin::new(), waker }
    }

    /// Waits until `deadline` (for ever, if there is none), until woken, or for `at_most`; whichever comes first.
    /// `is_due_before` looks at what is published, and says whether any of it is due before the deadline that it is
    /// given. May return early for no reason.
    ///
    /// A sleeper that has woken early, to spin to the deadline, does `meanwhile` first: a few microseconds of work at most.
    pub(crate) fn wait(
        &mut self,
        deadline: Option<MonoTime>,
        at_most: Option<Duration>,
        is_due_before: impl Fn(MonoTime) -> bool,
        meanwhile: impl FnOnce(),
    ) {
        let deadline = deadline.unwrap_or(MonoTime::MAX);
        self.waker.armed.store(deadline.as_micros(), SeqCst);
        if !self.waker.is_woken.load(SeqCst) && !is_due_before(deadline) {
            match self.clock {
                // Only a move of the clock, which wakes, can make the deadline come.
                Clock::Manual(_) if deadline <= self.clock.mono() => {}
                Clock::Manual(_) => thread::park(),
                Clock::System => self.sleep(deadline, at_most, meanwhile),
                #[cfg(feature = "_sim")]
                Clock::Simulated(_) => {}
            }
        }
        self.waker.armed.store(0, SeqCst);
        self.waker.is_woken.store(false, SeqCst);
    }

    /// The same for a sleeper that is a task of a simulation: others may run wherever a thread could be interrupted.
    #[cfg(feature = "_sim")]
    pub(crate) async fn wait_simulated(
        &self,
        deadline: Option<MonoTime>,
        at_most: Option<Duration>,
        is_due_before: impl Fn(MonoTime) -> bool,
    ) {
        let deadline = deadline.unwrap_or(MonoTime::MAX);
        self.waker.armed.store(deadline.as_micros(), SeqCst);
        tokio::task::yield_now().await;
        if !self.waker.is_woken.load(SeqCst) && !is_due_before(deadline) {
            tokio::task::yield_now().await;
            let until = Duration::from_micros(deadline.micros_since(self.clock.mono()));
            tokio::select! {
                biased;
                () = self.waker.woken() => {}
                () = crate::rt::sleep(until.min(at_most.unwrap_or(Duration::MAX))) => {}
            }
        }
        self.waker.armed.store(0, SeqCst);
        self.waker.is_woken.store(false, SeqCst);
    }

    fn sleep(&mut self, deadline: MonoTime, at_most: Option<Duration>, meanwhile: impl FnOnce()) {
        let begun = system::mono();
        let limit_us = at_most.map_or(u64::MAX, |limit| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX));
        let end = deadline.min(begun.saturating_add_micros(limit_us));
        let early_us = match self.profile {
            // A limit is not an instant to be met: spin only for the deadline itself.
            _ if end < deadline => 0,
            Profile::Eco => 0,
            Profile::Precise => self.margin.us() + MEANWHILE_US,
            Profile::Dedicated { spin, .. } => u64::try_from(spin.as_micros()).unwrap_or(u64::MAX),
        };
        if end == MonoTime::MAX {
            thread::park();
            return;
        }
        let sleep_us = end.micros_since(begun).saturating_sub(early_us);
        if sleep_us > 0 {
            thread::park_timeout(Duration::from_micros(sleep_us));
            if self.waker.is_woken.load(SeqCst) {
                return;
            }
            let slept_us = system::mono().micros_since(begun);
            if slept_us >= sleep_us {
                self.margin.observe(slept_us - sleep_us);
            }
        }
        if early_us > 0 {
            if system::mono().saturating_add_micros(MEANWHILE_US / 2) < end {
                meanwhile();
            }
            while !self.waker.is_woken.load(SeqCst) && system::mono() < end {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn us_after(start: MonoTime) -> u64 {
        system::mono().micros_since(start)
    }

    #[test]
    fn it_never_returns_before_the_deadline_unless_woken() {
        for profile in [Profile::Eco, Profile::Precise, Profile::DEDICATED] {
            let waker = Arc::new(Waker::default());
            let sleeping = thread::spawn(move || {
                let mut waiter = Waiter::new(Clock::System, profile, waker);
                for delay_us in [0, 1, 50, 500, 3_000, 20_000] {
                    let deadline = system::mono().saturating_add_micros(delay_us);
                    // A park may return for no reason: the driver loops, and so does this.
                    while system::mono() < deadline {
                        waiter.wait(Some(deadline), None, |_| false, || {});
                    }
                }
            });
            sleeping.join().expect("the sleeper ends");
        }
    }

    #[test]
    fn an_earlier_deadline_wakes_it_and_a_later_one_does_not() {
        let waker = Arc::new(Waker::default());
        let (armed, is_armed) = mpsc::channel();
        let sleeper = {
            let waker = Arc::clone(&waker);
            thread::spawn(move || {
                let mut waiter = Waiter::new(Clock::System, Profile::Eco, waker);
                let start = system::mono();
                armed.send(start).expect("the test listens");
                waiter.wait(Some(start.saturating_add_micros(30_000_000)), None, |_| false, || {});
                us_after(start)
            })
        };
        let start = is_armed.recv().expect("the sleeper speaks");
        while waker.armed.load(SeqCst) == 0 {
            thread::yield_now();
        }
        waker.wake_before(start.saturating_add_micros(40_000_000));
        assert!(!waker.is_woken.load(SeqCst), "a later deadline does not wake");
        waker.wake_before(start.saturating_add_micros(1_000));
        assert!(sleeper.join().expect("the sleeper ends") < 25_000_000);
    }

    /// The race of the module's documentation, a hundred thousand times: a published deadline is never slept through.
    #[test]
    fn a_deadline_published_while_it_falls_asleep_is_not_slept_through() {
        const ROUNDS: u64 = 100_000;
        let waker = Arc::new(Waker::default());
        let published = Arc::new(AtomicU64::new(0));
        let seen = Arc::new(AtomicU64::new(0));
        let sleeper = {
            let (waker, published, seen) = (Arc::clone(&waker), Arc::clone(&published), Arc::clone(&seen));
            thread::spawn(move || {
                let mut waiter = Waiter::new(Clock::System, Profile::Eco, waker);
                loop {
                    let known = published.load(SeqCst);
                    seen.store(known, SeqCst);
                    if known == ROUNDS {
                        break;
                    }
                    // Far away, so that a lost wake-up hangs the test.
                    waiter.wait(None, None, |_| published.load(SeqCst) > known, || {});
                }
            })
        };
        for round in 1..=ROUNDS {
            published.store(round, SeqCst);
            waker.wake_before(MonoTime::from_micros(1));
            while seen.load(SeqCst) < round {
                std::hint::spin_loop();
                if round % 7 == 0 {
                    thread::yield_now();
                }
            }
        }
        sleeper.join().expect("the sleeper ends");
    }

    #[test]
    fn a_limit_ends_the_wait() {
        let waker = Arc::new(Waker::default());
        let mut waiter = Waiter::new(Clock::System, Profile::Precise, waker);
        let start = system::mono();
        waiter.wait(None, Some(Duration::from_millis(2)), |_| false, || {});
        assert!(us_after(start) < 10_000_000);
    }
}
