//! What threads share is built on this: std's atomics and threads, and tokio's `Notify`.
//!
//! In a build with `--cfg reveille_loom` or `--cfg reveille_shuttle` the same names are those of a checker, which runs
//! the threads of a test one step at a time in an order of its own choosing: loom in all orders (up to a bound), with
//! everything that the memory model lets a load see; shuttle in random orders, for models too large for loom. `engine/interleavings` has
//! the tests, `scripts/concurrency` runs them. In any other build these are re-exports.
//!
//! Under shuttle `lib.rs` has shuttle's own `tokio` and `parking_lot` take the place of those crates, so the whole
//! engine runs under it. Under loom only what uses this module is checked.

#[cfg(reveille_loom)]
mod loom;

#[cfg(not(any(reveille_loom, reveille_shuttle)))]
pub(crate) use std::sync::{OnceLock, atomic};
#[cfg(not(any(reveille_loom, reveille_shuttle)))]
pub(crate) use std::thread;

#[cfg(reveille_shuttle)]
pub(crate) use shuttle::{sync::atomic, thread};
// It is only set or read, each in a single step.
#[cfg(reveille_shuttle)]
pub(crate) use std::sync::OnceLock;

#[cfg(not(reveille_loom))]
pub(crate) use tokio::sync::Notify;

#[cfg(reveille_loom)]
pub(crate) use self::loom::{Notify, OnceLock, atomic, thread};
