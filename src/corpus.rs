//! What fuzzing has found, gone through again by ordinary tests.

use std::fs;
use std::path::Path;

/// Has `run` take every input of the corpus of a fuzz target.
pub(crate) fn replay(target: &str, run: fn(&[u8])) {
    // The program's crate lies in that of the library.
    let mut fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|dir| dir.join("fuzz"));
    let Some(fuzz) = fuzz.find(|dir| dir.exists()) else {
        return; // The published crate comes without.
    };
    let inputs =
        fs::read_dir(fuzz.join("corpus").join(target)).expect("the corpus is part of the repository");
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
