//! The simulated server is itself checked: whatever the engines of a simulated run have asked it is asked of a real Redis
//! too, in the same order and at the same times, and every answer has to be the same, and so has what is there in the end.
//!
//! Scripts ask for the time; the real server gets them with the simulated time written in.

#[allow(dead_code, unreachable_pub, reason = "each test program uses some of it")]
#[path = "../../tests/common/redis.rs"]
mod redis_server;

use std::io::{BufReader, Write};
use std::net::TcpStream;

use redis::{Parser, Value};
use redis_server::RedisServer;
use reveille_sim::{Fault, Held, Item, Mode, Taped, What, draw, listen_to_panics, run_taped};

const SEEDS: u64 = 150;

struct Real {
    stream: BufReader<TcpStream>,
    parser: Parser,
    mode: Mode,
}

impl Real {
    fn connect(server: &RedisServer) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        Real { stream: BufReader::new(stream), parser: Parser::new(), mode: Mode::Well }
    }

    fn ask(&mut self, args: &[&[u8]]) -> Value {
        let mut packed = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            packed.extend(format!("${}\r\n", arg.len()).into_bytes());
            packed.extend_from_slice(arg);
            packed.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&packed).unwrap();
        self.parser.parse_value(&mut self.stream).unwrap()
    }

    fn set(&mut self, name: &str, value: &str) {
        assert_eq!(self.ask(&[b"CONFIG", b"SET", name.as_bytes(), value.as_bytes()]), Value::Okay);
    }

    /// Brings the server into the state in which the simulated one was.
    fn misbehave(&mut self, mode: Mode) {
        if mode == self.mode {
            return;
        }
        self.mode = mode;
        self.set("maxmemory", if mode == Mode::Oom { "1" } else { "0" });
        self.set("min-replicas-to-write", if mode == Mode::NoReplicas { "3" } else { "0" });
    }

    fn repeat(&mut self, taped: &Taped) -> Value {
        let mut args: Vec<&[u8]> = taped.args.iter().map(Vec::as_slice).collect();
        let code;
        if let Some(text) = &taped.code {
            let (s, us) = (taped.clock_us / 1_000_000, taped.clock_us % 1_000_000);
            code = text.replace("redis.call('TIME')", &format!("{{'{s}', '{us}'}}"));
            // So that the real server asks nobody whether it may.
            (args[0], args[1]) = (b"EVAL", code.as_bytes());
        }
        self.ask(&args)
    }
}

/// Nothing that a real server cannot be brought to do at a given command: loss, and errors of its own making.
fn can_be_repeated(item: &Item) -> bool {
    match &item.what {
        What::Fault(Fault::Crash(..) | Fault::FailOver(_)) => false,
        What::Fault(Fault::Mode(mode, _)) => matches!(mode, Mode::Oom | Mode::NoReplicas),
        _ => true,
    }
}

/// Errors by their code, which is what the client goes by; a real server adds where in the script it was.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::ServerError(one), Value::ServerError(other)) => one.code() == other.code(),
        (one, other) => one == other,
    }
}

fn is_comparable(taped: &Taped) -> bool {
    let name = taped.args[0].to_ascii_uppercase();
    let is_about_the_server = matches!(
        name.as_slice(),
        b"PING" | b"INFO" | b"CONFIG" | b"CLIENT" | b"COMMAND" | b"TIME" | b"WAIT" | b"WAITAOF"
    );
    // Which scripts it knows by now is another matter.
    let is_unknown = matches!(&taped.answer, Value::ServerError(error) if error.code() == "NOSCRIPT");
    !is_about_the_server && !is_unknown
}

/// How many entries `XTRIM ~` removes is the server's own affair; that in the end they are gone is not.
fn is_trim(taped: &Taped) -> bool {
    taped.code.as_ref().is_some_and(|code| code.contains("XTRIM"))
}

#[test]
fn a_real_redis_gives_the_same_answers() {
    listen_to_panics();
    let server = RedisServer::start(&["--stream-node-max-bytes", "0"]);
    let mut real = Real::connect(&server);
    let (mut compared, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        let (setting, mut plan) = draw(seed);
        plan.retain(can_be_repeated);
        let (outcome, (tape, held)) = run_taped(&setting, &plan, false, true);
        assert!(outcome.violation.is_none(), "seed {seed}: {:?}", outcome.violation);
        for (at, taped) in tape.iter().enumerate().filter(|(_, taped)| is_comparable(taped)) {
            real.misbehave(taped.mode);
            let answer = real.repeat(taped);
            refused += u64::from(matches!(answer, Value::ServerError(_)));
            if !is_trim(taped) {
                let words: Vec<_> = taped.args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
                let said = &taped.answer;
                assert!(
                    same(said, &answer),
                    "seed {seed}, command {at} {words:?}: {said:?}, and Redis {answer:?}"
                );
                compared += 1;
            }
        }
        real.misbehave(Mode::Well);
        compare_keys(&mut real, seed, &held);
        real.ask(&[b"FLUSHALL"]);
        real.ask(&[b"SCRIPT", b"FLUSH"]);
    }
    // A tape with nothing on it would be easy to repeat.
    assert!(compared > 100 * SEEDS && refused > 10, "{compared} answers were compared, {refused} refused");
}

fn compare_keys(real: &mut Real, seed: u64, held: &std::collections::BTreeMap<Vec<u8>, Held>) {
    let Value::Array(keys) = real.ask(&[b"KEYS", b"*"]) else { panic!("no keys") };
    let mut names: Vec<Vec<u8>> = keys.into_iter().map(|key| bytes(&key)).collect();
    names.sort();
    assert_eq!(names, held.keys().cloned().collect::<Vec<_>>(), "seed {seed}");
    for (key, held) in held {
        match held {
            Held::Text(text) => assert_eq!(bytes(&real.ask(&[b"GET", key])), text.to_vec()),
            Held::Hash(fields) => {
                let Value::Array(found) = real.ask(&[b"HGETALL", key]) else { panic!("no fields") };
                let mut found: Vec<_> =
                    found.chunks(2).map(|pair| (bytes(&pair[0]), bytes(&pair[1]))).collect();
                found.sort();
                let expected: Vec<_> =
                    fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
                assert_eq!(found, expected, "seed {seed}, {}", String::from_utf8_lossy(key));
            }
            Held::Stream(entries, _) => {
                let Value::Array(found) = real.ask(&[b"XRANGE", key, b"-", b"+"]) else {
                    panic!("no entries")
                };
                let ids: Vec<Vec<u8>> = found
                    .iter()
                    .map(|entry| match entry {
                        Value::Array(parts) => bytes(&parts[0]),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                let expected: Vec<_> =
                    entries.keys().map(|(first, second)| format!("{first}-{second}").into_bytes()).collect();
                assert_eq!(ids, expected, "seed {seed}, {}", String::from_utf8_lossy(key));
            }
        }
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes.clone(),
        Value::SimpleString(text) => text.clone().into_bytes(),
        other => panic!("{other:?}"),
    }
}
