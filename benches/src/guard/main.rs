//! The guard against slow regressions: instructions of the hot operations, counted and held against committed figures.
//!
//! ```text
//! cargo bench --bench guard                # compares with guard.json; status 1 if something got dearer
//! cargo bench --bench guard -- --update    # writes guard.json
//! ```
//!
//! # Rules
//! - What is judged is a count of instructions, by Valgrind's callgrind: it does not depend on how busy the machine is. It
//!   says nothing of cache misses either; for those there is `cargo bench --bench peers`.
//! - The counts belong to a compiler and a processor architecture, which `guard.json` names. By any others it is shown
//!   what differs, and nothing is judged.
//! - Hashes are seeded anew in every process, the engine has other threads, and where the sources lie decides how the compiler
//!   cuts the code into units, and so what it inlines: that moved one figure by 3.2 %. None of it moves a figure by as much
//!   as the tolerance; `tolerance_percent` in `guard.json` says how much that is.
//!
//! Valgrind does the counting in a process of its own: this program, started again with `--operations`. It has callgrind
//! collect nothing but what happens within one function, [`operations`]' `reveille_guard_measured`, and write the count
//! to a file whenever that function returns.

mod counts;
mod figures;
mod operations;

use std::process::ExitCode;

use figures::{Figures, Verdict};

fn main() -> ExitCode {
    // Cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let ended = match arguments[..] {
        [counts::CHILD] => {
            operations::run();
            return ExitCode::SUCCESS;
        }
        [] => compare(),
        ["--update"] => update(),
        _ => Err(format!("{} is not understood; the only argument is --update", arguments.join(" "))),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("guard: {error}");
        ExitCode::from(2)
    })
}

fn compare() -> Result<ExitCode, String> {
    let recorded = Figures::read()?;
    let counted = Figures::counted(counts::count()?, recorded.tolerance_percent)?;
    let verdict = Verdict::of(&recorded, &counted);
    print!("{verdict}");
    Ok(if verdict.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn update() -> Result<ExitCode, String> {
    let before = Figures::read();
    let tolerance_percent = before.as_ref().map_or(figures::TOLERANCE_PERCENT, |it| it.tolerance_percent);
    let counted = Figures::counted(counts::count()?, tolerance_percent)?;
    if let Ok(before) = before {
        print!("{}", Verdict::of(&before, &counted));
    }
    counted.write()?;
    println!("written to {}", figures::path().display());
    Ok(ExitCode::SUCCESS)
}
