//! The documents: links lead somewhere, paths exist, and what is said in two places is the same in both.
//!
//! The README's code is compiled as documentation tests: see the end of `src/lib.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files whose names begin a path in this repository.
const TOP: [&str; 10] =
    ["src/", "cli/", "sim/", "benches/", "fuzz/", "tests/", "examples/", "docs/", "scripts/", "testkit/"];

/// Folders that are not ours, or hold what a tool made.
const SKIPPED: [&str; 4] = ["target", ".git", "corpus", "artifacts"];

#[test]
fn links_and_anchors_resolve() {
    let root = root();
    let broken: Vec<_> = documents().iter().flat_map(|path| broken_links(path, &read(path))).collect();
    assert!(documents().len() > 20, "the documents were not found under {}", root.display());
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn paths_in_backticks_exist() {
    let missing: Vec<_> = documents().iter().flat_map(|path| missing_paths(path, &read(path))).collect();
    assert!(missing.is_empty(), "no such file or folder:\n{}", missing.join("\n"));
}

#[test]
fn broken_links_and_missing_paths_are_found() {
    let page = root().join("docs/page.md");
    let text = "[a](redis.md) [b](nothing.md) [c](redis.md#the-address) [d](redis.md#no-such) [e](#here)\n\
                # Not here\n`src/lib.rs` `src/nothing.rs` `cargo run` `[f](nothing.md)`\n\
                ```text\n[g](nothing.md) `src/nothing.rs`\n```\n[h](https://example.org/nothing.md)\n\
                ![i](nothing.svg) `tests/docs.rs`, `docs/metrics.md#metrics`, `scripts/nothing --now`\n";
    let named = |found: Vec<String>| -> Vec<String> {
        found.iter().filter_map(|line| line.split_once(": ").map(|(_, rest)| rest.to_owned())).collect()
    };
    assert_eq!(named(broken_links(&page, text)), ["nothing.md", "redis.md#no-such", "#here", "nothing.svg"]);
    assert_eq!(named(missing_paths(&page, text)), ["src/nothing.rs", "scripts/nothing"]);
}

#[test]
fn the_ten_promises_are_the_same_in_the_design_and_in_the_crate() {
    let design = promises(&read(&root().join("DESIGN.md")));
    let comments: String = read(&root().join("src/lib.rs"))
        .lines()
        .filter_map(|line| line.strip_prefix("//!"))
        .map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line)))
        .collect();
    let library = promises(&comments);
    assert_eq!(design.keys().copied().collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    assert_eq!(design, library);
}

#[test]
fn the_oldest_rust_is_the_same_everywhere() {
    let manifest = read(&root().join("Cargo.toml"));
    let line = manifest.lines().find(|line| line.starts_with("rust-version = ")).expect("a rust-version");
    let version = line.split('"').nth(1).expect("in quotes");
    for (file, says) in [
        ("README.md", format!("Rust {version} or newer")),
        ("CONTRIBUTING.md", format!("Rust {version}")),
        (".github/workflows/ci.yml", format!("toolchain install {version}")),
    ] {
        assert!(read(&root().join(file)).contains(&says), "{file} does not say {says:?}");
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Markdown file of the repository.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder that can be read") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() && !SKIPPED.contains(&name) {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn broken_links(page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().expect("a page lies in a folder");
    let is_broken = |target: &String| {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        if path.is_empty() {
            return !anchors(text).contains(&anchor.to_owned());
        }
        let path = folder.join(path);
        !path.exists() || (!anchor.is_empty() && !anchors(&read(&path)).contains(&anchor.to_owned()))
    };
    let shown = page.strip_prefix(root()).unwrap_or(page).display();
    links(text).into_iter().filter(is_broken).map(|target| format!("{shown}: {target}")).collect()
}

/// Targets of links and images within the repository.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let plain: String = line.split('`').step_by(2).collect();
        let targets = plain.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| target.to_owned()).filter(|it| !it.contains("://")));
    }
    found
}

fn missing_paths(page: &Path, text: &str) -> Vec<String> {
    let shown = page.strip_prefix(root()).unwrap_or(page).display();
    let quoted = prose(text).into_iter().flat_map(|line| line.split('`').skip(1).step_by(2));
    quoted
        .filter_map(path_of)
        .filter(|path| !root().join(path).exists())
        .map(|path| format!("{shown}: {path}"))
        .collect()
}

/// The path that a piece of code begins with, if it is one of this repository.
fn path_of(code: &str) -> Option<&str> {
    let word = code.split([' ', ':', '#']).next()?;
    let is_path = TOP.iter().any(|top| word.starts_with(top));
    (is_path && !word.contains(['*', '<', '{', '…'])).then_some(word)
}

/// The lines outside of fenced code.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let outside = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().filter(outside).collect()
}

/// The anchors that headings get.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, '-' | '_')).collect()
}

/// The numbered items under the heading "The ten promises", each as one line.
fn promises(text: &str) -> BTreeMap<u32, String> {
    let section =
        text.lines().skip_while(|line| !line.trim_start_matches('#').trim().eq("The ten promises")).skip(1);
    let mut found: BTreeMap<u32, String> = BTreeMap::new();
    for line in section.take_while(|line| !line.starts_with('#')) {
        let item = line.split_once(". ").and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
        match item {
            Some((number, rest)) => {
                assert!(found.insert(number, rest.to_owned()).is_none(), "promise {number} is there twice");
            }
            None if line.starts_with("  ") => {
                let mut last = found.last_entry().expect("an item before it goes on");
                last.get_mut().push(' ');
                last.get_mut().push_str(line.trim());
            }
            None => {}
        }
    }
    found
}
