//! The wheel against its model, over random calls and over what fuzzing has found.

use std::path::Path;

use proptest::prelude::*;

use crate::wheel::model::run;

fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    // Asked for by the environment, or enough to be worth it.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 10_000 };
    ProptestConfig { cases, ..config }
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
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    if !fuzz.exists() {
        return; // The published crate comes without.
    }
    let files = std::fs::read_dir(fuzz.join("corpus/wheel")).expect("the corpus is part of the repository");
    let mut count = 0;
    for file in files {
        let path = file.expect("a readable directory").path();
        run(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
        count += 1;
    }
    assert!(count > 0, "an empty corpus");
}
