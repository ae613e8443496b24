//! What fuzzing has found, gone through again by ordinary tests.

use std::fs;
use std::path::Path;

/// Has `run` take every input of the corpus of a fuzz target.
///
/// # Panics
/// When there is none.
pub fn replay(target: &str, run: fn(&[u8])) {
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(target);
    let mut count = 0;
    for input in fs::read_dir(corpus).expect("the repository has the corpus") {
        let path = input.expect("a readable directory").path();
        // Seen when it is the last, and the test has failed.
        println!("{}", path.display());
        run(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "an empty corpus");
}
