//! The store on disk on a real file system: what a restart finds, what damage is refused, who owns it, and how much room it takes.
#![allow(unreachable_pub, reason = "modules of one program")]
#![cfg(feature = "disk")]

mod engine;
mod folder;
mod log;
mod owners;
mod snapshot;
#[path = "../redis_store/support.rs"]
#[allow(dead_code, reason = "shared with the tests of the store in Redis")]
mod support;
