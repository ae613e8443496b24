//! The wheel against its model: any bytes are a sequence of calls. `src/wheel/model.rs` says how they are read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reveille::wheel::model::run(bytes));
