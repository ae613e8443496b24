//! What the benchmark can be told.

use std::path::PathBuf;

pub(crate) struct Args {
    /// `--jobs`: how many are in the log, and in the snapshots.
    pub(crate) jobs: u64,
    /// `--pairs`: how many jobs are scheduled and cancelled in the churn.
    pub(crate) pairs: u64,
    /// `--rounds`, of which the median is told.
    pub(crate) rounds: usize,
    /// `--folder`: on the disk to measure; the system's temporary folder if it is not named.
    pub(crate) folder: PathBuf,
    parts: Option<Vec<String>>,
    ways: Vec<String>,
}

const PARTS: [&str; 5] = ["floor", "log", "alone", "jobs", "churn"];

impl Args {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut args = Args {
            jobs: 1_000_000,
            pairs: 10_000_000,
            rounds: 3,
            folder: std::env::temp_dir(),
            parts: None,
            ways: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo adds it.
                "--bench" => {}
                "--quick" => (args.jobs, args.pairs, args.rounds) = (100_000, 200_000, 1),
                "--test" => (args.jobs, args.pairs, args.rounds) = (2_000, 2_000, 1),
                "--jobs" => args.jobs = number(&value()?)?,
                "--pairs" => args.pairs = number(&value()?)?,
                "--rounds" => {
                    args.rounds = usize::try_from(number(&value()?)?).map_err(|it| it.to_string())?
                }
                "--folder" => args.folder = value()?.into(),
                "--part" => args.parts = Some(parts(&value()?)?),
                option if option.starts_with('-') => {
                    return Err(format!(
                        "{option} is not known; there are --quick, --test, --jobs, --pairs, --rounds, --folder and --part"
                    ));
                }
                _ => args.ways.push(argument),
            }
        }
        Ok(args)
    }

    /// Whether a part of the workload is wanted.
    pub(crate) fn has(&self, part: &str) -> bool {
        self.parts.as_ref().is_none_or(|parts| parts.iter().any(|it| it == part))
    }

    /// Whether a way is wanted.
    pub(crate) fn wants(&self, way: &str) -> bool {
        self.ways.is_empty() || self.ways.iter().any(|it| it == way)
    }
}

fn parts(text: &str) -> Result<Vec<String>, String> {
    let parts: Vec<String> = text.split(',').map(str::to_owned).collect();
    match parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        Some(part) => Err(format!("--part: {part:?} is not known; there are {}", PARTS.join(", "))),
        None => Ok(parts),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.filter(|number| *number > 0).ok_or(format!("{text:?} is not a number such as 100k or 1M"))
}
