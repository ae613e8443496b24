//! How many are pending: `REVEILLE_BENCH_SIZES=1k,1M,10M` selects, all three by default.

use std::fmt;

/// A number of pending timers or jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) usize);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n.is_multiple_of(1_000_000) => write!(f, "{}M", n / 1_000_000),
            n if n.is_multiple_of(1_000) => write!(f, "{}k", n / 1_000),
            n => n.fmt(f),
        }
    }
}

/// The sizes to run at. The smallest only, where each benchmark is just run once to see that it works.
pub(crate) fn selected() -> Vec<Size> {
    if is_only_tested() {
        return vec![Size(1_000)];
    }
    let text = std::env::var("REVEILLE_BENCH_SIZES").unwrap_or_else(|_| "1k,1M,10M".into());
    text.split(',').map(|size| parse(size.trim())).collect()
}

/// Whether criterion was asked for something else than measurements (`--test`, `--list`).
pub(crate) fn is_only_tested() -> bool {
    std::env::args().any(|argument| argument == "--test" || argument == "--list")
}

fn parse(text: &str) -> Size {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    match digits.parse::<usize>() {
        Ok(number) if number > 0 => Size(number * unit),
        _ => panic!("REVEILLE_BENCH_SIZES: {text:?} is not a size such as 1k, 1M or 10M"),
    }
}
