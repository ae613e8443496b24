//! JSON Lines as `run`, `import` and `export` share them: an operation a line, read and written in one way.
//!
//! # Rules
//! - Pure, but for [`input`] and the pipes that it opens. Nothing here knows an engine.
//! - What [`job`] writes [`op`] reads back to the same job, byte for byte of its payload.

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
#[cfg(test)]
mod tests;
pub(crate) mod text;
pub(crate) mod time;
