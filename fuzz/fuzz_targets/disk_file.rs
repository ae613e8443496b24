//! The readers of the files of a store on disk against any bytes, in blocks that fit their checksums and without.
//! `src/store/disk/model.rs` says what must hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| reveille::store::disk_model::disk_file(input));
