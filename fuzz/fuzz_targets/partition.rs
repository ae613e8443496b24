//! The partition against its model: any bytes are a sequence of calls and clock moves. `src/partition/model.rs` says how
//! they are read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reveille::partition::model::run(bytes));
