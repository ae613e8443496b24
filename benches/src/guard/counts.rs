//! Counting: this program again, under callgrind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The argument that makes this program the one that is counted.
pub(crate) const CHILD: &str = "--operations";

/// Callgrind's patterns for the function that is measured, and for the one after which its count is written. Around a name may
/// stand what names are mangled with.
const MEASURED: &str = "*reveille_guard_measured*";
const TOLD: &str = "*reveille_guard_told*";

/// Has glibc keep what is freed at hand. By default it is joined with its neighbours now and then, and what that costs, and
/// which operation pays, depends on all that was allocated before.
const STEADY_HEAP: &str = "glibc.malloc.tcache_count=65535";

/// An operation and how many instructions it takes.
#[derive(Debug)]
pub(crate) struct Count {
    pub(crate) operation: String,
    pub(crate) instructions: f64,
}

/// Counts all operations, in the order in which they are run.
pub(crate) fn count() -> Result<Vec<Count>, String> {
    let folder = Folder::new()?;
    let told = run(&folder.0)?;
    let counts = told.lines().enumerate().map(|(number, line)| {
        let unreadable = || format!("the program that is counted says {line:?}");
        let (operation, times) = line.split_once('\t').ok_or_else(unreadable)?;
        let times: f64 = times.parse().map_err(|_| unreadable())?;
        let total = total(&folder.0.join(format!("out.{}", number + 1)))?;
        Ok(Count { operation: operation.to_owned(), instructions: total / times })
    });
    let counts = counts.collect::<Result<Vec<_>, String>>()?;
    // Its end writes one more.
    let dumps = fs::read_dir(&folder.0).map_err(|error| error.to_string())?.count();
    if counts.is_empty() || dumps != counts.len() + 1 {
        return Err(format!("callgrind wrote {dumps} counts for {} operations", counts.len()));
    }
    Ok(counts)
}

/// Returns what it printed: a line an operation.
fn run(folder: &Path) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no", "--compress-strings=no"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--dump-after={TOLD}"))
        .arg(format!("--callgrind-out-file={}", folder.join("out").display()))
        .arg(program)
        .arg(CHILD)
        .env("GLIBC_TUNABLES", STEADY_HEAP)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("valgrind cannot be started ({error}); install the package `valgrind`"))?;
    if !child.status.success() {
        return Err(format!("under valgrind the operations ended with {}", child.status));
    }
    String::from_utf8(child.stdout).map_err(|error| error.to_string())
}

/// The instructions in one of callgrind's files.
fn total(file: &Path) -> Result<f64, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.and_then(|total| total.trim().parse().ok()).filter(|total| *total > 0.0);
    total.ok_or_else(|| format!("{}: callgrind has counted nothing", file.display()))
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("reveille-guard-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Folder(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
