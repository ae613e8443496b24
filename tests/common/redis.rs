//! A Redis of a test's own: a real server on a free port, with a directory of its own. Both are gone when it is dropped.
//!
//! Needs nothing but the standard library and a `redis-server`. Where the `redis` crate is there, `redis_client` adds a
//! connection to it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// How long a server may take to answer after its start.
const PATIENCE_MS: u64 = 20_000;

/// A running server, or one that was killed and can be started again.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    dir: PathBuf,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server with these options, such as `["--appendonly", "yes"]`. Without any it keeps nothing on disk.
    pub fn start(args: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("reveille-redis-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("there is room for a Redis");
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = RedisServer { port: 0, dir, args, child: None };
        // Another test may take the port between.
        for _ in 0..20 {
            server.port = free_port();
            server.spawn();
            if server.is_up() {
                return server;
            }
        }
        panic!("redis-server does not start (is it installed?): {}", server.log());
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, as a store takes it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it keeps what it keeps.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Kills it, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A stopped process is killed as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it if it runs, and starts it again: same port, same directory, same options. Returns once it answers, even if
    /// only to say that it is still loading.
    pub fn restart(&mut self) {
        self.kill();
        self.spawn();
        assert!(self.is_up(), "redis-server does not start again: {}", self.log());
    }

    /// The same with other options.
    pub fn restart_with(&mut self, args: &[&str]) {
        self.args = args.iter().map(|arg| (*arg).to_owned()).collect();
        self.restart();
    }

    /// Stops it where it stands: it takes connections and answers nothing.
    pub fn stop(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        let status = Command::new("kill").arg(signal).arg(child.id().to_string()).status();
        assert!(status.expect("there is a kill").success());
    }

    fn spawn(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&self.dir);
        command.arg("--logfile").arg(self.dir.join("log"));
        for (option, value) in [("--save", ""), ("--appendonly", "no")] {
            if !self.args.iter().any(|arg| arg == option) {
                command.args([option, value]);
            }
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
    }

    /// Waits until it answers anything; `false` if it has ended.
    fn is_up(&mut self) -> bool {
        for _ in 0..PATIENCE_MS / 5 {
            if self.child.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None))) {
                return false;
            }
            if self.answers() {
                return true;
            }
            sleep(Duration::from_millis(5));
        }
        false
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(PATIENCE_MS / 10)));
        let mut line = String::new();
        stream.write_all(b"PING\r\n").is_ok()
            && BufReader::new(stream).read_line(&mut line).is_ok()
            && (line.starts_with('+') || line.starts_with('-'))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}
