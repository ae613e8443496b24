//! A Redis of a test's own: a real server on a port and in a folder of its own. Both are gone when it is dropped.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use reveille::store::{RedisConfig, RedisStore};

use crate::port::Port;

/// How long a server may take to answer after its start.
const PATIENCE_MS: u64 = 20_000;

/// The namespace of [`RedisServer::store`].
pub const NAMESPACE: &str = "test";

/// A server that syncs every change before it answers: nothing that it has answered to is lost when it is killed.
pub const ALWAYS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
/// A server that syncs once a second.
pub const EVERYSEC: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "everysec"];

/// A key of partition 0 in [`NAMESPACE`]: `m` is its meta, `l` its log.
pub fn key(name: &str) -> String {
    key_in(0, name)
}

/// A key of a partition in [`NAMESPACE`].
pub fn key_in(partition: u16, name: &str) -> String {
    format!("{{rv:{NAMESPACE}:{partition}}}:{name}")
}

/// A running server, or one that was killed and can be started again.
#[derive(Debug)]
pub struct RedisServer {
    port: Port,
    tls_port: Option<Port>,
    dir: PathBuf,
    args: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts a server with these options, such as `["--appendonly", "yes"]`. Without any it keeps nothing on disk.
    ///
    /// # Panics
    /// When it does not start, with what it has logged.
    pub fn start(args: &[&str]) -> Self {
        RedisServer::start_on(args, || None)
    }

    /// Starts a server that also speaks TLS, at [`RedisServer::tls_url`], with a certificate for `localhost` that nobody vouches
    /// for but [`RedisServer::certificate`] itself.
    ///
    /// # Panics
    /// As [`RedisServer::start`].
    pub fn start_with_tls(args: &[&str]) -> Self {
        RedisServer::start_on(args, || Some(Port::reserve()))
    }

    fn start_on(args: &[&str], tls_port: impl Fn() -> Option<Port>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("reveille-redis-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("there is room for a Redis");
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut server = RedisServer { port: Port::reserve(), tls_port: tls_port(), dir, args, child: None };
        // Whoever knows nothing of reserved ports may have taken one between.
        for _ in 0..20 {
            server.spawn();
            if server.is_up() {
                return server;
            }
            (server.port, server.tls_port) = (Port::reserve(), tls_port());
        }
        panic!("redis-server does not start (is it installed?): {}", server.log());
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The address, as a store takes it.
    pub fn url(&self) -> String {
        self.port.url()
    }

    /// The address with a user and a password in it, written as `user:password`.
    pub fn url_as(&self, credentials: &str) -> String {
        format!("redis://{credentials}@127.0.0.1:{}", self.port())
    }

    /// The address of the TLS port.
    ///
    /// # Panics
    /// When it was not started with TLS.
    pub fn tls_url(&self) -> String {
        format!("rediss://localhost:{}", self.tls_port.as_ref().expect("it speaks TLS").number())
    }

    /// The file with the certificate that it shows.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    /// A store on it, in [`NAMESPACE`].
    pub fn store(&self) -> RedisStore {
        RedisStore::new(config(&self.url()))
    }

    /// Where it keeps what it keeps.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Kills it, as a crash does. Its port stays its own.
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
        command.args(["--port", &self.port().to_string(), "--bind", "127.0.0.1", "--dir"]).arg(&self.dir);
        command.arg("--logfile").arg(self.dir.join("log"));
        for (option, value) in [("--save", ""), ("--appendonly", "no")] {
            if !self.args.iter().any(|arg| arg == option) {
                command.args([option, value]);
            }
        }
        if let Some(port) = &self.tls_port {
            let (certificate, private) = (self.certificate(), self.dir.join("key.pem"));
            std::fs::write(&certificate, include_str!("../tls/certificate.pem")).unwrap();
            std::fs::write(&private, include_str!("../tls/key.pem")).unwrap();
            command.args(["--tls-port", &port.number().to_string(), "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(&certificate).arg("--tls-key-file").arg(&private);
            command.arg("--tls-ca-cert-file").arg(&certificate);
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
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port())) else { return false };
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

/// The settings of a store in [`NAMESPACE`] at this address.
pub fn config(url: &str) -> RedisConfig {
    RedisConfig::new(url).unwrap().namespace(NAMESPACE).unwrap()
}

/// A store there that gives up after `patience`, so that a test need not wait for long to find out that nobody answers.
pub fn impatient(url: &str, patience: Duration) -> RedisStore {
    RedisStore::new(config(url).response_timeout(patience).connect_timeout(patience))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also when the test that has it panics.
    #[test]
    fn a_server_ends_with_its_test() {
        let (told, tell) = std::sync::mpsc::channel();
        let test = std::thread::spawn(move || {
            let server = RedisServer::start(&[]);
            told.send((server.port(), server.dir().to_owned())).unwrap();
            panic!("as a test that fails");
        });
        let (port, dir) = tell.recv().unwrap();
        test.join().unwrap_err();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err() && !dir.exists());
    }

    #[test]
    fn a_server_comes_back_on_its_port_with_what_was_on_its_disk() {
        let mut server = RedisServer::start(&ALWAYS);
        server.run(&["SET", "key", "value"]);
        let port = server.port();
        server.kill();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        server.restart();
        assert_eq!((server.port(), server.ask::<String>(&["GET", "key"])), (port, "value".to_owned()));
    }
}
