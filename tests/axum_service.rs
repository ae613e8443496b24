//! The example `axum_service` as two replicas on one Redis: the second binds its port, says that it is not ready, and takes
//! over when the first ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::redis::RedisServer;

/// A replica, and where it listens. Ends with the test.
struct Replica(Child, SocketAddr);

impl Replica {
    fn start(example: &PathBuf, store: &str) -> Replica {
        let mut child = Command::new(example)
            .env("REVEILLE_STORE", store)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        output.read_line(&mut line).expect("it says where it listens");
        let address = line.trim().rsplit("//").next().and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("it does not listen: {line:?}"));
        // What else it says is read, so that it can say it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        Replica(child, address)
    }

    /// The head of the answer and the body, in one.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.1).expect("it has bound its port");
        let length = body.len();
        let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
        write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn is_ready(&self) -> bool {
        self.ask("GET", "/ready", "").starts_with("HTTP/1.1 200")
    }

    fn until(&self, what: &str, is_so: impl Fn(&Replica) -> bool) {
        for _ in 0..1_200 {
            if is_so(self) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not {what} in a minute: {}", self.ask("GET", "/ready", ""));
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Built here: a run of this test alone does not.
fn example() -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--example", "axum_service", "--message-format", "json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    let told = String::from_utf8(built.stdout).unwrap();
    let messages = told.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut executables = messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned()));
    executables.next_back().expect("the example is built").into()
}

#[test]
fn a_second_replica_binds_its_port_and_becomes_ready_when_the_first_ends() {
    let (example, redis) = (example(), RedisServer::start(&["--appendonly", "yes"]));
    let mut first = Replica::start(&example, &redis.url());
    first.until("ready", Replica::is_ready);
    let created = first.ask("POST", "/orders/7", r#"{"expires_in_ms": 3600000}"#);
    assert!(created.starts_with("HTTP/1.1 201"), "{created}");

    let second = Replica::start(&example, &redis.url());
    second.until("a standby", |second| second.ask("GET", "/ready", "").contains("another replica"));
    for (method, path) in [("GET", "/ready"), ("GET", "/orders/7"), ("DELETE", "/orders/7")] {
        let answer = second.ask(method, path, "");
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
    }
    assert!(first.is_ready());

    let interrupted = Command::new("kill").args(["-INT", &first.0.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert!(first.0.wait().unwrap().success(), "it ends cleanly");
    second.until("ready", Replica::is_ready);
    // With what the first was told.
    let settled = second.ask("DELETE", "/orders/7", "");
    assert!(settled.starts_with("HTTP/1.1 204"), "{settled}");
}
