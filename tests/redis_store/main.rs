//! The store in Redis against a real Redis: the rules of every script, every class of error, a line that misbehaves, and
//! what becomes of data that is damaged, foreign or newer.
#![allow(unreachable_pub, reason = "modules of one program")]

mod acl;
mod append;
mod chaos;
mod config;
mod damage;
mod fake;
mod figures;
mod guard;
mod inspect;
mod lease;
mod link;
mod refusals;
mod snapshot;
mod support;
mod sync;
