//! The partition against its model, over random calls and over what fuzzing has found.

use proptest::prelude::*;

use crate::partition::model::run;

pub(super) fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    // Asked for by the environment, or enough to be worth it.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 10_000 };
    ProptestConfig { cases, failure_persistence: None, ..config }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_calls_agree_with_the_model(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        run(&bytes);
    }
}

#[test]
fn the_fuzzer_s_corpus_agrees_with_the_model() {
    crate::corpus::replay("partition", run);
}
