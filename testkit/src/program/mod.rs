//! The program as a child process: fed by the test, read on a thread, and never left behind.

pub mod feed;
pub mod ledger;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test gives it up: far longer than it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A running `reveille`. Killed when dropped.
pub struct Run {
    child: Child,
    pub stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    /// What it has said so far, and who reads that.
    stderr: Arc<Mutex<String>>,
    stderr_reader: Option<JoinHandle<()>>,
    lines: Option<Receiver<String>>,
}

/// How a run has ended.
pub struct Ended {
    pub status: ExitStatus,
    /// What was not read before.
    pub events: Vec<Value>,
    pub stderr: String,
}

/// How a subcommand has ended that does not write events.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Where cargo has put the program that belongs to the test program that is running.
///
/// # Panics
/// When it is not there.
pub fn executable() -> PathBuf {
    let test = std::env::current_exe().expect("a test program knows where it is");
    // target/debug/deps/test-0123456789abcdef and target/debug/reveille
    let folder = test.ancestors().nth(2).expect("it lies in a folder of cargo's");
    let executable = folder.join(format!("reveille{}", std::env::consts::EXE_SUFFIX));
    assert!(
        executable.is_file(),
        "there is no {}; `cargo test -p reveille-cli` builds it",
        executable.display()
    );
    executable
}

impl Run {
    /// Starts `reveille run`.
    pub fn start(args: &[&str]) -> Self {
        Run::program(&[&["run"], args].concat())
    }

    /// Starts any subcommand.
    pub fn program(args: &[&str]) -> Self {
        Run::spawn(Command::new(executable()).args(args))
    }

    /// Starts what `command` says, with nothing of the test's own environment that would change it.
    pub fn spawn(command: &mut Command) -> Self {
        Run::spawn_to(command, Stdio::piped())
    }

