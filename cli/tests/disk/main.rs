//! The program on a store on local disk: real processes, and a directory for each test.
#![cfg(unix)]

mod damage;
#[cfg(target_os = "linux")]
mod demo;
#[cfg(target_os = "linux")]
mod full;
mod moving;
mod owners;
mod refused;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;
use testkit::program::{Finished, Run};

const FAR: &str = "{\"op\":\"schedule\",\"key\":\"far\",\"in\":\"1h\"}\n";
const LOOKUP: &str = "{\"op\":\"lookup\",\"key\":\"far\"}\n";

/// A directory for stores, removed with the test.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Disk(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its address.
    fn store(&self) -> String {
        format!("file:{}", self.path().display())
    }

    /// The files of a namespace whose names begin like this, the first one first.
    fn files(&self, namespace: &str, begin: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.path().join(namespace)).unwrap();
        let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
        paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(begin));
        paths.sort();
        paths
    }

    /// `reveille run` in a namespace.
    fn run(&self, namespace: &str, more: &[&str]) -> Run {
        let store = self.store();
        Run::start(&[&["--store", &store, "--namespace", namespace], more].concat())
    }

    /// Another subcommand there, run to its end.
    fn tell(&self, namespace: &str, args: &[&str], input: &str) -> Finished {
        tell(&self.store(), namespace, args, input)
    }
}

fn tell(store: &str, namespace: &str, args: &[&str], input: &str) -> Finished {
    Run::program(&[args, &["--store", store, "--namespace", namespace]].concat()).finish(input)
}

/// What `export` writes of a namespace that nobody owns.
fn exported(store: &str, namespace: &str) -> String {
    let export = tell(store, namespace, &["export"], "");
    assert_eq!(export.status.code(), Some(0), "{}", export.stderr);
    export.stdout
}

/// What `inspect` tells.
fn inspected(store: &str, namespace: &str, more: &[&str]) -> Value {
    let inspect = tell(store, namespace, &[&["inspect", "--json"], more].concat(), "");
    assert_eq!((inspect.status.code(), inspect.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&inspect.stdout).unwrap()
}
