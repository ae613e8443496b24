//! What is shared between threads, run under checkers that choose who goes on at every step. See `sync`.
//!
//! Nothing here stands for the engine: it is the engine's own code that runs, with the checkers' atomics, locks, threads
//! and tasks under it. `scripts/concurrency` runs these tests; in an ordinary build they do not exist.

#[cfg(reveille_loom)]
mod loom;
#[cfg(reveille_shuttle)]
mod shuttle;
