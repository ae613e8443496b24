//! What fuzzing has found, gone through again by ordinary tests.
//!
//! The testkit has the same for the program's inputs; the library's unit tests cannot use it.

use std::fs;
use std::path::Path;

/// Has `run` take every input of the corpus of a fuzz target. Does nothing in the published crate, which comes without.
pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Cargo puts this file into what it publishes, and into nothing else.
    if root.join("Cargo.toml.orig").exists() {
        return;
    }
    let inputs = fs::read_dir(root.join("fuzz/corpus").join(target)).expect("the repository has the corpus");
    let mut count = 0;
    for input in inputs {
        let path = input.expect("a readable directory").path();
        // Seen when it is the last, and the test has failed.
        println!("{}", path.display());
        run(&fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "an empty corpus");
}
