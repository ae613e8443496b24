//! The decoder of snapshot chunks against any bytes, in a frame that fits them and without one.
//! `src/store/codec/model.rs` says what must hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reveille::store::codec_model::snapshot_chunk(bytes));
