//! Redis loses one key, one field, one chunk, or has something else in its place, under an engine that lives: it has
//! everything in memory, notices, says so, and writes it again. And where nobody lives, a start says what can be done.
#![allow(clippy::disallowed_methods, reason = "real time is the point")]

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use reveille::read::Namespace;
use reveille::{Builder, Engine, JobFilter, LookupOutcome, PartitionId, StartError, StoreState};
use testkit::MINUTE;
use testkit::redis::{RedisServer, key, key_in};
use testkit::{Keys, eventually, ms, nothing};

/// Servers among which the losses are shared out.
const PARTS: usize = 5;
const LEASE: Duration = Duration::from_secs(1);

fn builder(server: &RedisServer) -> Builder {
    Engine::builder().queue("q", nothing).partitions(1).store(Arc::new(server.store())).lease(LEASE)
}

/// Schedules jobs that take some chunks, of which a snapshot shows the first.
async fn filled(engine: &Engine) {
    for number in 0..600 {
        let job = engine.schedule_raw("q", vec![7; 512]).key(format!("far{number}"));
        job.after(MINUTE * 60).into_outcome().unwrap().scheduled().unwrap();
    }
    engine.snapshot().await.unwrap();
    for number in 600..610 {
        engine
            .schedule_raw("q", "")
            .key(format!("far{number}"))
            .after(MINUTE * 60)
            .await
            .unwrap()
            .scheduled()
            .unwrap();
    }
}

fn incidents(engine: &Engine) -> u64 {
    engine.stats().store.unwrap().incidents
}

fn state(engine: &Engine) -> StoreState {
    engine.stats().store.unwrap().state
}

/// Whether the store has everything that it had acknowledged. A repair begins in a store that is called healthy all the while:
/// what is lost then, before its snapshot is there, is no second loss, and what is read then is not all.
fn has_all(engine: &Engine) -> bool {
    let store = engine.stats().store.unwrap();
    store.partitions_behind == 0 && store.state == StoreState::Healthy
}

fn is_mended(engine: &Engine, incidents_before: u64) -> bool {
    incidents(engine) > incidents_before && has_all(engine)
}

/// What another process would be restored from has as many jobs as the engine.
async fn check_kept(server: &RedisServer, engine: &Engine, case: &str) {
    let read = async { Namespace::open(server.store()).await?.read(PartitionId(0)).await };
    let read = read.await.unwrap_or_else(|error| panic!("{case}: {error}")).unwrap();
    let jobs = read.jobs(&JobFilter::default()).count();
    assert_eq!(jobs, engine.jobs(), "{case}");
}

/// Whether it has to be noticed, or does no harm and is put right by the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Incident,
    Quietly,
}

