//! What a test does to a Redis past the store: commands, and a look at every key.

use std::collections::BTreeMap;

use redis::{Commands, Connection, FromRedisValue};

use super::redis::RedisServer;

impl RedisServer {
    /// A connection, once the server has loaded its data.
    pub fn connect(&self) -> Connection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_connection().unwrap()
    }

    /// Runs a command on a server with a password.
    pub fn run_as(&self, password: &str, words: &[&str]) -> redis::Value {
        let url = self.url().replace("redis://", &format!("redis://:{}@", password.replace('@', "%40")));
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Runs a command.
    pub fn run(&self, words: &[&str]) -> redis::Value {
        self.ask(words)
    }

    /// Runs a command and takes its answer.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connect()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
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
