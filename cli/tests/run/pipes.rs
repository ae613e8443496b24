//! Named pipes as inputs.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use testkit::program::{Fifo, Run, number, text};

fn line(key: &str) -> String {
    format!("{{\"op\":\"schedule\",\"key\":\"{key}\",\"in\":\"1h\"}}\n")
}

#[test]
fn the_writers_of_a_named_pipe_come_and_go() {
    for more in [&[][..], &["--no-exit-when-idle"]] {
        let inbox = Fifo::new("inbox");
        let mut run = Run::start(&[&[inbox.path()], more].concat());
        for (writer, key) in ["a", "b", "c"].into_iter().enumerate() {
            inbox.write(&line(key));
            let ack = run.event();
            assert_eq!((number(&ack, "line"), text(&ack, "key")), (writer as u64 + 1, key));
        }
        assert_eq!(run.event_within(Duration::from_millis(200)), None);
        run.signal(Signal::TERM);
        let ended = run.ended();
        assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 0), "{}", ended.stderr);
        assert!(ended.stderr.contains("3 jobs stay pending"), "{}", ended.stderr);
    }
}

#[test]
fn a_signal_ends_it_though_nobody_has_opened_the_pipe() {
    for more in [&[][..], &["--exit-when-idle"]] {
        let inbox = Fifo::new("unopened");
        let run = Run::start(&[&[inbox.path(), "--log", "reveille=debug"], more].concat());
        std::thread::sleep(Duration::from_millis(300));
        run.signal(Signal::TERM);
        let ended = run.ended();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopped by SIGTERM"), "{}", ended.stderr);
    }
}

#[test]
fn a_named_pipe_that_is_to_end_waits_for_a_writer_and_ends_with_it() {
    let inbox = Fifo::new("ends");
    let mut run = Run::start(&[inbox.path(), "--exit-when-idle"]);
    assert_eq!(run.event_within(Duration::from_millis(300)), None);
    // With a pause between what it writes.
    let mut writer = std::fs::OpenOptions::new().write(true).open(inbox.path()).unwrap();
    for at in 0..2 {
        let line = format!("{{\"op\":\"schedule\",\"key\":\"k{at}\",\"in\":\"100ms\"}}\n");
        std::io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
        assert_eq!((text(&run.event(), "event"), text(&run.event(), "event")), ("ack", "fired"));
    }
    drop(writer);
    let ended = run.ended();
    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_pipe_without_a_name_ends_as_a_file_does() {
    let mut command = Command::new("bash");
    command.args(["-c", "exec \"$0\" run <(echo '{\"op\":\"schedule\",\"key\":\"k\",\"in\":0}')"]);
    let ended = Run::spawn(command.arg(env!("CARGO_BIN_EXE_reveille"))).ended();
    assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 2), "{}", ended.stderr);
}