/// Every key and every field, gone or with something else in it.
fn losses(server: &RedisServer) -> Vec<(Vec<String>, Told)> {
    use Told::{Incident, Quietly};
    let (m, l) = (key("m"), key("l"));
    let mut losses = Vec::new();
    let mut add =
        |words: &[&str], told| losses.push((words.iter().map(|word| (*word).to_owned()).collect(), told));
    for name in [
        "format",
        "partitions",
        "owner",
        "epoch",
        "tail",
        "base",
        "gen",
        "chunks",
        "covered",
        "complete",
        "next_sequence",
        "jobs",
        "fired",
        "bytes",
        "snapshot_at",
        "log_from",
    ] {
        add(&["HDEL", &m, name], Incident);
        // Another owner, or another format: that is not damage.
        if !["format", "owner"].contains(&name) {
            add(&["HSET", &m, name, "x"], Incident);
        }
    }
    for name in ["tail", "gen", "covered", "chunks", "bytes"] {
        add(&["HSET", &m, name, "123456"], Incident);
    }
    for (name, value) in [("tail", "1"), ("epoch", "1"), ("epoch", "9007199254740000"), ("partitions", "2")] {
        add(&["HSET", &m, name, value], Incident);
    }
    for name in
        ["lease_until", "term_ms", "open", "open_chunks", "open_end", "old", "old_end", "last_gen", "synced"]
    {
        add(&["HDEL", &m, name], Quietly);
        add(&["HSET", &m, name, "x"], Quietly);
        add(&["HSET", &m, name, "7"], Quietly);
    }
    for name in [&m, &l] {
        add(&["DEL", name], Incident);
        add(&["PEXPIRE", name, "1"], Incident);
        add(&["RENAME", name, "aside"], Incident);
    }
    add(&["XTRIM", &l, "MAXLEN", "2"], Incident);
    let chunks: u64 = server.field("chunks").unwrap().parse().unwrap();
    assert!(chunks >= 4, "{chunks} chunks");
    for number in 0..chunks {
        add(&["DEL", &format!("CHUNK{number}")], Incident);
    }
    add(&["SET", "CHUNK1", "short"], Incident);
    add(&["SETRANGE", "CHUNK2", "70000", "longer"], Incident);
    add(&["RENAME", "CHUNK0", "aside"], Incident);
    losses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_lost_under_a_living_engine_is_written_again() {
    // Each waits for most of its time.
    let parts: Vec<_> = (0..PARTS).map(|part| tokio::spawn(lose_each(part))).collect();
    for part in parts {
        part.await.unwrap();
    }
}

/// Each of a part of the losses, one after the other.
async fn lose_each(part: usize) {
    let server = RedisServer::start(&[]);
    let engine = builder(&server).start().await.unwrap();
    filled(&engine).await;
    let keys: u64 = server.ask(&["DBSIZE"]);
    for (number, (words, told)) in losses(&server).into_iter().enumerate().skip(part).step_by(PARTS) {
        let case = format!("{number}: {}", words.join(" "));
        println!("{case}, after {} incidents", incidents(&engine));
        let generation = server.field("gen").unwrap();
        let chunk = |word: &String| match word.strip_prefix("CHUNK") {
            Some(number) => key(&format!("s:{generation}:{number}")),
            None => word.clone(),
        };
        let words: Vec<String> = words.iter().map(chunk).collect();
        // An empty log is no loss.
        while server.ask::<u64>(&["XLEN", &key("l")]) == 0 {
            engine.schedule_raw("q", "").after(MINUTE * 60).await.unwrap().scheduled().unwrap();
        }
        if words[0] == "XTRIM" {
            for _ in 0..4 {
                engine.schedule_raw("q", "").after(MINUTE * 60).await.unwrap().scheduled().unwrap();
            }
            // What is missing is missed by whoever has seen it: a look or two.
            tokio::time::sleep(ms(2_500)).await;
        }
        let before = incidents(&engine);
        server.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        if told == Told::Incident {
            eventually(&case, || is_mended(&engine, before)).await;
        }
        let new = engine.schedule_raw("q", "").key(format!("new{number}"));
        new.after(MINUTE * 60).await.unwrap_or_else(|error| panic!("{case}: {error}")).scheduled().unwrap();
        if told == Told::Quietly {
            engine.snapshot().await.unwrap_or_else(|error| panic!("{case}: {error}"));
        }
        check_kept(&server, &engine, &case).await;
        server.run(&["DEL", "aside"]);
    }
    // A generation that nothing names any more, where the name itself was damaged: no more than that is left behind.
    let left: u64 = server.ask(&["DBSIZE"]);
    assert!(left <= keys + 30, "{keys} keys, and now {left}");

    // Killed where it stands: the next one has everything.
    let jobs = engine.jobs();
    let next = builder(&server).take_over(true).start().await.unwrap();
    assert_eq!(next.jobs(), jobs);
    next.shutdown(MINUTE).await;
}

/// What lies in the way is left alone, and said; jobs fire on, for longer than the lease; and once it is gone, all is well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_in_the_way_is_left_alone_and_jobs_fire_on() {
    let server = RedisServer::start(&[]);
    let fired = Keys::default();
    let engine = builder(&server).queue("fires", fired.handler()).log_records_max(700).start().await.unwrap();
    filled(&engine).await;
    let (m, l) = (key("m"), key("l"));
    type Words<'a> = &'a [&'a str];
    let cases: [(&[Words<'_>], Words<'_>, Words<'_>); 5] = [
        (&[&["DEL", &m], &["SET", &m, "mine"]], &["DEL", &m], &[&m, "remove the key"]),
        (&[&["DEL", &m], &["HSET", &m, "field", "mine"]], &["RENAME", &m, "aside"], &[&m, "remove the key"]),
        (&[&["DEL", &l], &["RPUSH", &l, "mine"]], &["DEL", &l], &[&l, "remove the key"]),
        (&[&["XADD", &l, "9007199254740000-1", "b", "mine"]], &["DEL", &l], &[&l, "remove the key"]),
        (
            &[&["HSET", &m, "format", "reveille/9"]],
            &["HSET", &m, "format", "reveille/2"],
            &["reveille/9", "HSET", "format reveille/2"],
        ),
    ];
    for (number, (put, advice, words)) in cases.into_iter().enumerate() {
        println!("{put:?}");
        put.iter().for_each(|words| drop(server.run(words)));
        let before = fired.len();
        let mut due = 0;
        // An append finds out, or the keeper, or a look.
        let job = |name: String| engine.schedule_raw("fires", "").key(name).after(ms(1)).into_outcome();
        eventually("it is found out", || {
            due += usize::from(job(format!("a{number}.{due}")).is_ok());
            state(&engine) == StoreState::Refusing
        })
        .await;
        let held: String = server.ask(&["TYPE", put[put.len() - 1][1]]);
        let until = tokio::time::Instant::now() + LEASE * 2;
        while tokio::time::Instant::now() < until {
            // More than may wait for the store, which gets them with all the others.
            due += usize::from(job(format!("b{number}.{due}")).is_ok());
            tokio::time::sleep(ms(5)).await;
        }
        eventually("jobs fire from memory", || fired.len() == before + due).await;
        assert!(due > 100, "{due}");
        let told = engine.stats().store.unwrap();
        let error = told.last_error.unwrap();
        assert!(words.iter().all(|word| error.contains(word)), "{words:?}: {error}");
        assert_ne!(told.lease_left, Some(Duration::ZERO));
        let left: String = server.ask(&["TYPE", put[put.len() - 1][1]]);
        assert_eq!(left, held, "it was not written over");
        server.run(advice);
        eventually("all is well", || has_all(&engine)).await;
        engine
            .schedule_raw("q", "")
            .key(format!("new{number}"))
            .after(MINUTE * 60)
            .await
            .unwrap()
            .scheduled()
            .unwrap();
        check_kept(&server, &engine, &format!("{put:?}")).await;
    }
}

/// A shutdown says that the store can be relied on only if it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_mended_is_not_called_flushed() {
    let server = RedisServer::start(&[]);
    let engine = builder(&server).start().await.unwrap();
    filled(&engine).await;
    assert_eq!(engine.stats().log_pending, 0, "the store has acknowledged everything");
    server.run(&["SET", &key("m"), "mine"]);
    eventually("it is found out", || state(&engine) == StoreState::Refusing).await;
    let report = engine.shutdown(ms(1_500)).await;
    assert!(!report.is_flushed && report.pending == 610, "{report:?}");
}

/// A policy under which Redis throws jobs away, set while the engine runs, is told of, and so is its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_lose_jobs_are_doubts() {
    use reveille::store::{Needs, Store};
    let server = RedisServer::start(&["--appendonly", "yes", "--maxmemory", "100mb"]);
    let store = server.store();
    store.open(&Needs::new(1, reveille::Durability::Logged)).await.unwrap();
    assert_eq!(store.doubts().await.unwrap(), Vec::<String>::new());
    for (bad, good, words) in [
        (["maxmemory-policy", "allkeys-lru"], ["maxmemory-policy", "noeviction"], "noeviction"),
        (["appendonly", "no"], ["appendonly", "yes"], "appendonly yes"),
        (["appendfsync", "no"], ["appendfsync", "everysec"], "appendfsync always"),
    ] {
        server.run(&["CONFIG", "SET", bad[0], bad[1]]);
        let doubts = store.doubts().await.unwrap();
        let is_expected = bad[0] != "appendfsync";
        assert_eq!(doubts.iter().any(|doubt| doubt.contains(words)), is_expected, "{bad:?}: {doubts:?}");
        server.run(&["CONFIG", "SET", good[0], good[1]]);
        assert_eq!(store.doubts().await.unwrap(), Vec::<String>::new(), "{good:?}");
    }
    // Evictions are told as long as they go on.
    server.run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-random"]);
    server.run(&["SET", "other", &"x".repeat(100_000)]);
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    // Redis makes room before a command, or behind its settings.
    eventually("the key is thrown away", || !server.ask::<bool>(&["EXISTS", "other"])).await;
    server.run(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let evicted: String = server.ask(&["INFO", "stats"]);
    assert!(!evicted.contains("evicted_keys:0\r"), "it was made to: {evicted}");
    let doubts = store.doubts().await.unwrap();
    assert!(doubts.iter().any(|doubt| doubt.contains("throws keys away")), "{doubts:?}");
    assert_eq!(store.doubts().await.unwrap(), Vec::<String>::new());
}

/// Runs the commands that an error gives between backticks, as an operator would.
fn follow_advice(server: &RedisServer, error: &str) {
    let commands: Vec<&str> =
        error.split('`').filter(|part| part.starts_with("redis-cli") && part.len() > 20).collect();
    assert_eq!(commands.len(), 2, "{error}");
    for command in commands {
        let command = command.replace("redis-cli", &format!("redis-cli -p {}", server.port()));
        let output = Command::new("sh").arg("-c").arg(&command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && !said.contains("ERR"), "{command}: {said} {output:?}");
    }
}

/// A partition of which too little is left names its key, and can be given up alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_partition_can_be_given_up_and_the_others_stay() {
    let server = RedisServer::start(&[]);
    let (m, l, s) = (key_in(1, "m"), key_in(1, "l"), key_in(1, "s:"));
    let (m, l, s) = (m.as_str(), l.as_str(), s.as_str());
    let damages: [(&[&str], &str); 6] = [
        (&["DEL", m], m),
        (&["DEL", m, l], m),
        (&["DEL", l], l),
        (&["HDEL", m, "epoch"], "`epoch`"),
        (&["HDEL", m, "covered"], "`covered`"),
        (
            &[
                "EVAL",
                "return redis.call('DEL', KEYS[1] .. redis.call('HGET', KEYS[2], 'gen') .. ':0')",
                "2",
                s,
                m,
            ],
            s,
        ),
    ];
    for (damage, named) in damages {
        println!("{damage:?}");
        server.run(&["FLUSHALL"]);
        let two = || builder(&server).partitions(2).lease(ms(400));
        let engine = two().start().await.unwrap();
        filled(&engine).await;
        engine.shutdown(MINUTE).await;
        server.run(damage);
        let mut before: Vec<String> = server.ask(&["KEYS", "*"]);
        let refused = two().start().await.unwrap_err();
        let StartError::Store(error) = &refused else { panic!("{refused:?}") };
        assert!(error.to_string().contains(named), "{error}");
        let mut after: Vec<String> = server.ask(&["KEYS", "*"]);
        before.sort();
        after.sort();
        assert_eq!(before, after, "nothing was changed");
        follow_advice(&server, &error.to_string());
        let engine = two().start().await.unwrap();
        let kept: Vec<u16> = (0..610)
            .filter_map(|number| match engine.lookup(format!("far{number}").as_str()) {
                LookupOutcome::Scheduled(job) => Some(job.handle.partition().0),
                _ => None,
            })
            .collect();
        assert!(kept.len() > 200 && kept.iter().all(|&partition| partition == 0), "{} are kept", kept.len());
        engine.schedule_raw("q", "").after(MINUTE).await.unwrap().scheduled().unwrap();
        engine.shutdown(MINUTE).await;
        two().start().await.unwrap().shutdown(MINUTE).await;
    }
}

/// A standby that waits for a living owner does not take what Redis has lost for nothing: the owner writes it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_leaves_a_flushed_redis_to_its_owner() {
    let server = RedisServer::start(&[]);
    let owner = builder(&server).lease(ms(2_000)).start().await.unwrap();
    filled(&owner).await;
    let standby = tokio::spawn(builder(&server).lease(ms(2_000)).start());
    tokio::time::sleep(ms(300)).await;
    for lost in
        [vec!["FLUSHALL".to_owned()], vec!["DEL".to_owned(), key("m")], vec!["DEL".to_owned(), key("l")]]
    {
        let before = incidents(&owner);
        println!("{lost:?}");
        owner.schedule_raw("q", "").after(MINUTE * 60).await.unwrap().scheduled().unwrap();
        server.run(&lost.iter().map(String::as_str).collect::<Vec<_>>());
        eventually("it is mended", || {
            assert!(!standby.is_finished() && state(&owner) != StoreState::Lost, "{:?}", owner.stats().store);
            is_mended(&owner, before)
        })
        .await;
    }
    assert!(owner.shutdown(MINUTE).await.is_flushed);
    let next = standby.await.unwrap().unwrap();
    assert_eq!(next.jobs(), 613);
}
