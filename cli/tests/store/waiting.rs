//! A store that is not there yet: who waits for it, what is said meanwhile, and who gives up.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::{run, tell};
use testkit::port::Port;
use testkit::program::{Run, text};
use testkit::redis::RedisServer;

const FAR: &str = "{\"op\":\"schedule\",\"key\":\"far\",\"in\":\"1h\"}\n";

/// As long as a start without patience would have waited, and more.
const LONGER: Duration = Duration::from_secs(6);

/// A server that takes `seconds` to load its data once it is started again.
fn slow_to_load(seconds: u32) -> RedisServer {
    let mut server = RedisServer::start(&["--save", "3600 1"]);
    let mut fill = redis::pipe();
    for key in 0..seconds * 200 {
        fill.cmd("SET").arg(format!("filler:{key}")).arg("x").ignore();
    }
    fill.cmd("SAVE").ignore().exec(&mut server.connect()).unwrap();
    server.restart_with(&[
        "--save",
        "3600 1",
        "--key-load-delay",
        "5000",
        "--loading-process-events-interval-bytes",
        "1024",
    ]);
    server
}

#[test]
fn a_run_waits_for_a_redis_that_is_started_late() {
    let mut server = RedisServer::start(&[]);
    server.kill();
    let mut late = run(&server, "ns", &[]);
    late.write(FAR);
    late.says("waiting for the store, for 1 s so far: ");
    assert!(late.event_within(LONGER).is_none());
    server.restart();
    assert_eq!(text(&late.event(), "outcome"), "scheduled");
    late.signal(Signal::TERM);
    let ended = late.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("waiting for the store").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("the store has answered after "), "{}", ended.stderr);
}

#[test]
fn a_redis_that_loads_its_data_is_waited_for_by_all() {
    let server = slow_to_load(12);
    // There is nothing to be exported.
    let all: [(&[&str], i32); 4] =
        [(&["inspect", "--json"], 0), (&["export"], 2), (&["import"], 0), (&["run", "--exit-when-idle"], 0)];
    let waiting: Vec<(Run, i32)> = all
        .into_iter()
        .map(|(args, status)| {
            let mut one = Run::program(&[args, &["--store", &server.url(), "--namespace", args[0]]].concat());
            one.end_input();
            (one, status)
        })
        .collect();
    let refused = tell(&server, "ns", &["inspect", "--fail-fast"], "");
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    for (one, status) in waiting {
        one.says("Redis is still loading its data: ");
        let ended = one.ended_as_text();
        assert_eq!(ended.status.code(), Some(status), "{}", ended.stderr);
        assert!(ended.stderr.contains("% loaded, about "), "{}", ended.stderr);
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "how soon it ends is the point")]
fn a_signal_ends_the_waiting_at_once() {
    // It takes connections and says nothing, then nobody is there at all.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for drops in [false, true] {
        let store = format!("redis://{}", silent.local_addr().unwrap());
        let waiting = Run::start(&["--store", if drops { "redis://127.0.0.1:1" } else { &store }]);
        waiting.says("waiting for the store");
        let asked = Instant::now();
        waiting.signal(Signal::TERM);
        let ended = waiting.ended();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopped by SIGTERM before anything was begun"), "{}", ended.stderr);
        assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    }
}

#[test]
fn who_asks_by_hand_is_told_that_nobody_is_there() {
    let port = Port::reserve();
    let store = format!("redis://:hunter2@127.0.0.1:{}", port.number());
    for args in [&["run", "--fail-fast"][..], &["inspect"], &["export"], &["import"], &["demo"]] {
        let ended = Run::program(&[args, &["--store", &store]].concat()).finish("");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains("see that Redis runs there"), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("the store that --store names"), "{args:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

/// A password that is wrong does not become right by waiting.
#[test]
fn a_run_does_not_wait_for_what_will_not_pass() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let replica = RedisServer::start(&["--replicaof", "127.0.0.1", "1"]);
    let port = server.port();
    for (store, said) in [
        (format!("redis://:wrong@127.0.0.1:{port}"), "AUTH"),
        (format!("redis://:right@127.0.0.1:{port}/99"), "SELECT 99: the server has no database"),
        (replica.url(), "replica"),
    ] {
        let ended = Run::start(&["--store", &store]).finish("");
        assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
}

#[test]
fn a_message_about_the_address_names_what_brought_it() {
    let wrong = "redis://h?db=1&pass=hunter2&db=2";
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    let by_variable = Run::spawn(command.arg("inspect").env("REVEILLE_STORE", wrong)).finish("");
    let by_option = Run::program(&["inspect", "--store", wrong]).finish("");
    for (ended, name) in [(by_variable, "REVEILLE_STORE"), (by_option, "--store")] {
        assert_eq!(ended.status.code(), Some(2));
        let said = format!("{name}: the address is not one of Redis: the database is given twice");
        assert!(ended.stderr.contains(&said) && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

/// What began this: a staging run on database 1 fired what was in database 0.
#[test]
fn a_database_may_be_a_parameter() {
    let server = RedisServer::start(&[]);
    let scheduled = tell(&server, "ns", &["import"], FAR);
    assert_eq!(scheduled.status.code(), Some(0), "{}", scheduled.stderr);
    let elsewhere = format!("{}?db=1", server.url());
    let there = Run::program(&["inspect", "--store", &elsewhere, "--namespace", "ns"]).finish("");
    assert_eq!(there.stdout, "namespace \"ns\" is empty\n");
}

/// A backup is read from a replica, beside an owner that lives.
#[test]
fn inspect_and_export_read_from_a_replica() {
    let master = RedisServer::start(&[]);
    let mut owner = run(&master, "ns", &[]);
    owner.write(FAR);
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");
    let mut replica = RedisServer::start(&["--replicaof", "127.0.0.1", &master.port().to_string()]);
    let step = Duration::from_millis(50);
    let found = (0..400).find_map(|_| {
        let ended = tell(&replica, "ns", &["inspect", "--json"], "");
        let found: serde_json::Value = serde_json::from_str(&ended.stdout).ok()?;
        let is_there = found["replica"]["link_up"] == true && found["total"]["log_records"] == 1;
        std::thread::sleep(step);
        is_there.then_some(found)
    });
    let found = found.expect("it is replicated in time");
    assert_eq!(found["replica"]["master"], format!("127.0.0.1:{}", master.port()));
    let table = tell(&replica, "ns", &["inspect"], "");
    assert!(table.stdout.starts_with("this Redis is a replica of "), "{}", table.stdout);
    let export = tell(&replica, "ns", &["export", "--force"], "");
    assert_eq!(export.status.code(), Some(0), "{}", export.stderr);
    assert!(export.stdout.contains("\"far\"") && export.stderr.contains("is a replica"), "{}", export.stderr);
    // A master that has gone is told of, and what is there can still be had.
    owner.kill();
    drop(master);
    let told = (0..400).any(|_| {
        std::thread::sleep(step);
        tell(&replica, "ns", &["inspect"], "").stdout.contains("has not been connected to it for")
    });
    assert!(told, "it does not say that the link is down");
    // What writes is refused there.
    let import = tell(&replica, "ns", &["import", "--force"], FAR);
    assert_eq!(import.status.code(), Some(2), "{}", import.stderr);
    assert!(import.stderr.contains("takes no writes"), "{}", import.stderr);
    replica.kill();
}
