//! Bugs that are planted to see that they are found. Each is a patch that is applied to a copy of the sources: the library as
//! it is shipped has none of them, and no switch for them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs, io};

use reveille_sim::StoreKind;

/// A bug, by the name of its patch.
struct Bug {
    name: String,
    patch: PathBuf,
}

impl Bug {
    /// The store in whose runs it is looked for.
    fn store(&self) -> io::Result<StoreKind> {
        let is_of_disk = fs::read_to_string(&self.patch)?.contains("src/store/disk/");
        Ok(if is_of_disk { StoreKind::Disk } else { StoreKind::Redis })
    }
}

/// Plants each bug, or one of them, and runs up to so many seeds on it. Fails unless each was found.
pub(crate) fn find_all(only: Option<&str>, seeds: u64) -> ExitCode {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let copy = env::temp_dir().join(format!("reveille-planted-{}", std::process::id()));
    let result = try_all(sources, &copy, only, seeds);
    let _ = fs::remove_dir_all(&copy);
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the bugs cannot be planted: {error}");
            ExitCode::FAILURE
        }
    }
}

fn try_all(sources: &Path, copy: &Path, only: Option<&str>, seeds: u64) -> io::Result<bool> {
    let mut bugs = bugs(&sources.join("sim/planted"))?;
    bugs.retain(|bug| only.is_none_or(|only| bug.name == only));
    if bugs.is_empty() {
        return Err(io::Error::other("there is no such bug in sim/planted"));
    }
    copy_sources(sources, copy)?;
    let target = sources.join("target/planted");
    let mut are_found = true;
    for bug in bugs {
        patch(copy, &bug.patch, false)?;
        let found = find(copy, &target, seeds, bug.store()?);
        patch(copy, &bug.patch, true)?;
        match found? {
            Some((seed, promise)) => println!("{:<44} found by seed {seed:>5}: {promise}", bug.name),
            None => {
                println!("{:<44} NOT FOUND in {seeds} seeds", bug.name);
                are_found = false;
            }
        }
    }
    Ok(are_found)
}

fn bugs(folder: &Path) -> io::Result<Vec<Bug>> {
    let mut bugs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let patch = entry?.path();
        if let (Some(name), Some("patch")) =
            (patch.file_stem(), patch.extension().and_then(|end| end.to_str()))
        {
            bugs.push(Bug { name: name.to_string_lossy().into_owned(), patch });
        }
    }
    bugs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(bugs)
}

/// What it takes to build the simulator.
fn copy_sources(sources: &Path, copy: &Path) -> io::Result<()> {
    fs::create_dir_all(copy)?;
    let files = ["Cargo.toml", "Cargo.lock", "clippy.toml", "README.md"];
    let folders = ["src", "cli", "benches", "examples", "sim", "testkit"];
    let paths = files.iter().chain(&folders).map(|part| sources.join(part));
    run(Command::new("cp").arg("-r").args(paths).arg(copy))
}

fn patch(copy: &Path, patch: &Path, is_taken_back: bool) -> io::Result<()> {
    let mut command = Command::new("git");
    command.current_dir(copy).args(["apply", "--unsafe-paths"]);
    if is_taken_back {
        command.arg("--reverse");
    }
    run(command.arg(patch))
}

/// Builds the simulator, and runs it to the first seed that breaks a promise.
fn find(copy: &Path, target: &Path, seeds: u64, store: StoreKind) -> io::Result<Option<(u64, String)>> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(copy).env("CARGO_TARGET_DIR", target);
    run(build.args(["build", "--release", "--quiet", "-p", "reveille-sim"]))?;
    let mut simulate = Command::new(target.join("release/reveille-sim"));
    let (seeds, store) = (format!("0..{seeds}"), store.to_string());
    let output = simulate.args(["run", "--threads", "2", "--seeds", &seeds, "--store", &store]).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(line) = text.lines().find(|line| line.starts_with("seed ")) else { return Ok(None) };
    let words = line.trim_start_matches("seed ").split_once(" breaks promise ");
    let Some((seed, promise)) = words else { return Ok(None) };
    let promise: String = promise.chars().take(90).collect();
    Ok(seed.parse().ok().map(|seed| (seed, promise)))
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr))))
}
