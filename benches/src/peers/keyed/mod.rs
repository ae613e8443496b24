//! Jobs by key, as a service keeps them: the engine, and what one builds in an afternoon.

mod baseline;
mod engine;

pub(crate) use baseline::Baseline;
pub(crate) use engine::Reveille;

/// A key as a product would have it: 20 bytes.
pub(crate) type KeyText = [u8; 20];

/// What a job carries.
pub(crate) type Payload = [u8; 64];

/// The key of the job with this number.
pub(crate) fn key_text(number: u64) -> KeyText {
    let mut text = *b"order:00000000000000";
    let mut left = number;
    for digit in text.iter_mut().rev().take(14) {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
    text
}

/// Jobs by key. Every one of them is due far in the future: `due` is in milliseconds, counted from a day ahead.
pub(crate) trait Keyed: Sync + Sized {
    const NAME: &'static str;

    /// Names a pending job, without its key.
    type Handle: Copy + Sync;

    fn start() -> Self;

    /// Takes a job whose key is not taken.
    fn schedule(&self, key: &str, payload: &Payload, due: u64) -> Self::Handle;

    /// Moves a pending job.
    fn reschedule(&self, key: &str, due: u64);

    /// Takes a pending job back.
    fn cancel(&self, key: &str);

    /// As `schedule`, of many.
    fn schedule_many<'a>(&self, jobs: impl Iterator<Item = (&'a str, &'a Payload, u64)>);

    /// As `reschedule`, of many.
    fn reschedule_many<'a>(&self, moves: impl Iterator<Item = (&'a str, u64)>);

    /// As `cancel`, of many.
    fn cancel_many<'a>(&self, keys: impl Iterator<Item = &'a str>);

    /// What a pending job carries and when it is due, as far as the caller cares: a number that depends on both.
    fn lookup(&self, key: &str) -> u64;

    fn lookup_by_handle(&self, handle: Self::Handle) -> u64;

    /// Whatever a thread needs to call any of these.
    fn with_thread<T>(&self, run: impl FnOnce() -> T) -> T {
        run()
    }
}
