//! JSON Lines for `run`, `import` and `export`: one operation per line, read and written in one way.
//!
//! # Rules
//! - Pure, except for [`input`] and the pipes that it opens. Nothing here knows an engine.
//! - [`op`] reads a line that [`job`] wrote as the same job, with the same bytes of payload.

mod fields;
pub(crate) mod input;
pub(crate) mod job;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
pub mod model;
pub(crate) mod op;
pub(crate) mod payload;
#[cfg(unix)]
mod pipe;
pub(crate) mod reading;
mod rule;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod time;
