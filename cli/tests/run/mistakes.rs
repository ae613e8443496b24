//! A file in which every tenth line is broken in a different way. Each gets its error; all else works.

use serde_json::Value;

use testkit::program::{Run, TempFile, number, of_kind, text};

/// A broken line, and a part of what has to be said about it.
fn mistakes() -> Vec<(Vec<u8>, &'static str)> {
    let schedule = |rest: &str| format!(r#"{{"op":"schedule","key":"k",{rest}}}"#).into_bytes();
    let with_key = |key: &str| format!(r#"{{"op":"schedule","key":"{key}","in":1}}"#).into_bytes();
    let long = |bytes: usize| "x".repeat(bytes);
    vec![
        (b"this is not JSON".to_vec(), "not a JSON object"),
        (b"[\"cancel\",\"k\"]".to_vec(), "not a JSON object"),
        (b"42".to_vec(), "not a JSON object"),
        (br#"{"op":"cancel","key":"k""#.to_vec(), "not JSON: EOF"),
        (br#"{"op":"cancel","key":"k"}{"op":"cancel","key":"k"}"#.to_vec(), "trailing characters"),
        (br#"{"op":"cancel","key":"k",}"#.to_vec(), "trailing comma"),
        (br#"{"op":"cancel","key":"k","when":1}"#.to_vec(), "unknown field `when`"),
        (br#"{"op":"cancel","key":"k","key":"k"}"#.to_vec(), "duplicate field `key`"),
        (br#"{"op":"fire","key":"k"}"#.to_vec(), "unknown op \"fire\""),
        (br#"{"key":"k","in":1}"#.to_vec(), "`op` is missing"),
        (br#"{"op":"cancel"}"#.to_vec(), "`key` is missing"),
        (br#"{"op":"cancel","key":null}"#.to_vec(), "`key` is missing"),
        (br#"{"op":"cancel","key":5}"#.to_vec(), "expected a string"),
        (br#"{"op":"cancel","key":"k","in":1}"#.to_vec(), "`in` has no meaning for cancel"),
        (
            br#"{"op":"reschedule","key":"k","in":1,"queue":"q"}"#.to_vec(),
            "`queue` has no meaning for reschedule",
        ),
        (br#"{"op":"reschedule","key":"k"}"#.to_vec(), "the time is missing"),
        (schedule(r#""payload":1"#), "the time is missing"),
        (schedule(r#""in":1,"at":1"#), "two times"),
        (schedule(r#""in":"100000d""#), "beyond the horizon"),
        (schedule(r#""in":"99999999999999999999s""#), "out of range"),
        (schedule(r#""at":"2999-01-01T00:00:00Z""#), "beyond the horizon"),
        (schedule(r#""at":1e300"#), "out of range"),
        (schedule(r#""at":"soon""#), "`at`: \"soon\" is not a time"),
        (schedule(r#""at":"2026-12-01T10:00:00""#), "has no offset from UTC"),
        (schedule(r#""at":"2026-02-30T10:00:00Z""#), "there is no such date"),
        (schedule(r#""at":"2026-10-25T02:30:00[Europe/Berlin]""#), "happens twice in its time zone"),
        (schedule(r#""at":"2026-12-01T10:00:00+25:59""#), "which is no offset from UTC"),
        (schedule(r#""at":"9999-12-31T23:59:59Z""#), "beyond the horizon"),
        (
            schedule(r#""at":1796119200000"#),
            "1796119200000 looks like milliseconds since 1970; write seconds: 1796119200",
        ),
        (schedule(r#""at":[1]"#), "`at` is"),
        (schedule(r#""in":"1.5""#), "has no unit after 1.5"),
        (schedule(r#""in":"2,000 seconds""#), "has a comma in a number"),
        (schedule(r#""in":-1"#), "negative"),
        (schedule(r#""in":"-1s""#), "negative"),
        (schedule(r#""in":true"#), "`in` is"),
        (schedule(r#""in":NaN"#), "not JSON"),
        (schedule(r#""in":1,"priority":256"#), "0 to 255"),
        (schedule(r#""in":1,"priority":-1"#), "0 to 255"),
        (schedule(r#""in":1,"on_conflict":"merge""#), "`on_conflict` is \"merge\""),
        (schedule(r#""in":1,"queue":"""#), "the name of a queue has 0 bytes"),
        (schedule(&format!(r#""in":1,"queue":"{}""#, long(129))), "129 bytes"),
        (schedule(r#""in":1,"queue":7"#), "expected a string"),
        (schedule(&format!(r#""in":1,"payload":"{}""#, long(65_536))), "the limit is 65536"),
        (with_key(""), "the key is empty"),
        (with_key(&long(513)), "the key has 513 bytes"),
        (with_key("\\ud800"), "not JSON"),
        (with_key("a\tb"), "control character"),
        (b"{\"op\":\"cancel\",\"key\":\"\xff\"}".to_vec(), "not UTF-8"),
        (with_key(&long(2 * 1024 * 1024)), "longer than 1048576 bytes"),
        (b"{\"a\":".repeat(50_000), "unknown field `a`"),
        (vec![0; 100], "not a JSON object"),
    ]
}

#[test]
fn a_broken_line_gets_its_error_and_the_rest_goes_on() {
    let mistakes = mistakes();
    let lines = mistakes.len() * 10;
    let mut input = b"\xef\xbb\xbf".to_vec();
    for line in 1..=lines {
        match line % 10 {
            0 => input.extend_from_slice(&mistakes[line / 10 - 1].0),
            // Blank lines count, and are otherwise nothing.
            5 => input.extend_from_slice(b"  "),
            _ => {
                let in_ms = line % 50;
                let ok =
                    format!(r#"{{"op":"schedule","key":"ok-{line}","in":"{in_ms}ms","payload":{line}}}"#);
                input.extend_from_slice(ok.as_bytes());
            }
        }
        input.extend_from_slice(if line % 3 == 0 { b"\r\n" } else { b"\n" });
    }
    // The last line has no end.
    input.extend_from_slice(br#"{"op":"schedule","key":"last","in":0,"payload":0}"#);
    let file = TempFile::new("mistakes", &input);
    let ended = Run::start(&[file.path()]).ended();

    assert_eq!((ended.status.code(), ended.stderr.as_str()), (Some(1), ""));
    let errors: Vec<&Value> = of_kind(&ended.events, "error").collect();
    for (error, (at, (_, said))) in errors.iter().zip(mistakes.iter().enumerate()) {
        assert_eq!(number(error, "line"), (at as u64 + 1) * 10, "{error}, expected {said}");
        let message = text(error, "error");
        assert!(message.contains(said), "{message:?} does not say {said:?}");
        assert!(message.len() < 600, "{} bytes of message", message.len());
        assert_eq!(error.as_object().unwrap().len(), 3);
    }
    assert_eq!(errors.len(), mistakes.len());

    // Errors and acknowledgements come in the order of their lines, together.
    let answers: Vec<u64> = ended
        .events
        .iter()
        .filter(|event| event["event"] != "fired")
        .map(|event| number(event, "line"))
        .collect();
    let expected = (1..=lines as u64 + 1).filter(|line| line % 10 != 5);
    assert!(answers.into_iter().eq(expected));
    let mut fired: Vec<u64> = of_kind(&ended.events, "fired").map(|event| number(event, "payload")).collect();
    fired.sort_unstable();
    let expected = (1..=lines as u64).filter(|line| line % 10 != 0 && line % 10 != 5);
    assert!(fired.into_iter().eq(std::iter::once(0).chain(expected)));
}

#[test]
fn what_cannot_begin_is_status_2() {
    for (args, said) in [
        (&["/nonexistent/file"][..], "cannot open /nonexistent/file"),
        (&["/"], "cannot open /"),
        (&["--tick", "0s"], "tick"),
        (&["--tick", "soon"], "is not a delay"),
        (&["--tick", "1,5ms"], "has a comma in a number"),
        (&["--horizon", "90"], "write \"90s\" for seconds"),
        (&["--horizon", "999999d"], "365000 days at most"),
        (&["--profile", "hasty"], "hasty"),
        (&["--jobs-max", "0"], "jobs_max"),
        (&["--pool", "0"], "from 1 to 10000"),
        (&["--precedence", "mails=1"], "--pool"),
        (&["--pool", "1", "--precedence", "mails=high"], "from -128 to 127"),
        (&["--pool", "1", "--precedence", "mails=128"], "from -128 to 127"),
        (&["--pool", "1", "--weight", "mails=0"], "from 1 to 65535"),
        (&["--pool", "1", "--weight", "mails"], "QUEUE=.."),
        (&["--pool", "1", "--weight", "=3"], "name"),
        (&["--rate", "mails=10"], "100/1s"),
        (&["--rate", "mails=0/1s"], "100/1s"),
        (&["--rate", "mails=10/1s,0"], "100/1s"),
        (&["--rate", "mails=10/0s"], "longer than nothing"),
        (&["--rate", "mails=10/soon"], "is not a delay"),
    ] {
        let ended = Run::start(args).ended();
        assert_eq!(ended.status.code(), Some(2), "{args:?}");
        assert!(ended.stderr.contains(said) && ended.events.is_empty(), "{args:?}: {}", ended.stderr);
    }
}
