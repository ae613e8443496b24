//! How it ends, and what it says.

use crate::bench;

#[test]
fn what_is_not_understood_is_named() {
    let mistakes: [(&[&str], &str); 15] = [
        (&[], "Usage: reveille bench"),
        (&["speed"], "'speed'"),
        (&["wheel", "--timers", "10"], "'10' for '--timers <N>'"),
        (&["engine", "--threads", "1"], "'1' for '--threads <N>'"),
        (&["lateness", "--jobs", "0"], "'0' for '--jobs <N>'"),
        (&["lateness", "--load", "many"], "'many' for '--load <N>'"),
        (&["burst", "--jobs", "1000,"], "'' for '--jobs <N,..>'"),
        (&["burst", "--jobs", "5,x"], "'x' for '--jobs <N,..>'"),
        (&["burst", "--rounds", "0"], "'0' for '--rounds <N>'"),
        (&["reading", "--jobs", "5"], "'5' for '--jobs <N>'"),
        (&["idle", "--seconds", "0"], "'0' for '--seconds <SECONDS>'"),
        (&["durable", "--callers", "0"], "'0' for '--callers <N>'"),
        (&["restore", "--jobs", "0"], "'0' for '--jobs <N>'"),
        (&["snapshot", "--firing", "0"], "'0' for '--firing <N>'"),
        (&["wheel", "--store", "redis://127.0.0.1"], "'--store'"),
    ];
    for (args, named) in mistakes {
        let ended = bench(args);
        assert_eq!(ended.status.code(), Some(2), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains(named), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn without_json_it_is_a_table_with_floors() {
    let tables: [(&[&str], &[&str]); 5] = [
        (&["wheel", "--timers", "1000"], &["reschedule a random one", "change a random node"]),
        (&["engine", "--jobs", "1000"], &["cancel, 2 threads", "a map behind a lock"]),
        (&["lateness", "--jobs", "5"], &["precise, inline handler", "as sleep and spin", "p99.9"]),
        (&["burst", "--jobs", "1000", "--rounds", "1"], &["1,000 tokio sleeps", "1,000 inline handlers"]),
        (&["idle", "--jobs", "10", "--seconds", "1"], &["dedicated", "x the floor"]),
    ];
    for (args, parts) in tables {
        let ended = bench(args);
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        for part in parts {
            assert!(ended.stdout.contains(part), "{args:?}: {}", ended.stdout);
        }
    }
}
