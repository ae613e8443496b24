//! What happened in a run, line by line: kept whole, or only as a digest, which is enough to tell whether two runs were
//! identical.

use std::hash::Hasher;

use parking_lot::Mutex;

/// The trace of a run.
#[derive(Default)]
pub(crate) struct Trace {
    is_kept: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// FNV would do: nobody attacks it. The standard library's hasher with its fixed keys is the same everywhere.
    digest: std::collections::hash_map::DefaultHasher,
}

impl Trace {
    /// A trace that keeps its lines, or only digests them, or, with neither, does nothing.
    pub(crate) fn new(is_kept: bool) -> Self {
        Trace { is_kept, ..Trace::default() }
    }

    /// Adds a line, at this many microseconds since the world began.
    pub(crate) fn note(&self, at_us: u64, line: impl FnOnce() -> String) {
        let line = format!("{:>4}.{:06} {}", at_us / 1_000_000, at_us % 1_000_000, line());
        let mut state = self.state.lock();
        state.digest.write(line.as_bytes());
        if self.is_kept {
            state.lines.push(line);
        }
    }

    /// The lines, if they were kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.state.lock().lines.clone()
    }

    /// A number that is the same for the same lines.
    pub(crate) fn digest(&self) -> u64 {
        self.state.lock().digest.finish()
    }
}
