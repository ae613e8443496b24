//! A namespace out of one store and into another of the other kind.

use testkit::redis::RedisServer;

use crate::{Disk, exported, inspected, tell};

/// Of every kind, out of order, and many.
fn jobs() -> String {
    let mut lines = String::from(
        r#"{"op":"schedule","key":"plain","at":"2033-05-18T03:33:20Z"}
{"op":"schedule","key":"overdue","at":"2020-05-18T03:33:17Z","queue":"other"}
{"op":"schedule","key":"bytes","at":"2033-05-18T03:33:19.999999Z","payload_base64":"AP8="}
{"op":"schedule","key":"é \"🎫\"","queue":"q\t","at":"2033-05-18T03:33:17Z","priority":255,"delivery":"at_most_once"}
{"op":"schedule","key":"tagged","at":"2033-05-18T03:33:18Z","tags":["mail","tenant:7"],"headers":{"traceparent":"00-1"}}
{"op":"schedule","key":"tried","at":"2033-05-18T03:33:18Z","timeout":"5s","retry":{"attempts":5,"base":"1s"}}
{"op":"schedule","key":"pulse","every":"24h","from":"2033-05-18T03:33:18Z"}
"#,
    );
    for n in 0..3_000 {
        let (at, queue) = (2_000_000_000 + n * 7 % 1_000, ["mail", "sale", "hook"][n % 3]);
        lines += &format!(
            "{{\"op\":\"schedule\",\"key\":\"k{n}\",\"queue\":\"{queue}\",\"at\":{at},\"payload\":{{\"n\":{n}}}}}\n"
        );
    }
    lines
}

const JOBS: u64 = 3_007;

/// Moves a namespace, and compares what is there with what was.
fn moved(from: &str, to: &str) {
    let export = tell(from, "shop", &["export"], "");
    assert_eq!(export.status.code(), Some(0), "{}", export.stderr);
    assert!(export.stderr.contains("3,007 jobs"), "{}", export.stderr);
    let import = tell(to, "shop", &["import", "--partitions", "3"], &export.stdout);
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    let counted = format!("{JOBS} scheduled, 0 replaced, 0 kept, 0 already scheduled, 0 wrong\n");
    assert_eq!(import.stdout, counted);
    assert!(exported(to, "shop") == export.stdout, "the lines differ");
    let queues = |store| inspected(store, "shop", &["--queues"])["queues"].clone();
    let (before, after) = (queues(from), queues(to));
    assert_eq!(before, after);
    let counted = after.as_array().unwrap().iter().map(|queue| queue["jobs"].as_u64().unwrap());
    assert_eq!(counted.sum::<u64>(), JOBS);
    assert_eq!(inspected(to, "shop", &[])["partitions_made"], 3);
    // The same once more changes nothing.
    let import = tell(to, "shop", &["import", "--on-conflict", "keep"], &export.stdout);
    assert!(import.stdout.contains(&format!("{JOBS} kept")), "{}{}", import.stdout, import.stderr);
}

#[test]
fn a_namespace_moves_from_disk_to_redis_and_back() {
    let (server, disk, other) = (RedisServer::start(&[]), Disk::new(), Disk::new());
    let import = disk.tell("shop", &["import"], &jobs());
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    moved(&disk.store(), &server.url());
    moved(&server.url(), &other.store());
    assert!(exported(&disk.store(), "shop") == exported(&other.store(), "shop"));
}
