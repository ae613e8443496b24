//! Jobs out of a namespace, and into another.

use rustix::process::Signal;

use crate::{exported, inspected, run, tell};
use testkit::program::{Run, TempFile, of_kind, text};
use testkit::redis::RedisServer;
use testkit::wait::wait_until;

/// One of each kind, out of order. Two are overdue.
const JOBS: &str = r#"
{"op":"schedule","key":"plain","at":"2033-05-18T03:33:20Z"}
{"op":"schedule","key":"b","queue":"other","at":"2033-05-18T03:33:20Z","payload":{"seats": 5e2,"a":[1.10,"é\n"]}}
{"op":"schedule","key":"a","at":"2033-05-18T03:33:20Z","priority":0,"delivery":"at_most_once"}
{"op":"schedule","key":"bytes","at":"2033-05-18T03:33:19.999999Z","payload_base64":"AP8="}
{"op":"schedule","key":"lines","at":"2033-05-18T03:33:19Z","payload_base64":"WzEsCjJd"}
{"op":"schedule","key":"none","at":"2033-05-18T03:33:18Z","payload_base64":""}
{"op":"schedule","key":"é \"🎫\"","queue":"q\t","at":"2033-05-18T03:33:17Z","priority":255}
{"op":"schedule","key":"overdue","at":"2020-05-18T03:33:17Z"}
{"op":"schedule","key":"long overdue","at":-1.5,"queue":"other"}
"#;

const EXPORTED: &str = r#"{"op":"schedule","key":"long overdue","queue":"other","at":"1969-12-31T23:59:58.500000Z","payload":null}
{"op":"schedule","key":"overdue","queue":"default","at":"2020-05-18T03:33:17.000000Z","payload":null}
{"op":"schedule","key":"é \"🎫\"","queue":"q\t","at":"2033-05-18T03:33:17.000000Z","priority":255,"payload":null}
{"op":"schedule","key":"none","queue":"default","at":"2033-05-18T03:33:18.000000Z","payload_base64":""}
{"op":"schedule","key":"lines","queue":"default","at":"2033-05-18T03:33:19.000000Z","payload_base64":"WzEsCjJd"}
{"op":"schedule","key":"bytes","queue":"default","at":"2033-05-18T03:33:19.999999Z","payload_base64":"AP8="}
{"op":"schedule","key":"a","queue":"default","at":"2033-05-18T03:33:20.000000Z","priority":0,"delivery":"at_most_once","payload":null}
{"op":"schedule","key":"b","queue":"other","at":"2033-05-18T03:33:20.000000Z","payload":{"seats": 5e2,"a":[1.10,"é\n"]}}
{"op":"schedule","key":"plain","queue":"default","at":"2033-05-18T03:33:20.000000Z","payload":null}
"#;

#[test]
fn what_is_exported_is_imported_to_the_same() {
    let server = RedisServer::start(&[]);
    let import = tell(&server, "from", &["import"], JOBS);
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    assert_eq!(import.stdout, "9 scheduled, 0 replaced, 0 kept, 0 already scheduled, 0 wrong\n");
    assert_eq!(exported(&server, "from"), EXPORTED);
    assert_eq!(inspected(&server, "from")["partitions_made"], 8);

    // Through files, and into another number of partitions.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.jsonl");
    let export = tell(&server, "from", &["export", path.to_str().unwrap()], "");
    assert_eq!((export.status.code(), export.stdout.as_str()), (Some(0), ""), "{}", export.stderr);
    assert!(export.stderr.contains("9 jobs"), "{}", export.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), EXPORTED);
    let import = tell(&server, "to", &["import", path.to_str().unwrap(), "--partitions", "3"], "");
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    assert_eq!(exported(&server, "to"), EXPORTED);
    assert_eq!(inspected(&server, "to")["partitions_made"], 3);

    // The overdue ones fire for whoever runs them, in a namespace of three partitions too.
    let mut run = run(&server, "to", &[]);
    let keys = [run.event(), run.event()].map(|event| text(&event, "key").to_owned());
    assert!(keys.contains(&"overdue".to_owned()) && keys.contains(&"long overdue".to_owned()), "{keys:?}");
}

