//! What a job costs. How fast it is, `reveille bench durable` and `restore` measure.

use crate::support::{P0, acquire, append, begin, job, writer};
use reveille::partition::Image;
use testkit::redis::{RedisServer, key};

/// A payload of 64 bytes and a key of 20: at most 130 bytes of Redis a job.
#[tokio::test]
async fn a_job_takes_at_most_130_bytes_of_redis() {
    const JOBS: u64 = 20_000;
    let server = RedisServer::start(&[]);
    let store = server.store();
    let grant = acquire(&store, "me").await.grant;
    for from in (0..JOBS).step_by(500) {
        append(&store, &grant, from..from + 500).await.unwrap();
    }
    let log: u64 = server.ask(&["MEMORY", "USAGE", &key("l"), "SAMPLES", "0"]);
    let mut open = writer(&store, &grant, begin(JOBS)).await;
    let jobs = (0..JOBS).map(|n| job(P0, n)).collect();
    open.write(Image { jobs, next_sequence: JOBS, ..Image::default() }).await.unwrap();
    let info = open.publish(JOBS).await.unwrap();
    drop(open);
    let generation: String = server.ask(&["HGET", &key("m"), "gen"]);
    let chunks = (0..info.chunks).map(|n| key(&format!("s:{generation}:{n}")));
    let snapshot: u64 = chunks.map(|chunk| server.ask::<u64>(&["MEMORY", "USAGE", &chunk])).sum();
    let (log, snapshot) = (log as f64 / JOBS as f64, snapshot as f64 / JOBS as f64);
    println!("bytes of Redis a job: {snapshot:.1} in a snapshot, {log:.1} in the log");
    assert!(snapshot <= 130.0 && log <= 130.0, "{snapshot} {log}");
}
