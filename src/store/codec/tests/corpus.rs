//! The decoders against any bytes, over what fuzzing has found.

use super::model;
use crate::corpus::replay;

#[test]
fn batches_of_the_fuzzer_s_corpus_are_read_or_refused() {
    replay("log_batch", model::log_batch);
}

#[test]
fn chunks_of_the_fuzzer_s_corpus_are_read_or_refused() {
    replay("snapshot_chunk", model::snapshot_chunk);
}
