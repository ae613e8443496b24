//! The simulated Redis: its data, its scripts, and its faults.

mod commands;
mod db;
mod lua;
mod twin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use redis::{RedisError, Value};
use reveille::sim::script_name;

pub use commands::Mode;
pub(crate) use commands::Reply;
pub(crate) use db::Db;
pub use db::Held;
pub use twin::{Asked, Twin};

use crate::plan::Loss;
use crate::process::WALL_BEGIN_US;
use crate::run::Why;
use crate::shadow::{Append, Shadow};
use crate::world::World;
use commands::Run;

const MASTERDOWN: &str = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";

/// When writes reach its disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fsync {
    /// Before it is answered.
    Always,
    /// Once a second; two, when the disk is slow.
    EverySecond,
    /// Whenever the system likes.
    Never,
}

/// The kind of server.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// When writes reach its disk.
    pub fsync: Fsync,
    /// Whether it has WAITAOF.
    pub has_waitaof: bool,
    /// How far a replica is behind, in microseconds, if it has one.
    pub replica_lag_us: Option<u64>,
}

/// The server.
pub(crate) struct Server {
    world: Arc<World>,
    policy: Policy,
    state: Mutex<State>,
    /// What it should hold.
    pub shadow: Arc<Shadow>,
}

struct State {
    db: Db,
    is_up: bool,
    mode: Mode,
    mode_until_us: u64,
    paused_until_us: u64,
    clock_back_us: i64,
    known_scripts: BTreeSet<String>,
    texts: BTreeMap<String, String>,
    /// Which groups are known to be on the disk and at the replica, and since when.
    on_disk: Vec<(u64, u64)>,
    on_replica: Vec<(u64, u64)>,
    /// Its twin, which gets the same commands, if there is one.
    twin: Option<Box<dyn Twin>>,
}

impl Server {
    /// An empty server.
    pub(crate) fn new(world: &Arc<World>, policy: Policy, shadow: &Arc<Shadow>) -> Arc<Self> {
        Arc::new(Server {
            world: Arc::clone(world),
            policy,
            state: Mutex::new(State {
                db: Db::default(),
                is_up: true,
                mode: Mode::Well,
                mode_until_us: 0,
                paused_until_us: 0,
                clock_back_us: 0,
                known_scripts: BTreeSet::new(),
                texts: BTreeMap::new(),
                on_disk: Vec::new(),
                on_replica: Vec::new(),
                twin: None,
            }),
            shadow: Arc::clone(shadow),
        })
    }

    /// From here on `twin` gets the same commands and crashes, and the engines get the twin's answers.
    pub(crate) fn join(&self, twin: Box<dyn Twin>) {
        self.state.lock().twin = Some(twin);
    }

    /// Compares its data with its twin's.
    pub(crate) fn part(&self) {
        let mut state = self.state.lock();
        if let Some(mut twin) = state.twin.take()
            && let Some(differs) = twin.differs(state.db.all())
        {
            self.world.broken(twin::PROMISE, differs);
        }
    }

    /// Whether it takes connections.
    pub(crate) fn is_up(&self) -> bool {
        self.state.lock().is_up
    }

    /// It refuses for a while.
    pub(crate) fn misbehave(&self, mode: Mode, us: u64) {
        let mut state = self.state.lock();
        (state.mode, state.mode_until_us) = (mode, self.world.now_us() + us);
    }

    /// It does nothing for a while.
    pub(crate) fn pause(&self, us: u64) {
        self.state.lock().paused_until_us = self.world.now_us() + us;
    }

    /// Resolves when it works again.
    pub(crate) async fn while_paused(&self, world: &Arc<World>) {
        loop {
            let until_us = self.state.lock().paused_until_us;
            if until_us <= world.now_us() {
                return;
            }
            world.until(until_us).await;
        }
    }

    /// Its clock is set back.
    pub(crate) fn set_back(&self, us: u64) {
        self.state.lock().clock_back_us += us as i64;
    }

    /// Its clock is set forward: leases end early.
    pub(crate) fn set_ahead(&self, us: u64) {
        self.state.lock().clock_back_us -= us as i64;
        self.shadow.leases_end();
    }

