//! What a test does to a Redis past the store: commands, and a look at every key.

use std::collections::BTreeMap;

use redis::{Commands, Connection, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};

use crate::ms;
use crate::redis::{RedisServer, key};

impl RedisServer {
    /// A connection, once the server has loaded its data.
    pub fn connect(&self) -> Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// Runs a command on a server with a password.
    #[track_caller]
    pub fn run_as(&self, password: &str, words: &[&str]) -> redis::Value {
        let url = self.url_as(&format!(":{}", password.replace('@', "%40")));
        ask(&mut redis::Client::open(url).unwrap().get_connection().unwrap(), words)
    }

    /// Runs a command.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> redis::Value {
        self.ask(words)
    }

    /// Runs a command and takes its answer.
    #[track_caller]
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        ask(&mut self.connect(), words)
    }

    /// A field of the meta of partition 0 in [`NAMESPACE`](crate::redis::NAMESPACE), if it is there.
    pub fn field(&self, name: &str) -> Option<String> {
        self.ask(&["HGET", &key("m"), name])
    }

    /// Every key as DUMP has it: what must not change is compared by this.
    pub fn dump(&self) -> BTreeMap<String, Vec<u8>> {
        let mut connection = self.connect();
        let keys: Vec<String> = connection.keys("*").unwrap();
        let mut dump = |key: String| {
            let bytes: Vec<u8> = redis::cmd("DUMP").arg(&key).query(&mut connection).unwrap();
            (key, bytes)
        };
        keys.into_iter().map(&mut dump).collect()
    }
}

/// Asks again while the server loads its data: it answers as soon as it has begun.
#[track_caller]
fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let mut answer = command.query(connection);
    for _ in 0..6_000 {
        match &answer {
            Err(error) if is_loading(error) => std::thread::sleep(ms(10)),
            _ => break,
        }
        answer = command.query(connection);
    }
    answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

fn is_loading(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::BusyLoading)
}
