//! What was recorded, what was counted, and what one says of the other.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::counts::Count;

/// How much dearer an operation may get before it counts as dearer.
pub(crate) const TOLERANCE_PERCENT: f64 = 5.0;

/// Instructions by operation, and whose they are. This is what is in `guard.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    rustc: String,
    architecture: String,
    pub(crate) tolerance_percent: f64,
    /// Instructions each time, to a tenth.
    instructions: BTreeMap<String, f64>,
}

pub(crate) fn path() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/guard.json"))
}

impl Figures {
    pub(crate) fn read() -> Result<Self, String> {
        let path = path();
        let failed = |error: String| format!("{}: {error}; --update writes it", path.display());
        let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        let path = path();
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(crate) fn counted(counts: Vec<Count>, tolerance_percent: f64) -> Result<Self, String> {
        let rounded = |instructions: f64| (instructions * 10.0).round() / 10.0;
        let operations = counts.len();
        let instructions: BTreeMap<_, _> =
            counts.into_iter().map(|count| (count.operation, rounded(count.instructions))).collect();
        if instructions.len() != operations {
            return Err("two operations have the same name".into());
        }
        let architecture = std::env::consts::ARCH.to_owned();
        Ok(Figures { rustc: rustc()?, architecture, tolerance_percent, instructions })
    }
}

/// The compiler: the one on the path, which is the one that cargo has just used.
fn rustc() -> Result<String, String> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let told = Command::new(rustc).arg("--version").output().map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8_lossy(&told.stdout).trim().to_owned())
}

/// What the comparison says. Its `Display` is for the user.
pub(crate) struct Verdict<'a> {
    recorded: &'a Figures,
    counted: &'a Figures,
    lines: Vec<Line<'a>>,
}

struct Line<'a> {
    operation: &'a str,
    recorded: Option<f64>,
    counted: Option<f64>,
    is: Is,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    Same,
    Dearer,
    Cheaper,
    New,
    Gone,
}

/// What an operation may differ by without a change. A logged one lays records into buffers, which grow by as much as the batch
/// before them had; where the committers' thread has cut that depends on when it ran, and on a busy machine it came to 16 %.
fn allowance_percent(operation: &str) -> f64 {
    if operation.ends_with(", logged") { 20.0 } else { 0.0 }
}

impl<'a> Verdict<'a> {
    pub(crate) fn of(recorded: &'a Figures, counted: &'a Figures) -> Self {
        let mut operations: Vec<_> =
            recorded.instructions.keys().chain(counted.instructions.keys()).map(String::as_str).collect();
        operations.sort_unstable();
        operations.dedup();
        let lines = operations.into_iter().map(|operation| {
            let tolerance = 1.0 + recorded.tolerance_percent.max(allowance_percent(operation)) / 100.0;
            let was = recorded.instructions.get(operation).copied();
            let now = counted.instructions.get(operation).copied();
            let is = match (was, now) {
                (Some(was), Some(now)) if now > was * tolerance => Is::Dearer,
                (Some(was), Some(now)) if now * tolerance < was => Is::Cheaper,
                (Some(_), Some(_)) => Is::Same,
                (None, _) => Is::New,
                (_, None) => Is::Gone,
            };
            Line { operation, recorded: was, counted: now, is }
        });
        Verdict { recorded, counted, lines: lines.collect() }
    }

    /// Dearer is for the author to answer; an operation that is only on one side makes a guard that guards nothing.
    pub(crate) fn has_failed(&self) -> bool {
        self.is_comparable() && self.lines.iter().any(|line| !matches!(line.is, Is::Same | Is::Cheaper))
    }

    fn is_comparable(&self) -> bool {
        self.recorded.rustc == self.counted.rustc && self.recorded.architecture == self.counted.architecture
    }

    fn has(&self, is: Is) -> bool {
        self.lines.iter().any(|line| line.is == is)
    }

    /// What to do about it.
    fn write_advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UPDATE: &str = "`cargo bench --bench guard -- --update`";
        if !self.is_comparable() {
            let (recorded, counted) = (self.recorded, self.counted);
            return writeln!(
                f,
                "\nNOT JUDGED: the figures are by {} on {}, this is {} on {}; other compilers make other code.\n\
                 Check out a commit that is known to be good, run {UPDATE} there with this compiler, and compare with\n\
                 that; or commit it, once the compiler is the one that the project is built with.",
                recorded.rustc, recorded.architecture, counted.rustc, counted.architecture
            );
        }
        if self.has(Is::Dearer) {
            writeln!(
                f,
                "\nDearer by more than {} %: find out why, or, if what it brings is worth it, record it with\n\
                 {UPDATE}, commit guard.json, and say in the message what it brings.",
                self.recorded.tolerance_percent
            )?;
        }
        if self.has(Is::New) || self.has(Is::Gone) {
            writeln!(f, "\nguard.json has other operations than there are: run {UPDATE} and commit it.")?;
        }
        if self.has(Is::Cheaper) {
            writeln!(f, "\nCheaper: record it with {UPDATE}, so that it stays so.")?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<52} {:>9} {:>9} {:>8}", "instructions each time", "recorded", "now", "")?;
        for Line { operation, recorded, counted, is } in &self.lines {
            let shown = |figure: &Option<f64>| figure.map_or("-".into(), |figure| format!("{figure:.1}"));
            let change = match (recorded, counted) {
                (Some(was), Some(now)) => format!("{:+.1} %", (now / was - 1.0) * 100.0),
                _ => String::new(),
            };
            let word = match is {
                Is::Same => "",
                Is::Dearer => "  DEARER",
                Is::Cheaper => "  cheaper",
                Is::New => "  NOT RECORDED",
                Is::Gone => "  NOT COUNTED",
            };
            writeln!(f, "{operation:<52} {:>9} {:>9} {change:>8}{word}", shown(recorded), shown(counted))?;
        }
        self.write_advice(f)
    }
}