/// What calls have said of queues goes along. Nothing fires meanwhile: not of a queue that goes on either, which would cost a job that may
/// run once only.
#[test]
fn what_was_said_of_queues_is_exported_and_imported() {
    const KEPT: &str = r#"{"op":"pause","queue":"held"}
{"op":"resume","queue":"open"}
{"op":"schedule","key":"late","queue":"open","at":"2020-05-18T03:33:17.000000Z","delivery":"at_most_once","payload":null}
{"op":"schedule","key":"waits","queue":"held","at":"2020-05-18T03:33:17.000000Z","payload":null}
"#;
    let server = RedisServer::start(&[]);
    let import = tell(&server, "from", &["import"], KEPT);
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    let counted = "2 scheduled, 0 replaced, 0 kept, 0 already scheduled, 0 wrong; 2 lines about queues\n";
    assert_eq!(import.stdout, counted);
    assert_eq!(exported(&server, "from"), KEPT);
    // Again: the namespace has a queue that goes on, and a job of it that is overdue.
    let again = tell(&server, "from", &["import", "--on-conflict", "keep"], KEPT);
    assert_eq!(again.status.code(), Some(0), "{}", again.stderr);
    assert_eq!(exported(&server, "from"), KEPT);
    let export = tell(&server, "from", &["export"], "");
    assert!(export.stderr.contains("2 jobs, and whether 2 queues are paused,"), "{}", export.stderr);
    assert_eq!(tell(&server, "to", &["import", "--partitions", "3"], KEPT).status.code(), Some(0));
    assert_eq!(exported(&server, "to"), KEPT);

    let mut run = run(&server, "to", &[]);
    assert_eq!(text(&run.event(), "key"), "late");
    run.write("{\"op\":\"lookup\",\"key\":\"waits\"}\n{\"op\":\"resume\",\"queue\":\"held\"}\n");
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    let rest = [run.event(), run.event()];
    assert!(rest.iter().any(|event| event["op"] == "resume" && event["outcome"] == "resumed"), "{rest:?}");
    assert!(rest.iter().any(|event| event["event"] == "fired" && event["key"] == "waits"), "{rest:?}");
    drop(run);

    let other = "{\"op\":\"pause\",\"key\":\"late\"}\n{\"op\":\"drain\",\"queue\":\"open\",\"within\":1}\n";
    let refused = tell(&server, "other", &["import"], other);
    assert_eq!(refused.status.code(), Some(1));
    for (line, told) in [(1, "the op is pause of a job"), (2, "the op is drain")] {
        assert!(refused.stderr.contains(&format!("line {line}: {told}")), "{}", refused.stderr);
    }
}

#[test]
fn an_import_says_what_became_of_every_line() {
    let server = RedisServer::start(&[]);
    let line = |key: &str, more: &str| {
        format!("{{\"op\":\"schedule\",\"key\":\"{key}\",\"at\":2000000000{more}}}\n")
    };
    let import = tell(&server, "ns", &["import"], &(line("a", "") + &line("b", "")));
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);

    let lines = [
        line("a", ",\"payload\":1"),
        "nonsense\n".to_owned(),
        line("b", ",\"on_conflict\":\"replace\",\"payload\":2"),
        line("c", ""),
        "{\"op\":\"cancel\",\"key\":\"a\"}\n\n".to_owned(),
        line("d", ",\"queue\":\"\""),
    ];
    let import = tell(&server, "ns", &["import", "--on-conflict", "keep"], &lines.concat());
    assert_eq!(import.status.code(), Some(1));
    assert_eq!(import.stdout, "1 scheduled, 1 replaced, 1 kept, 0 already scheduled, 3 wrong\n");
    let said: Vec<&str> = import.stderr.lines().filter(|line| line.contains(": line ")).collect();
    assert_eq!(said.len(), 3, "{}", import.stderr);
    for (said, expected) in said.iter().zip([
        "line 2: the line is not a JSON",
        "line 5: the op is cancel",
        "line 7: the name of a queue",
    ]) {
        assert!(said.contains(expected), "{said}");
    }
    let payloads = [("a", "null"), ("b", "2"), ("c", "null")];
    for (line, (key, payload)) in exported(&server, "ns").lines().zip(payloads) {
        assert!(
            line.contains(&format!("\"key\":\"{key}\"")) && line.ends_with(&format!(":{payload}}}")),
            "{line}"
        );
    }

    let import = tell(&server, "ns", &["import"], &line("a", ""));
    assert_eq!(import.status.code(), Some(0));
    assert_eq!(import.stdout, "0 scheduled, 0 replaced, 0 kept, 1 already scheduled, 0 wrong\n");
    let import = tell(&server, "ns", &["import", "--on-conflict", "replace"], &line("a", ""));
    assert_eq!(import.stdout, "0 scheduled, 1 replaced, 0 kept, 0 already scheduled, 0 wrong\n");
}