    /// A key or a field is deleted.
    pub(crate) fn lose_some(&self, partition: u16, loss: Loss) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let key = |name: &str| format!("{{rv:sim:{partition}}}:{name}");
        let words = match loss {
            Loss::Meta => vec!["UNLINK".to_owned(), key("m")],
            Loss::Log => vec!["UNLINK".to_owned(), key("l")],
            Loss::Chunk(number) => {
                let generation = field(&state.db, partition, "gen").unwrap_or_default();
                vec!["UNLINK".to_owned(), key(&format!("s:{generation}:{number}"))]
            }
            Loss::Field(field) => vec!["HDEL".to_owned(), key("m"), field.to_owned()],
        };
        if !state.is_up || state.mode_until_us > self.world.now_us() {
            return;
        }
        if let Some(group) = self.somebody_says(state, &words) {
            self.world.note(|| format!("redis: partition {partition} loses {loss:?}"));
            self.shadow.loses(partition, loss == Loss::Meta, group);
        }
    }

    /// An operator follows an error's advice: the rest of a partition is removed, and it starts empty. `false` if nothing of
    /// it had been lost.
    pub(crate) fn give_up(&self, partition: u16, partitions: u16) -> bool {
        if !self.shadow.has_lost(partition) {
            return false;
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        let prefix = format!("{{rv:sim:{partition}}}:").into_bytes();
        let keys: Vec<_> = state.db.all().keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in keys {
            self.somebody_says(state, &["UNLINK".to_owned(), String::from_utf8_lossy(&key).into_owned()]);
        }
        let words = format!(
            "HSET {{rv:sim:{partition}}}:m format reveille/2 partitions {partitions} owner nobody epoch 0 tail 0 lease_until 0"
        );
        self.somebody_says(state, &words.split(' ').map(str::to_owned).collect::<Vec<_>>());
        self.world.note(|| format!("redis: partition {partition} is given up"));
        self.shadow.given_up(partition, state.db.count);
        true
    }

    /// Runs a command from outside the simulation. Returns the number of the change, if it was one.
    fn somebody_says(&self, state: &mut State, words: &[String]) -> Option<u64> {
        let args: Vec<Vec<u8>> = words.iter().map(|word| word.clone().into_bytes()).collect();
        let (now_us, mode) = (self.clock_us(state), state.mode);
        state.mode = Mode::Well;
        let mut run = Run { db: &mut state.db, mode: Mode::Well, now_us, is_dirty: false };
        let reply = run.command(&args);
        let group = state.db.commit(self.world.now_us());
        self.twin_answer(state, args, to_value(reply));
        state.mode = mode;
        group
    }

    /// It forgets the scripts.
    pub(crate) fn forget_scripts(&self) {
        self.state.lock().known_scripts.clear();
    }

    /// It ends, and loses what its disk does not have. If `is_slow`, the disk may have less than it reported.
    pub(crate) fn crash(&self, is_slow: bool) {
        let now_us = self.world.now_us();
        let keeps = |state: &State| match self.policy.fsync {
            Fsync::Always => state.db.count,
            Fsync::EverySecond => state.db.before(now_us - if is_slow { 2_000_000 } else { 1_000_000 }),
            Fsync::Never => state.db.before(now_us - if is_slow { 10_000_000 } else { 3_000_000 }),
        };
        self.lose(|state| keeps(state).max(known(&state.on_disk, now_us)), Why::Crash);
    }

    /// Its replica takes over, with the replica's data.
    pub(crate) fn fail_over(&self) {
        let now_us = self.world.now_us();
        let lag_us = self.policy.replica_lag_us.unwrap_or(0);
        self.lose(
            |state| state.db.before(now_us - lag_us).max(known(&state.on_replica, now_us)),
            Why::FailOver,
        );
    }

    /// An operator runs FLUSHALL.
    pub(crate) fn flush(&self) {
        let mut state = self.state.lock();
        state.db.flush();
        let changes = state.db.count;
        if let Some(twin) = &mut state.twin {
            twin.flush(changes);
        }
        self.world.note(|| "redis: everything is gone".to_owned());
        self.shadow.lost(0, 0, Why::Flush);
    }

    fn lose(&self, keeps: impl FnOnce(&State) -> u64, why: Why) {
        let mut state = self.state.lock();
        state.is_up = false;
        state.known_scripts.clear();
        let keeps = keeps(&state).max(state.db.cannot_lose());
        let lost = state.db.count - keeps.min(state.db.count);
        if let Some(twin) = &mut state.twin {
            twin.restart(keeps);
        }
        if let Some(first_us) = state.db.lose_after(keeps) {
            self.shadow.lost(keeps, first_us, why);
        }
        self.world.note(|| format!("redis: {why:?}, {lost} changes are lost"));
    }

    /// It is back.
    pub(crate) fn come_up(&self, loading_us: u64) {
        let mut state = self.state.lock();
        state.is_up = true;
        if loading_us > 0 {
            (state.mode, state.mode_until_us) = (Mode::Loading, self.world.now_us() + loading_us);
        }
    }

    /// Its faults end.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock();
        (state.is_up, state.mode, state.paused_until_us) = (true, Mode::Well, 0);
    }

    /// Answers `count` commands that came packed in one piece, and returns how long that takes.
    pub(crate) fn answer(&self, packed: &[u8], count: usize) -> (Result<Vec<Value>, RedisError>, u64) {
        let mut state = self.state.lock();
        let state = &mut *state;
        if !state.is_up {
            return (Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into()), 0);
        }
        if state.mode_until_us <= self.world.now_us() {
            state.mode = Mode::Well;
        }
        let mut rest = packed;
        let (mut values, mut waits_us) = (Vec::with_capacity(count), 0);
        for _ in 0..count {
            let Some(args) = parse(&mut rest) else {
                return (Err(std::io::Error::from(std::io::ErrorKind::InvalidData).into()), 0);
            };
            let (reply, took_us) = self.execute(state, &args);
            waits_us += took_us;
            values.push(self.twin_answer(state, args, to_value(reply)));
        }
        (Ok(values), waits_us)
    }

    /// The twin's answer, if there is a twin and it is asked; it should be `answer`.
    fn twin_answer(&self, state: &mut State, args: Vec<Vec<u8>>, answer: Value) -> Value {
        let (clock_us, changes) = (self.clock_us(state), state.db.count);
        let Some(twin) = &mut state.twin else { return answer };
        let asked = Asked { args, clock_us, mode: state.mode, changes };
        let (said, broken) = twin::ask(twin.as_mut(), &asked, &state.texts, answer);
        if let Some(broken) = broken {
            self.world.broken(twin::PROMISE, broken);
        }
        said
    }

    fn execute(&self, state: &mut State, args: &[Vec<u8>]) -> (Reply, u64) {
        let name = args.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        let error = |text: &str| (Reply::Error(text.to_owned()), 0);
        match (state.mode, name.as_slice()) {
            (_, b"PING") | (_, b"INFO") | (_, b"CLIENT") | (_, b"CONFIG") | (_, b"COMMAND") => {}
            (Mode::Loading, _) => return error("LOADING Redis is loading the dataset in memory"),
            (Mode::Busy, _) => return error("BUSY Redis is busy running a script."),
            // Scripts may run nevertheless, so they are checked first.
            (Mode::MasterDown, b"EVAL" | b"EVALSHA") => {}
            (Mode::MasterDown, _) => return error(MASTERDOWN),
            (Mode::TryAgain, _) => return error("TRYAGAIN Multiple keys request during rehashing of slot"),
            _ => {}
        }
        match name.as_slice() {
            b"PING" => (Reply::Status("PONG"), 0),
            b"CLIENT" => (Reply::Status("OK"), 0),
            b"INFO" => (Reply::Bulk(self.info(state).into_bytes()), 0),
            b"CONFIG" => (self.setting(args.get(2).map_or(&[], Vec::as_slice)), 0),
            b"COMMAND" => {
                let waitaof = if self.policy.has_waitaof { Reply::Array(Vec::new()) } else { Reply::Nil };
                (Reply::Array(vec![waitaof]), 0)
            }
            b"WAIT" => self.wait_for_replica(state),
            b"WAITAOF" => self.wait_for_disk(state),
            b"EVAL" | b"EVALSHA" => (self.script(state, &name, args), 0),
            _ => {
                let now_us = self.clock_us(state);
                let mut run = Run { db: &mut state.db, mode: state.mode, now_us, is_dirty: false };
                let reply = run.command(args);
                state.db.commit(self.world.now_us());
                (reply, 0)
            }
        }
    }

    fn clock_us(&self, state: &State) -> u64 {
        (WALL_BEGIN_US as u64 + self.world.now_us()).saturating_add_signed(-state.clock_back_us)
    }

    fn script(&self, state: &mut State, name: &[u8], args: &[Vec<u8>]) -> Reply {
        let [_, body, count, rest @ ..] = args else { return Reply::Error("ERR arguments".into()) };
        let body = String::from_utf8_lossy(body).into_owned();
        let sha = if name == b"EVAL" {
            let sha = redis::Script::new(&body).get_hash().to_owned();
            state.texts.insert(sha.clone(), body);
            state.known_scripts.insert(sha.clone());
            sha
        } else {
            body
        };
        let (Some(code), true) = (state.texts.get(&sha), state.known_scripts.contains(&sha)) else {
            return Reply::Error("NOSCRIPT No matching script. Please use EVAL.".into());
        };
        if state.mode == Mode::MasterDown {
            return Reply::Error(MASTERDOWN.into());
        }
        let code = code.clone();
        let keys = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
        let (keys, args) = rest.split_at(keys);
        let now_us = self.clock_us(state);
        let reply = lua::eval(&mut state.db, state.mode, now_us, &code, keys, args);
        let group = state.db.commit(self.world.now_us());
        self.observe(&state.db, script_name(&code), (keys, args), &reply, group);
        reply
    }

    /// Tells the oracle what a script has done.
    fn observe(
        &self,
        db: &Db,
        script: Option<&str>,
        (keys, args): (&[Vec<u8>], &[Vec<u8>]),
        reply: &Reply,
        group: Option<u64>,
    ) {
        let (Some(script), Reply::Array(words), Some(group)) = (script, reply, group) else { return };
        let word = |at: usize| match words.get(at) {
            Some(Reply::Bulk(word)) => String::from_utf8_lossy(word).into_owned(),
            _ => String::new(),
        };
        if word(0) != "OK" {
            return;
        }
        let text = |at: usize| args.get(at).map(|arg| String::from_utf8_lossy(arg).into_owned());
        let text = |at: usize| text(at).unwrap_or_default();
        let number = |at: usize| text(at).parse::<u64>().unwrap_or(0);
        let Some(partition) = partition_of(keys.first().map_or(&[], Vec::as_slice)) else { return };
        match script {
            "ACQUIRE" => {
                let (epoch, tail) = (word(1).parse().unwrap_or(0), word(2).parse().unwrap_or(0));
                self.shadow.acquired(partition, &text(0), (number(1), epoch, tail), group);
            }
            "APPEND" => {
                let append = Append { partition, owner: &text(0), epoch: number(1), group };
                self.shadow.appended(&append, args.get(4).map_or(&[], Vec::as_slice));
            }
            "PUBLISH" => {
                let by = Append { partition, owner: &text(0), epoch: number(1), group };
                if text(10) == "1" {
                    self.shadow.rewritten(
                        &by,
                        (number(4), number(5), number(6)),
                        &self.chunks(db, partition),
                    );
                } else {
                    self.shadow.wrote(&by);
                }
            }
            _ => self.shadow.wrote(&Append { partition, owner: &text(0), epoch: number(1), group }),
        }
    }

    /// The chunks of the snapshot in force.
    fn chunks(&self, db: &Db, partition: u16) -> Vec<Arc<[u8]>> {
        let prefix = format!("{{rv:sim:{partition}}}");
        let of = |name| field(db, partition, name).unwrap_or_default();
        let (generation, count) = (of("gen"), of("chunks"));
        let chunk = |number| match db.get(format!("{prefix}:s:{generation}:{number}").as_bytes()) {
            Some(Held::Text(bytes)) => Some(Arc::clone(bytes)),
            _ => None,
        };
        (0..count.parse().unwrap_or(0u64)).filter_map(chunk).collect()
    }

    fn wait_for_replica(&self, state: &mut State) -> (Reply, u64) {
        let Some(lag_us) = self.policy.replica_lag_us else { return (Reply::Int(0), 500_000) };
        state.on_replica.push((self.world.now_us() + lag_us, state.db.count));
        (Reply::Int(1), lag_us)
    }

    fn wait_for_disk(&self, state: &mut State) -> (Reply, u64) {
        let us = match self.policy.fsync {
            Fsync::Always => 200,
            Fsync::EverySecond => 700_000,
            Fsync::Never => return (Reply::Array(vec![Reply::Int(0), Reply::Int(0)]), 900_000),
        };
        state.on_disk.push((self.world.now_us() + us, state.db.count));
        (Reply::Array(vec![Reply::Int(1), Reply::Int(0)]), us)
    }

    fn info(&self, state: &State) -> String {
        let is_replica = matches!(state.mode, Mode::ReadOnly | Mode::MasterDown);
        format!(
            "redis_version:7.2.4\r\nredis_mode:standalone\r\nrole:{}\r\nloading:{}\r\nmaxmemory:0\r\n\
             maxmemory_policy:noeviction\r\nevicted_keys:0\r\naof_enabled:1\r\nconnected_slaves:{}\r\n\
             cluster_enabled:0\r\n",
            if is_replica { "slave" } else { "master" },
            u8::from(state.mode == Mode::Loading),
            u8::from(self.policy.replica_lag_us.is_some()),
        )
    }

    fn setting(&self, name: &[u8]) -> Reply {
        let value = match (name, self.policy.fsync) {
            (b"appendfsync", Fsync::Always) => "always",
            (b"appendfsync", Fsync::EverySecond) => "everysec",
            (b"appendfsync", Fsync::Never) => "no",
            (b"no-appendfsync-on-rewrite", _) => "no",
            _ => "3600 1",
        };
        Reply::Array(vec![Reply::Bulk(name.to_vec()), Reply::Bulk(value.as_bytes().to_vec())])
    }
}

