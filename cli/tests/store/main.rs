//! The program on a store: real processes and a real Redis, one for each test. What is bounded is order and counts; how
//! fast something is only where it would be slower by an order of magnitude if it did not work.
#![cfg(unix)]

mod demo;
mod gone;
mod looking;
mod moving;
mod owners;
mod replacing;
mod restart;
mod waiting;

use std::time::Duration;

use serde_json::Value;
use testkit::program::{Finished, Run};
use testkit::redis::RedisServer;

/// A lease that ends soon after a crash, and that a busy machine can still keep.
const LEASE: [&str; 2] = ["--lease", "500ms"];

/// `reveille run` in a namespace of a server.
fn run(server: &RedisServer, namespace: &str, more: &[&str]) -> Run {
    let store = server.url();
    Run::start(&[&["--store", &store, "--namespace", namespace], more].concat())
}

/// Another subcommand there, run to its end.
fn tell(server: &RedisServer, namespace: &str, args: &[&str], input: &str) -> Finished {
    let store = server.url();
    Run::program(&[args, &["--store", &store, "--namespace", namespace]].concat()).finish(input)
}

/// What `export` writes of a namespace that nobody owns.
fn exported(server: &RedisServer, namespace: &str) -> String {
    let export = tell(server, namespace, &["export"], "");
    assert_eq!(export.status.code(), Some(0), "{}", export.stderr);
    export.stdout
}

/// What `inspect` tells.
fn inspected(server: &RedisServer, namespace: &str) -> Value {
    let inspect = tell(server, namespace, &["inspect", "--json"], "");
    assert_eq!((inspect.status.code(), inspect.stderr.as_str()), (Some(0), ""));
    serde_json::from_str(&inspect.stdout).unwrap()
}

/// A line that schedules `key`, due `after` from now on, and when that is.
fn line_at(key: &str, queue: &str, after: Duration) -> (String, i64) {
    let due_us = reveille::Clock::System.now().wall.as_micros() + after.as_micros() as i64;
    let at = format!("{}.{:06}", due_us / 1_000_000, due_us % 1_000_000);
    (
        format!(
            "{{\"op\":\"schedule\",\"key\":{key:?},\"queue\":{queue:?},\"at\":{at},\"payload\":{key:?}}}\n"
        ),
        due_us,
    )
}