#[test]
fn a_living_owner_is_in_the_way() {
    let server = RedisServer::start(&[]);
    let mut owner = run(&server, "ns", &[]);
    owner.write("{\"op\":\"schedule\",\"key\":\"far\",\"in\":\"1h\"}\n");
    owner.event();
    for args in [&["export"][..], &["import"]] {
        let refused = tell(&server, "ns", args, JOBS);
        assert_eq!((refused.status.code(), refused.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(
            refused.stderr.contains("owns the jobs") && refused.stderr.contains("--force"),
            "{}",
            refused.stderr
        );
    }
    let export = tell(&server, "ns", &["export", "--force"], "");
    assert_eq!((export.status.code(), export.stdout.lines().count()), (Some(0), 1));
    assert!(export.stderr.contains("what it does meanwhile"), "{}", export.stderr);
    owner.write("{\"op\":\"lookup\",\"key\":\"far\"}\n");
    assert_eq!(text(&owner.event(), "outcome"), "scheduled");

    let import = tell(&server, "ns", &["import", "--force"], JOBS);
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    let ended = owner.ended();
    assert_eq!(
        (ended.status.code(), of_kind(&ended.events, "fired").count()),
        (Some(1), 0),
        "{}",
        ended.stderr
    );
    assert_eq!(exported(&server, "ns").lines().count(), 10);
}

#[test]
fn an_import_that_is_stopped_says_how_far_it_came() {
    let server = RedisServer::start(&[]);
    let store = server.url();
    // Its input stays open.
    let mut import = Run::program(&["import", "--store", &store, "--namespace", "ns"]);
    import.write(JOBS);
    wait_until("all are imported", || {
        tell(&server, "ns", &["export", "--force"], "").stdout.lines().count() == 9
    });
    import.signal(Signal::TERM);
    let stdin = import.stdin.take();
    let ended = import.ended_as_text();
    drop(stdin);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert_eq!(ended.stdout, "9 scheduled, 0 replaced, 0 kept, 0 already scheduled, 0 wrong\n");
    assert!(
        ended.stderr.contains("stopped by SIGTERM; the lines after line 10 were not taken"),
        "{}",
        ended.stderr
    );
    assert_eq!(exported(&server, "ns"), EXPORTED);
}

#[test]
fn a_namespace_keeps_its_partitions() {
    let server = RedisServer::start(&[]);
    assert_eq!(tell(&server, "ns", &["import", "--partitions", "2"], JOBS).status.code(), Some(0));
    let refused = tell(&server, "ns", &["import", "--partitions", "4"], JOBS);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("made with 2 partitions"), "{}", refused.stderr);
    let import = tell(&server, "ns", &["import", "--on-conflict", "keep"], JOBS);
    assert_eq!(import.stdout, "0 scheduled, 0 replaced, 9 kept, 0 already scheduled, 0 wrong\n");
    for partitions in ["0", "1025", "many"] {
        let refused = tell(&server, "ns", &["import", "--partitions", partitions], "");
        assert_eq!(refused.status.code(), Some(2), "{partitions}");
    }
}

#[test]
fn a_namespace_that_is_not_there_leaves_the_file_alone() {
    let server = RedisServer::start(&[]);
    let file = TempFile::new("old", b"an older export");
    for args in [&["export", file.path()][..], &["export"], &["export", "--force"]] {
        let typo = tell(&server, "typo", args, "");
        assert_eq!((typo.status.code(), typo.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(
            typo.stderr.contains("no namespace \"typo\"; nothing was written")
                && typo.stderr.contains("redis-cli"),
            "{}",
            typo.stderr
        );
    }
    assert_eq!(std::fs::read(file.path()).unwrap(), b"an older export");

    // One that is there and has no jobs is another thing.
    assert_eq!(tell(&server, "ns", &["import"], "").status.code(), Some(0));
    let nowhere = tell(&server, "ns", &["export", "/nonexistent/file"], "");
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(nowhere.stderr.contains("cannot write /nonexistent/file"), "{}", nowhere.stderr);
    let export = tell(&server, "ns", &["export", file.path()], "");
    assert_eq!((export.status.code(), std::fs::read(file.path()).unwrap()), (Some(0), Vec::new()));
    assert!(export.stderr.contains("0 jobs"), "{}", export.stderr);
}