    /// The same, with another output than a pipe to the test.
    pub fn spawn_to(command: &mut Command, stdout: Stdio) -> Self {
        if !command.get_envs().any(|(name, _)| name == "REVEILLE_STORE") {
            command.env_remove("REVEILLE_STORE");
        }
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let said = Arc::new(Mutex::new(String::new()));
        let saying = Arc::clone(&said);
        let stderr_reader = thread::spawn(move || {
            for line in BufReader::new(stderr.unwrap()).lines().map_while(Result::ok) {
                let mut said = saying.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Run { child, stdin, stdout, stderr: said, stderr_reader: Some(stderr_reader), lines: None }
    }

    /// Writes to the input. The input has to be short or the output read.
    pub fn write(&mut self, text: &str) {
        match self.stdin.as_mut().unwrap().write_all(text.as_bytes()) {
            // A child that has ended reads no more; the test will see that.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
    }

    /// Ends the input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Writes all of `lines` on a thread of its own, then ends the input.
    pub fn write_behind(&mut self, lines: impl Iterator<Item = String> + Send + 'static) -> JoinHandle<()> {
        let mut stdin = std::io::BufWriter::new(self.stdin.take().unwrap());
        thread::spawn(move || {
            for line in lines {
                // A child that has ended reads no more; the test will see that.
                if writeln!(stdin, "{line}").is_err() {
                    return;
                }
            }
        })
    }

    /// Begins to read the output, if nothing has yet.
    fn lines(&mut self) -> &Receiver<String> {
        let stdout = &mut self.stdout;
        self.lines.get_or_insert_with(|| {
            let stdout = BufReader::new(stdout.take().unwrap());
            let (sender, lines) = mpsc::channel();
            thread::spawn(move || {
                // The last line of a process that was killed may be cut anywhere.
                for line in stdout.lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
            lines
        })
    }

    /// The next event.
    pub fn event(&mut self) -> Value {
        let line = self.lines().recv_timeout(PATIENCE).expect("an event comes before the patience ends");
        read(&line)
    }

    /// The next event, if it comes within `time`.
    pub fn event_within(&mut self, time: Duration) -> Option<Value> {
        self.lines().recv_timeout(time).ok().map(|line| read(&line))
    }

    /// The next event of a process that was killed; `None` after the last whole one.
    pub fn last_events(&mut self) -> Option<Value> {
        let line = self.lines().recv_timeout(PATIENCE).ok()?;
        serde_json::from_str(&line).ok()
    }

    /// Waits until it has said `text` on standard error.
    pub fn says(&self, text: &str) {
        let step = Duration::from_millis(5);
        let mut waited = Duration::ZERO;
        while !self.stderr.lock().unwrap().contains(text) {
            assert!(waited < PATIENCE, "it does not say {text:?} but {:?}", self.stderr.lock().unwrap());
            thread::sleep(step);
            waited += step;
        }
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Closes the consumer's end of the output.
    pub fn close_output(&mut self) {
        self.stdout = None;
    }

    /// Reads so many lines of the output, then closes the consumer's end, as `head` does.
    pub fn close_output_after(&mut self, lines: usize) {
        let stdout = BufReader::new(self.stdout.take().unwrap());
        assert_eq!(stdout.lines().take(lines).map_while(Result::ok).count(), lines);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// By which it can be signalled by others.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Ends it as a crash does, at once and without a word.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The resident memory, in KiB.
    #[cfg(target_os = "linux")]
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Reads the output to its end and waits for the process.
    pub fn ended(mut self) -> Ended {
        let mut events = Vec::new();
        if self.stdout.is_some() || self.lines.is_some() {
            loop {
                match self.lines().recv_timeout(PATIENCE) {
                    Ok(line) => events.push(read(&line)),
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("the output does not end"),
                }
            }
        }
        self.ended_unread(events)
    }

    /// Gives it all of its input, reads the output to its end and waits for the process.
    pub fn finish(mut self, input: &str) -> Finished {
        let writer = self.write_behind(std::iter::once(input.to_owned()));
        let finished = self.ended_as_text();
        writer.join().unwrap();
        finished
    }

    /// Reads the output to its end, whatever it is, and waits for the process.
    pub fn ended_as_text(mut self) -> Finished {
        let mut stdout = String::new();
        self.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        let Ended { status, stderr, .. } = self.ended_unread(Vec::new());
        Finished { status, stdout, stderr }
    }

    /// Waits for the process without reading its output.
    pub fn ended_unread(&mut self, events: Vec<Value>) -> Ended {
        let step = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(waited < PATIENCE, "the process does not end");
            thread::sleep(step);
            waited += step;
        };
        if let Some(reader) = self.stderr_reader.take() {
            reader.join().unwrap();
        }
        let stderr = self.stderr.lock().unwrap().clone();
        Ended { status, events, stderr }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of the output.
fn read(line: &str) -> Value {
    let value: Value = serde_json::from_str(line).expect(line);
    #[cfg(feature = "schema")]
    if value.get("event").is_some() {
        crate::schema::check_event(&value);
    }
    value
}

/// A file that is removed with the test.
pub struct TempFile(PathBuf);

impl TempFile {
    pub fn new(name: &str, content: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("reveille-run-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        TempFile(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A named pipe that is removed with the test.
pub struct Fifo(PathBuf);

impl Fifo {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("reveille-run-{}-{name}", std::process::id()));
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        Fifo(path)
    }

    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    /// Comes as a writer, writes and goes.
    pub fn write(&self, text: &str) {
        std::fs::OpenOptions::new().write(true).open(&self.0).unwrap().write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs a whole input through standard input, until idle.
pub fn run_through(args: &[&str], input: &str) -> Ended {
    let mut run = Run::start(&[&["--exit-when-idle"], args].concat());
    let input = input.to_owned();
    let writer = run.write_behind(std::iter::once(input));
    let ended = run.ended();
    writer.join().unwrap();
    ended
}

pub fn of_kind<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["event"] == kind)
}

/// The fields of an event that have to be there.
pub fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_else(|| panic!("{event} has no {field}"))
}

pub fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("{event} has no {field}"))
}

/// Microseconds since the epoch of a time as `run` writes it.
pub fn micros(event: &Value, field: &str) -> i64 {
    let text = text(event, field);
    assert_eq!(text.len(), "2026-12-01T03:00:00.000000Z".len(), "{text}");
    text.parse::<jiff::Timestamp>().unwrap().as_microsecond()
}