/// The last group for which this is known now.
fn known(words: &[(u64, u64)], now_us: u64) -> u64 {
    words.iter().filter(|(at_us, _)| *at_us <= now_us).map(|&(_, count)| count).max().unwrap_or(0)
}

/// A field of `:m`.
fn field(db: &Db, partition: u16, name: &str) -> Option<String> {
    match db.get(format!("{{rv:sim:{partition}}}:m").as_bytes()) {
        Some(Held::Hash(fields)) => {
            fields.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
        }
        _ => None,
    }
}

/// The partition that a key is of.
fn partition_of(key: &[u8]) -> Option<u16> {
    let key = std::str::from_utf8(key).ok()?;
    key.strip_prefix("{rv:sim:")?.split_once('}')?.0.parse().ok()
}

/// Takes the next command off `rest`.
fn parse(rest: &mut &[u8]) -> Option<Vec<Vec<u8>>> {
    let count = header(rest, b'*')?;
    let mut args = Vec::with_capacity(count);
    for _ in 0..count {
        let len = header(rest, b'$')?;
        args.push(rest.get(..len)?.to_vec());
        *rest = rest.get(len + 2..)?;
    }
    Some(args)
}

fn header(rest: &mut &[u8], kind: u8) -> Option<usize> {
    let end = rest.iter().position(|&byte| byte == b'\r')?;
    let (line, after) = (rest.get(1..end)?, rest.get(end + 2..)?);
    if rest.first() != Some(&kind) {
        return None;
    }
    *rest = after;
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn to_value(reply: Reply) -> Value {
    match reply {
        Reply::Status("OK") => Value::Okay,
        Reply::Status(text) => Value::SimpleString(text.to_owned()),
        // Parsed as the library does.
        Reply::Error(text) => {
            redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap_or(Value::Nil)
        }
        Reply::Int(number) => Value::Int(number),
        Reply::Bulk(bytes) => Value::BulkString(bytes),
        Reply::Nil => Value::Nil,
        Reply::Array(items) => Value::Array(items.into_iter().map(to_value).collect()),
    }
}
