//! The same workload against a real Redis: it lives through what the simulated server lives through, and the engines get
//! its answers. Each has to be the simulated server's, and so has what is there in the end.
//!
//! All that goes wrong on the way between them does: lost requests and replies, late and repeated ones, cut connections.
//! A crash is a SIGKILL; what it loses is cut off the end of the append-only file, as a disk does that did not get it.
//! Scripts ask for the time; the real server gets them with the simulated time written in.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Parser, Value};

use reveille_sim::{
    Asked, Fault, Held, Item, Mode, StoreKind, Twin, What, draw, listen_to_panics, run_beside,
};
use testkit::redis::RedisServer;

const SEEDS: u64 = 250;

/// Everything that was changed is in the file before it is answered; nothing but a test shortens the file.
const OPTIONS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "no",
    "--auto-aof-rewrite-percentage",
    "0",
    "--stream-node-max-bytes",
    "0",
];

#[derive(Default)]
struct Counts {
    answers: AtomicU64,
    refused: AtomicU64,
    restarts: AtomicU64,
    changes_lost: AtomicU64,
}

struct Real {
    server: Arc<Mutex<RedisServer>>,
    stream: BufReader<TcpStream>,
    mode: Mode,
    /// How long the append-only file was after so many changes, of those that can still be lost.
    written: Vec<(u64, u64)>,
    counts: Arc<Counts>,
}

fn connect(server: &RedisServer) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_nodelay(true).unwrap();
    BufReader::new(stream)
}

impl Real {
    fn new(server: &Arc<Mutex<RedisServer>>, counts: &Arc<Counts>) -> Self {
        let mut real = Real {
            server: Arc::clone(server),
            stream: connect(&server.lock()),
            mode: Mode::Well,
            written: Vec::new(),
            counts: Arc::clone(counts),
        };
        real.ask(&[b"SCRIPT", b"FLUSH"]);
        real.flush(0);
        real
    }

    fn ask(&mut self, args: &[&[u8]]) -> Value {
        let mut packed = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            packed.extend(format!("${}\r\n", arg.len()).into_bytes());
            packed.extend_from_slice(arg);
            packed.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&packed).unwrap();
        Parser::new().parse_value(&mut self.stream).unwrap()
    }

    fn does(&mut self, args: &[&str]) {
        let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
        assert_eq!(self.ask(&args), Value::Okay);
    }

    /// Brings the server into the state in which the simulated one is.
    fn misbehave(&mut self, mode: Mode) {
        if mode == self.mode {
            return;
        }
        let is = |wanted, yes: &'static str, no: &'static str| if mode == wanted { yes } else { no };
        self.does(&["CONFIG", "SET", "maxmemory", is(Mode::Oom, "1", "0")]);
        self.does(&["CONFIG", "SET", "min-replicas-to-write", is(Mode::NoReplicas, "3", "0")]);
        self.does(&["CONFIG", "SET", "replica-serve-stale-data", is(Mode::MasterDown, "no", "yes")]);
        // Of itself, which is not answered: it never gets anything from there.
        let (is_replica, port) =
            (matches!(mode, Mode::ReadOnly | Mode::MasterDown), self.server.lock().port());
        let was_replica = matches!(self.mode, Mode::ReadOnly | Mode::MasterDown);
        if is_replica && !was_replica {
            self.does(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        } else if was_replica && !is_replica {
            self.does(&["REPLICAOF", "NO", "ONE"]);
        }
        self.mode = mode;
    }

    fn file(&self) -> PathBuf {
        let dir = self.server.lock().dir().join("appendonlydir");
        let files = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }

    fn file_len(&self) -> u64 {
        self.file().metadata().unwrap().len()
    }
}

impl Twin for Real {
    fn answer(&mut self, asked: &Asked, code: Option<&str>) -> Value {
        self.misbehave(asked.mode);
        let mut args: Vec<&[u8]> = asked.args.iter().map(Vec::as_slice).collect();
        let with_time;
        if let Some(code) = code {
            let (s, us) = (asked.clock_us / 1_000_000, asked.clock_us % 1_000_000);
            with_time = code.replace("redis.call('TIME')", &format!("{{'{s}', '{us}'}}"));
            // So that the real server asks nobody whether it may.
            (args[0], args[1]) = (b"EVAL", with_time.as_bytes());
        }
        let answer = self.ask(&args);
        if self.written.last().is_none_or(|&(changes, _)| changes < asked.changes) {
            self.written.push((asked.changes, self.file_len()));
        }
        self.counts.answers.fetch_add(1, Relaxed);
        self.counts.refused.fetch_add(u64::from(matches!(answer, Value::ServerError(_))), Relaxed);
        answer
    }

