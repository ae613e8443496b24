//! How a run ends: by itself, by a signal, or because nobody listens any more.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use testkit::program::{Run, TempFile, number, of_kind, text};

const FAR: &str = "{\"op\":\"schedule\",\"key\":\"far\",\"in\":\"1h\"}\n";
const SOON: &str = "{\"op\":\"schedule\",\"key\":\"soon\",\"in\":\"500ms\"}\n";

#[test]
fn a_file_ends_when_idle_and_standard_input_does_not() {
    let file = TempFile::new("soon", SOON.as_bytes());
    let mut run = Run::start(&[file.path()]);
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    assert_eq!(text(&run.event(), "event"), "fired");
    assert_eq!(run.ended().status.code(), Some(0));

    for args in
        [&[file.path(), "--no-exit-when-idle"][..], &["-"], &["--exit-when-idle", "--no-exit-when-idle"]]
    {
        let mut run = Run::start(args);
        if args[0] != file.path() {
            run.write(SOON);
        }
        run.end_input();
        assert_eq!(text(&run.event(), "outcome"), "scheduled");
        assert_eq!(text(&run.event(), "event"), "fired");
        assert_eq!(run.event_within(Duration::from_millis(300)), None);
        run.signal(Signal::TERM);
        let ended = run.ended();
        assert_eq!(ended.status.code(), Some(0), "{args:?}: {}", ended.stderr);
        assert_eq!(ended.stderr, "reveille: stopped by SIGTERM; no job is pending\n");
    }
}

#[test]
fn a_signal_stops_it_in_order_and_says_what_is_left() {
    let signals = [
        (Signal::INT, "SIGINT"),
        (Signal::TERM, "SIGTERM"),
        (Signal::HUP, "SIGHUP"),
        (Signal::QUIT, "SIGQUIT"),
    ];
    for (signal, name) in signals {
        let mut run = Run::start(&[]);
        run.write(FAR);
        run.write("{\"op\":\"lookup\",\"key\":\"far\"}\n");
        for _ in 0..2 {
            assert_eq!(text(&run.event(), "outcome"), "scheduled");
        }
        // The input stays open: nobody waits for its next line.
        run.signal(signal);
        let ended = run.ended();
        assert_eq!((ended.status.code(), ended.events.len()), (Some(0), 0));
        let said =
            format!("reveille: stopped by {name}; 1 job stays pending, and is lost: there is no store\n");
        assert_eq!(ended.stderr, said);
    }
}

#[test]
fn a_signal_after_a_mistake_is_status_1() {
    let mut run = Run::start(&[]);
    run.write("nonsense\n");
    assert_eq!(text(&run.event(), "event"), "error");
    run.signal(Signal::TERM);
    assert_eq!(run.ended().status.code(), Some(1));
}

