//! The reader of JSON Lines against any bytes. `cli/src/jsonl/model/mod.rs` says what must hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reveille_cli::jsonl_model::run(bytes));