    fn restart(&mut self, changes: u64) {
        self.server.lock().kill();
        let before = self.written.len();
        while self.written.len() > 1 && self.written.last().is_some_and(|&(count, _)| count > changes) {
            self.written.pop();
        }
        let (_, len) = *self.written.last().unwrap();
        OpenOptions::new().write(true).open(self.file()).unwrap().set_len(len).unwrap();
        self.server.lock().restart();
        self.stream = connect(&self.server.lock());
        self.mode = Mode::Well;
        // It answers as soon as it begins to load.
        while self.ask(&[b"DBSIZE"]) == loading() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.counts.restarts.fetch_add(1, Relaxed);
        self.counts.changes_lost.fetch_add((before - self.written.len()) as u64, Relaxed);
    }

    fn flush(&mut self, changes: u64) {
        self.misbehave(Mode::Well);
        self.does(&["FLUSHALL"]);
        self.written = vec![(changes, self.file_len())];
    }

    fn differs(&mut self, keys: &BTreeMap<Vec<u8>, Held>) -> Option<String> {
        self.misbehave(Mode::Well);
        let mut names: Vec<Vec<u8>> = items(self.ask(&[b"KEYS", b"*"])).iter().map(bytes).collect();
        names.sort();
        if names != keys.keys().cloned().collect::<Vec<_>>() {
            return Some(format!(
                "there are the keys {:?}",
                names.iter().map(|name| text(name)).collect::<Vec<_>>()
            ));
        }
        keys.iter()
            .find(|(key, held)| !self.holds(key, held))
            .map(|(key, _)| format!("{} differs", text(key)))
    }
}

impl Real {
    /// The first entry of a log that no snapshot covers.
    fn log_from(&mut self, log: &[u8]) -> Vec<u8> {
        let meta = [log.strip_suffix(b":l").unwrap_or(log), b":m"].concat();
        match self.ask(&[b"HGET", &meta, b"log_from"]) {
            Value::Nil => b"-".to_vec(),
            from => bytes(&from),
        }
    }

    fn holds(&mut self, key: &[u8], held: &Held) -> bool {
        match held {
            Held::Text(text) => bytes(&self.ask(&[b"GET", key])) == text.to_vec(),
            Held::Hash(fields) => {
                let found = items(self.ask(&[b"HGETALL", key]));
                let found: BTreeMap<_, _> =
                    found.chunks(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect();
                found == *fields
            }
            Held::Stream(entries, _) => {
                // How much of what a snapshot covers is gone while it is being trimmed, is up to the server.
                let from = self.log_from(key);
                let found = items(self.ask(&[b"XRANGE", key, &from, b"+"]));
                let ids = found.into_iter().map(|entry| bytes(&items(entry)[0]));
                let from = if from == b"-" { (0, 0) } else { id(&from) };
                let kept = entries.keys().filter(|&&entry| entry >= from);
                ids.eq(kept.map(|(first, second)| format!("{first}-{second}").into_bytes()))
            }
        }
    }
}

/// An entry's name in numbers.
fn id(text: &[u8]) -> (u64, u64) {
    let text = String::from_utf8_lossy(text);
    let (first, second) = text.split_once('-').unwrap_or((&text, "0"));
    (first.parse().unwrap_or(0), second.parse().unwrap_or(0))
}

fn loading() -> Value {
    redis::parse_redis_value(b"-LOADING Redis is loading the dataset in memory\r\n").unwrap()
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        other => panic!("{other:?}"),
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes.clone(),
        Value::SimpleString(text) => text.clone().into_bytes(),
        other => panic!("{other:?}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All but what a real server cannot be brought to at a given command: that its disk does not take its dumps.
fn can_be_repeated(item: &Item) -> bool {
    !matches!(&item.what, What::Fault(Fault::Mode(Mode::Misconf, _)))
}

#[test]
fn a_real_redis_gives_the_same_answers() {
    listen_to_panics();
    let server = Arc::new(Mutex::new(RedisServer::start(OPTIONS)));
    let counts = Arc::new(Counts::default());
    let mut starts = 0;
    for seed in 0..SEEDS {
        let (setting, mut plan) = draw(seed, StoreKind::Redis);
        plan.retain(can_be_repeated);
        let twin = Box::new(Real::new(&server, &counts));
        let outcome = run_beside(&setting, &plan, false, Some(twin));
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
        starts += outcome.starts;
    }
    let count = |count: &AtomicU64| count.load(Relaxed);
    let (answers, refused) = (count(&counts.answers), count(&counts.refused));
    let (restarts, lost) = (count(&counts.restarts), count(&counts.changes_lost));
    println!(
        "{starts} starts, {answers} answers, {refused} refused, {restarts} restarts, {lost} changes lost"
    );
    // With nothing asked it would be easy to agree.
    assert!(answers > 100 * SEEDS && refused > 10 && restarts > SEEDS / 4 && lost > 10);
}
