//! `reveille run` as a process: what goes in, what comes out, and how it ends. Every test bounds order and counts, never
//! how fast something is, so a busy machine makes them slow but not wrong.
#![cfg(unix)]

mod ends;
mod exec;
mod mistakes;
mod ops;
mod pipes;
mod queues;
mod reading;
mod recurring;
mod volume;
