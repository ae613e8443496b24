//! JSON Lines as `run`, `import` and `export` share them: an operation a line, read and written in one way.
//!
//! # Rules
//! - Pure, but for [`input`], which reads. Nothing here knows an engine.
//! - What [`job`] writes [`op`] reads back to the same job, byte for byte of its payload.

pub(crate) mod input;
pub(crate) mod job;
pub(crate) mod op;
pub(crate) mod payload;
pub(crate) mod text;
pub(crate) mod time;
