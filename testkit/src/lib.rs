//! What the tests of this workspace share. A test names what it checks; how a Redis is started, how one waits, and what a store
//! has to answer that misbehaves is here, once.
//!
//! - [`redis`], [`port`]: a Redis of a test's own; [`proxy`]: a line to it that is slow, cut or dead.
//! - [`scripted`]: any store, made to stand still or to fail call by call; [`hollow`]: a store that keeps nothing.
//! - [`wait`]: until something is so, with a bound; [`time`]: where test time begins.
//! - [`keys`]: what fired; [`logs`]: what was logged; [`truth`]: what must be in an engine after a workload.
//! - [`program`]: `reveille` as a child process, fed and read; [`corpus`]: what fuzzing has found. With the feature `schema`, what it
//!   writes is held against the JSON Schema of its lines.
//!
//! # Rules
//! - It depends on the library, and the library's integration tests depend on it. Unit tests inside `src/` do not: they would
//!   meet another copy of the library's types, and the published crate has no testkit.
//! - Whatever it starts listens on 127.0.0.1, on a [`port`] of its own, and ends with the value that stands for it, also when
//!   the test panics.
//! - It panics where a test would, and says what it waited for.

pub mod corpus;
pub mod hollow;
pub mod keys;
pub mod logs;
pub mod port;
#[cfg(unix)]
pub mod program;
pub mod proxy;
pub mod random;
pub mod redis;
#[cfg(feature = "schema")]
pub mod schema;
pub mod scripted;
pub mod time;
pub mod truth;
pub mod wait;

mod client;

pub use keys::{Keys, nothing};
pub use time::{HOUR, MINUTE, SECOND, TEN_O_CLOCK, at_ms, ms, real_now};
pub use wait::{eventually, until_idle, within};