#[test]
fn a_signal_in_the_middle_of_much_leaves_nothing_half_said() {
    let mut run = Run::start(&[]);
    let lines =
        (0..).map(|at| format!(r#"{{"op":"schedule","key":"k{at}","in":"{}ms","payload":{at}}}"#, at % 20));
    let writer = run.write_behind(lines);
    for _ in 0..20_000 {
        run.event();
    }
    run.signal(Signal::TERM);
    let ended = run.ended();
    writer.join().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(of_kind(&ended.events, "error").count(), 0);
    // Every line of the output was whole, or it would not have been read as an event; and no ack is missing between.
    let lines: Vec<u64> = of_kind(&ended.events, "ack").map(|ack| number(ack, "line")).collect();
    assert!(lines.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn a_hangup_that_is_ignored_stays_ignored() {
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP QUIT; exec \"$0\" run", env!("CARGO_BIN_EXE_reveille")]);
    let mut run = Run::spawn(&mut command);
    run.write(FAR);
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    run.signal(Signal::HUP);
    run.signal(Signal::QUIT);
    run.write("{\"op\":\"lookup\",\"key\":\"far\"}\n");
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    run.signal(Signal::TERM);
    assert!(run.ended().stderr.contains("stopped by SIGTERM"));
}

#[test]
fn a_consumer_that_goes_away_ends_it_though_nothing_is_written() {
    let mut run = Run::start(&[]);
    run.write(FAR);
    run.close_output_after(1);
    // The input stays open, and no job is due.
    let ended = run.ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(
        ended.stderr,
        "reveille: the output was closed; 1 job stays pending, and is lost: there is no store\n"
    );
}

#[test]
fn an_output_that_is_closed_already_is_said_before_anything_begins() {
    let mut command = Command::new("sh");
    // The reader has gone when this starts.
    let script = "(read go; exec \"$0\" run; echo $? >&2) | true";
    command.args(["-c", script, env!("CARGO_BIN_EXE_reveille")]);
    let mut run = Run::spawn(&mut command);
    std::thread::sleep(Duration::from_millis(200));
    run.write("go\n");
    run.write(FAR);
    let ended = run.ended_unread(Vec::new());
    assert!(ended.stderr.starts_with("reveille: cannot write the output: "), "{}", ended.stderr);
}

#[test]
fn a_full_disk_under_the_output_ends_it() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut run = Run::spawn_to(Command::new(env!("CARGO_BIN_EXE_reveille")).arg("run"), full.into());
    run.write(FAR);
    let ended = run.ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.starts_with("reveille: cannot write the output: No space left"), "{}", ended.stderr);
    assert!(
        ended.stderr.ends_with("1 job stays pending, and is lost: there is no store\n"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_consumer_that_goes_away_ends_it_also_when_jobs_fire() {
    let mut run = Run::start(&[]);
    let stdin = run.stdin.as_mut().unwrap();
    for at in 0..200 {
        let line = format!("{{\"op\":\"schedule\",\"key\":\"{at}\",\"in\":\"{at}ms\"}}\n");
        // It may be gone before the last of them.
        let _ = stdin.write_all(line.as_bytes());
    }
    run.close_output_after(1);
    // The input stays open, so only the firing jobs can tell.
    let stdin = run.stdin.take();
    let ended = run.ended();
    drop(stdin);
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

/// A run whose output is full: nobody reads it.
fn stuck() -> (Run, thread::JoinHandle<()>) {
    let mut run = Run::start(&[]);
    let writer = run.write_behind((0..).map(|_| "{\"op\":\"lookup\",\"key\":\"none\"}".to_owned()));
    thread::sleep(Duration::from_secs(1));
    (run, writer)
}

#[test]
fn a_signal_does_not_wait_for_ever_for_a_consumer_that_does_not_read() {
    let (mut run, writer) = stuck();
    run.signal(Signal::TERM);
    let ended = run.ended_unread(Vec::new());
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the output was not read in time"), "{}", ended.stderr);
    drop(run);
    writer.join().unwrap();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129), (Signal::QUIT, 131)] {
        let (mut run, writer) = stuck();
        run.signal(Signal::TERM);
        // Two of a kind that are both pending are but one.
        thread::sleep(Duration::from_secs(1));
        run.signal(signal);
        let ended = run.ended_unread(Vec::new());
        assert_eq!((ended.status.code(), ended.status.signal()), (Some(code), None), "{}", ended.stderr);
        drop(run);
        writer.join().unwrap();
    }
}

#[test]
fn a_reader_of_the_output_sees_events_as_they_happen() {
    let mut run = Run::start(&[]);
    for at in 0..50 {
        run.write(&format!("{{\"op\":\"schedule\",\"key\":\"k{at}\",\"in\":0}}\n"));
        let kinds = [text(&run.event(), "event").to_owned(), text(&run.event(), "event").to_owned()];
        assert!(kinds.contains(&"ack".to_owned()) && kinds.contains(&"fired".to_owned()), "{kinds:?}");
    }
}
