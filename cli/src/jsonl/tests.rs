//! Lines against what is known of them without their reader, over what fuzzing has found and what it is to begin with.

use super::model::run;

#[test]
fn the_fuzzer_s_corpus_agrees_with_the_model() {
    testkit::corpus::replay("jsonl", run);
}
