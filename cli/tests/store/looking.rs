//! What is in a store, and what is said when it cannot be had.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::{inspected, run, tell};
use testkit::port::Port;
use testkit::program::Run;
use testkit::redis::RedisServer;

const FAR: &str = "{\"op\":\"schedule\",\"key\":\"far\",\"in\":\"1h\"}\n";

#[test]
fn a_table_tells_of_every_partition() {
    let server = RedisServer::start(&[]);
    let empty = tell(&server, "ns", &["inspect"], "");
    assert_eq!((empty.status.code(), empty.stdout.as_str()), (Some(0), "namespace \"ns\" is empty\n"));
    assert_eq!(inspected(&server, "ns")["partitions"], json!([]));

    let mut owner = run(&server, "ns", &[]);
    owner.write(FAR);
    owner.event();
    let table = tell(&server, "ns", &["inspect"], "");
    // A title, a gap, a head, the partitions and a total.
    assert_eq!(
        (table.status.code(), table.stdout.lines().count()),
        (Some(0), 2 + 1 + 8 + 1),
        "{}",
        table.stdout
    );
    let found = inspected(&server, "ns");
    assert_eq!((&found["total"]["log_records"], &found["partitions_made"]), (&json!(1), &json!(8)));
    for partition in found["partitions"].as_array().unwrap() {
        assert!(partition["lease_left_ms"].as_u64().is_some_and(|left| left > 0), "{partition}");
        assert!(partition["bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{partition}");
        assert!(table.stdout.contains(partition["owner"].as_str().unwrap()));
    }
}

/// Those of a queue that no process has a handler for stand out by what is overdue.
#[test]
fn jobs_are_counted_by_queue() {
    let server = RedisServer::start(&[]);
    let lines = "{\"op\":\"schedule\",\"key\":\"a\",\"queue\":\"mail\",\"at\":1}\n\
                 {\"op\":\"schedule\",\"key\":\"b\",\"queue\":\"mail\",\"in\":\"1h\"}\n\
                 {\"op\":\"schedule\",\"key\":\"c\",\"queue\":\"sale\",\"in\":\"1h\"}\n";
    for _ in 0..2 {
        // The second time the store knows the queues, and nobody has a handler for them.
        let import = tell(&server, "ns", &["import", "--on-conflict", "replace"], lines);
        assert_eq!(import.status.code(), Some(0), "{}{}", import.stdout, import.stderr);
        assert!(!import.stderr.contains("handler"), "{}", import.stderr);
    }
    let found = tell(&server, "ns", &["inspect", "--queues", "--json"], "");
    let found: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    let queues =
        json!([{"queue": "mail", "jobs": 2, "overdue": 1}, {"queue": "sale", "jobs": 1, "overdue": 0}]);
    assert_eq!(found["queues"], queues);
    let table = tell(&server, "ns", &["inspect", "--queues"], "");
    assert!(table.stdout.contains("jobs        overdue   queue"), "{}", table.stdout);
    assert!(inspected(&server, "ns").get("queues").is_none());
}

#[test]
fn a_wrong_password_is_not_shown() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let port = server.port();
    for (store, said) in [
        (format!("redis://:hunter2@127.0.0.1:{port}"), "does not take the user or the password"),
        (format!("redis://bob:hunter2@127.0.0.1:{port}"), "does not take the user or the password"),
        (format!("redis://127.0.0.1:{port}"), "put one into the address"),
    ] {
        for command in [&["run"][..], &["inspect"], &["export"], &["import"], &["demo"]] {
            let ended = Run::program(&[command, &["--store", &store]].concat()).finish("");
            assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{command:?}");
            assert!(ended.stderr.contains(said) && !ended.stderr.contains("hunter2"), "{}", ended.stderr);
        }
    }
    let store = format!("redis://:right@127.0.0.1:{port}");
    assert_eq!(Run::program(&["inspect", "--store", &store]).finish("").status.code(), Some(0));
    // Where it does not stand on a command line for all to see.
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    let ended = Run::spawn(command.args(["inspect"]).env("REVEILLE_STORE", &store)).finish("");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(0), "namespace \"reveille\" is empty\n"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
    let help = Run::spawn(command.args(["run", "--help"]).env("REVEILLE_STORE", &store)).finish("");
    assert!(help.stdout.contains("REVEILLE_STORE") && !help.stdout.contains("right@"), "{}", help.stdout);
}

/// The certificate is checked against those that the system, or `SSL_CERT_FILE`, vouches for.
#[test]
fn tls_is_spoken_with_a_server_that_somebody_vouches_for() {
    let server = RedisServer::start_with_tls(&[]);
    let inspect = |vouching: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reveille"));
        command.args(["inspect", "--store", &server.tls_url()]);
        vouching.map(|file| command.env("SSL_CERT_FILE", file));
        Run::spawn(&mut command).finish("")
    };
    let stranger = inspect(None);
    assert_eq!((stranger.status.code(), stranger.stdout.as_str()), (Some(2), ""));
    assert!(stranger.stderr.contains("certificate"), "{}", stranger.stderr);
    let known = inspect(Some(&server.certificate()));
    assert_eq!((known.status.code(), known.stderr.as_str()), (Some(0), ""));
    assert_eq!(known.stdout, "namespace \"reveille\" is empty\n");
}

#[test]
fn what_is_no_address_is_said_without_showing_it() {
    for store in [
        "hunter2",
        "",
        "http://hunter2@host",
        "redis://:hunter2@",
        "redis://:hunter2@host/x",
        "rediss://h:hunter2",
    ] {
        for command in ["run", "inspect"] {
            let ended = Run::program(&[command, "--store", store]).finish("");
            assert_eq!(ended.status.code(), Some(2), "{store}");
            assert!(ended.stderr.contains("the address is not one of Redis"), "{}", ended.stderr);
            assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
        }
    }
    let ended = Run::program(&["run", "--store", "redis://host", "--namespace", "a b"]).finish("");
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("namespace"), "{}", ended.stderr);
}

#[test]
fn where_no_redis_is_nothing_begins() {
    // Nobody listens at the one, and nobody answers at the other.
    let (port, listener) = (Port::reserve(), TcpListener::bind("127.0.0.1:0").unwrap());
    let closed = format!("redis://:hunter2@127.0.0.1:{}", port.number());
    let silent = format!("redis://:hunter2@{}", listener.local_addr().unwrap());
    for store in [closed, silent] {
        let ended = Run::program(&["run", "--fail-fast", "--store", &store]).finish(FAR);
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("see that Redis runs there"), "{}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn without_a_store_its_options_mean_nothing() {
    for args in [
        &["run", "--namespace", "ns"][..],
        &["run", "--durability", "fsync"],
        &["run", "--replicas", "2"],
        &["run", "--lease", "1s"],
        &["run", "--single-owner"],
        &["run", "--fail-if-owned"],
        &["run", "--fail-fast"],
        &["demo", "--namespace", "ns"],
        &["inspect"],
        &["export", "--namespace", "ns"],
        &["import"],
    ] {
        let ended = Run::program(args).finish("");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains("--store <STORE>"), "{args:?}: {}", ended.stderr);
    }
    for (args, said) in [
        (&["--durability", "soon"][..], "invalid value 'soon'"),
        (&["--replicas", "0"], "0 is not in 1.."),
        (&["--lease", "soon"], "is not a delay"),
        (&["--lease", "10"], "write \"10s\" for seconds"),
    ] {
        let ended = Run::start(&[&["--store", "redis://host"], args].concat()).ended();
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
    }
}
