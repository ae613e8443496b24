//! `--exec`: each job is a command of a shell, so that retries, time-outs and recurrence serve whoever has a shell.
//!
//! # Rules
//! - The payload is on the command's standard input, as in the JSON line. What else is known of the job is in its environment.
//! - Status 0 means done. Any other is a failed attempt, with the end of what the command wrote to standard error.
//! - Standard output belongs to the events: what a command writes there goes to this program's standard error.
//! - A command that is no longer wanted is killed with all that it has started: it has a process group of its own.

use std::io;
use std::process::{ExitStatus, Stdio};

use reveille::{BoxError, Job, JobResult};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How much of the end of standard error a failed attempt keeps.
const STDERR_BYTES: usize = 400;

/// Runs a job by `sh -c command`.
pub(super) async fn run(command: &str, job: &Job) -> JobResult {
    match attempt(command, job).await {
        Ok((status, _)) if status.success() => JobResult::Done,
        Ok((status, stderr)) => JobResult::Failed(said(status, &stderr)),
        Err(error) => JobResult::Failed(format!("the command cannot be run: {error}").into()),
    }
}

async fn attempt(command: &str, job: &Job) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .env("REVEILLE_KEY", job.key().as_str())
        .env("REVEILLE_QUEUE", job.queue())
        .env("REVEILLE_ATTEMPT", job.attempt().to_string())
        .env("REVEILLE_DUE", job.due().to_string())
        .stdin(Stdio::piped())
        .stdout(io::stderr())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut group = Group(shell.spawn()?);
    let (stdin, stderr) = (group.0.stdin.take(), group.0.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read it.
            let _ = stdin.write_all(job.payload().as_bytes()).await;
        }
    };
    let (status, end, ()) = tokio::join!(group.0.wait(), end_of(stderr), feed);
    Ok((status?, end))
}

/// A command with all that it has started. Killed when it is dropped before its end: its attempt took too long, or this program ends.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // Gone once it has been waited for.
        if let Some(pid) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// The end of what is written, which is passed on as it comes.
async fn end_of(stderr: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let (mut end, mut buffer) = (Vec::new(), [0; 4096]);
    let Some(mut stderr) = stderr else { return end };
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let _ = io::Write::write_all(&mut io::stderr(), &buffer[..read]);
        end.extend_from_slice(&buffer[..read]);
        if end.len() > STDERR_BYTES {
            end.drain(..end.len() - STDERR_BYTES);
        }
    }
    end
}

fn said(status: ExitStatus, stderr: &[u8]) -> BoxError {
    let text = String::from_utf8_lossy(stderr);
    match text.trim() {
        "" => status.to_string().into(),
        text => format!("{status}: {text}").into(),
    }
}
