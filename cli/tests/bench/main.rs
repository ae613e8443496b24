//! `reveille bench` as a process, with little of everything: that it measures, says so as it was asked to, and names what it
//! does not understand. How fast anything is is not judged here.
#![cfg(unix)]

mod ends;
mod figures;

use serde_json::Value;
use testkit::program::{Finished, Run};

fn bench(args: &[&str]) -> Finished {
    Run::program(&[&["bench"], args].concat()).finish("")
}

/// The object that it prints.
fn measured(args: &[&str]) -> Value {
    let ended = bench(&[args, &["--json"]].concat());
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{}", ended.stdout);
    serde_json::from_str(&ended.stdout).expect(&ended.stdout)
}
