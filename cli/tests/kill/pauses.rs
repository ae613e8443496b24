//! A queue that is paused stays so when the program is killed, and goes on when it was told to.

use std::time::Duration;

use serde_json::Value;
use testkit::program::feed::random;
use testkit::program::{Run, text};
use testkit::redis::RedisServer;

use super::times;

/// What was acknowledged last is what the next process finds, and jobs wait or go by it.
#[test]
fn a_pause_outlasts_the_program() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut random = random("pauses");
    let mut run = start(&server, &[]);
    let (mut is_paused, mut due) = (false, 0);
    for kill in 0..times("REVEILLE_PAUSE_KILLS", 10) {
        for _ in 0..random.u32(1..4) {
            is_paused = random.bool();
            let op = if is_paused { "pause" } else { "resume" };
            // A queue that was never named cannot be told to go on.
            if is_paused || kill > 0 {
                ask(&mut run, &format!("{{\"op\":\"{op}\",\"queue\":\"q\"}}"));
            } else {
                ask(&mut run, "{\"op\":\"pause\",\"queue\":\"q\"}");
                ask(&mut run, "{\"op\":\"resume\",\"queue\":\"q\"}");
            }
        }
        for queue in ["q", "other"] {
            let key = format!("{queue}{kill}");
            ask(
                &mut run,
                &format!("{{\"op\":\"schedule\",\"key\":\"{key}\",\"queue\":\"{queue}\",\"in\":\"30ms\"}}"),
            );
        }
        due += 1;
        std::thread::sleep(Duration::from_micros(random.u64(0..60_000)));
        run.kill();
        run = start(&server, &[]);
        // What fires is told before the answer to a line that comes when it is over.
        std::thread::sleep(Duration::from_millis(150));
        let said = if is_paused { "already_paused" } else { "not_paused" };
        let op = if is_paused { "pause" } else { "resume" };
        let (outcome, fired) = ask(&mut run, &format!("{{\"op\":\"{op}\",\"queue\":\"q\"}}"));
        assert_eq!(text(&outcome, "outcome"), said, "kill {kill}: {outcome}");
        if is_paused {
            assert!(!fired.iter().any(|key| key.starts_with('q')), "kill {kill}: {fired:?} has fired");
        }
    }
    ask(&mut run, "{\"op\":\"resume\",\"queue\":\"q\"}");
    run.kill();
    let mut last = start(&server, &["--exit-when-idle"]);
    last.end_input();
    let ended = last.ended();
    assert_eq!(ended.status.code(), Some(0), "all {due} of each queue have gone: {:?}", ended.events);
}

fn start(server: &RedisServer, more: &[&str]) -> Run {
    let store = server.url();
    let args = ["--store", &store, "--namespace", "pauses", "--lease", "150ms"];
    Run::start(&[&args[..], more].concat())
}

/// The answer to a line, and the keys of the jobs that fired before it.
fn ask(run: &mut Run, line: &str) -> (Value, Vec<String>) {
    run.write(&format!("{line}\n"));
    let mut fired = Vec::new();
    loop {
        let event = run.event();
        match text(&event, "event") {
            "ack" => return (event, fired),
            "error" => panic!("{line}: {event}"),
            "fired" => fired.push(text(&event, "key").to_owned()),
            _ => {}
        }
    }
}
