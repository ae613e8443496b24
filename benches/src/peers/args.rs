//! What the benchmark can be told.

use std::fmt;
use std::time::Duration;

/// A number of pending timers or jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

#[derive(Debug)]
pub(crate) struct Args {
    /// `--sizes`, or `REVEILLE_BENCH_SIZES`: how many are pending.
    pub(crate) sizes: Vec<Size>,
    /// `--seconds`: for how long each operation is timed.
    pub(crate) time: Duration,
    /// `--cpu`: calls by key on one thread in its processor time, for a machine that has other things to do.
    pub(crate) cpu: bool,
    /// `--json`: one JSON object instead of a table.
    pub(crate) json: bool,
    /// `--test`: no measurement, only a look whether everything works.
    pub(crate) is_test: bool,
    /// What the name of a figure must have in it, all of it. Of a filter such as `insert|drain` one part is enough.
    pub(crate) filters: Vec<String>,
}

impl Args {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut sizes = std::env::var("REVEILLE_BENCH_SIZES").unwrap_or_else(|_| "100k,1M,10M".into());
        let mut args = Args {
            sizes: Vec::new(),
            time: Duration::from_millis(500),
            cpu: false,
            json: false,
            is_test: false,
            filters: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--cpu" if cfg!(target_os = "linux") => args.cpu = true,
                "--json" => args.json = true,
                "--test" => args.is_test = true,
                "--sizes" => sizes = value()?,
                "--seconds" => args.time = seconds(&value()?)?,
                option if option.starts_with('-') => {
                    return Err(format!(
                        "{option} is not known; there are --sizes, --seconds, --cpu (on Linux), --json and --test"
                    ));
                }
                _ => args.filters.push(argument),
            }
        }
        if args.is_test {
            sizes = "1k".into();
            args.time = Duration::from_millis(1);
        }
        args.sizes = sizes.split(',').map(|size| parse(size.trim())).collect::<Result<_, _>>()?;
        Ok(args)
    }

    /// Whether a figure is wanted.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.filters.iter().all(|filter| filter.split('|').any(|part| name.contains(part)))
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0.0);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| format!("--seconds: {text:?} is not a time in seconds such as 0.5"))
}

fn parse(text: &str) -> Result<Size, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let size = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit));
    match size {
        // Values are `u32`, with room for as many again.
        Some(size @ 8..=1_000_000_000) => Ok(Size(size)),
        _ => Err(format!("{text:?} is not a size such as 1k, 1M or 10M")),
    }
}
