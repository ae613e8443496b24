//! `reveille export`: the pending jobs of a namespace as JSON Lines, each as the operation that schedules it, and before them what was said of
//! its queues, as the operations that pause and resume them.
//!
//! # Rules
//! - Takes no lease and changes nothing.
//! - The same jobs give the same text: by due, then by key, every job as in [`jsonl::job`](crate::jsonl::job). Queues come by name.
//! - A namespace that does not exist is an error, and leaves the file alone: the name is wrong.
//! - A file is written whole or not at all, as in [`file`](crate::file).

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use reveille::partition::QueuePause;
use reveille::read::Contents;
use reveille::{JobFilter, JobView};
use serde::Serialize;

use crate::jsonl::input::LINE_BYTES_MAX;
use crate::jsonl::job;
use crate::store::{Named, StoreArgs, about_replica};
use crate::{complain, exit, figures, file, signal};

/// How long a writer may take to notice that it is stopped.
const GRACE: Duration = Duration::from_secs(5);

/// The arguments of `reveille export`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("store", |store| store.required(true)), after_help = "\
A job is pending until its handler has ended. A job that was scheduled after a delay is written with the instant at
which the delay ends. A queue that was paused or resumed by a call has a line that says so, before the jobs. `reveille
import` reads the lines back.

A file is replaced only when the new one is complete and on the disk. Until then, and whatever fails, the old one stays.

Exit status: 0 if all went well, 1 if not all could be written, 2 if nothing could begin.")]
pub(crate) struct Args {
    /// Where to write the jobs; `-` is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    output: PathBuf,

    /// Export even while a process owns the jobs. The export may miss what that process does meanwhile
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    place: StoreArgs,
}

/// Writes the pending jobs of a namespace.
pub(crate) fn execute(args: Args) -> ExitCode {
    exit::status(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    let mut signal = signal::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let named = args.place.needed(None)?;
    let kept = tokio::select! {
        kept = args.kept(&named) => kept?,
        Ok(signal) = &mut signal => return Err(format!("stopped by {signal} before anything was written")),
    };
    let (jobs, queues, path) = (kept.jobs.len(), kept.queues.len(), args.output.clone());
    let is_stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&is_stopped);
    let mut writing = tokio::task::spawn_blocking(move || write_to(&path, &kept, &stop));
    let written = tokio::select! {
        written = &mut writing => written,
        Ok(signal) = signal => {
            // A half-written file goes with its writer, unless the writer waits for a reader that does not come.
            is_stopped.store(true, SeqCst);
            let _ = tokio::time::timeout(GRACE, writing).await;
            complain(format_args!("stopped by {signal}; not all was written"));
            return Ok(ExitCode::FAILURE);
        }
    };
    Ok(match written.unwrap_or_else(|panicked| Err(io::Error::other(panicked))) {
        Ok(too_long) => tell(&named, (jobs, queues), too_long),
        Err(error) => {
            complain(format_args!("cannot write {}: {error}", args.output.display()));
            ExitCode::FAILURE
        }
    })
}

impl Args {
    /// What is written, in that order.
    async fn kept(&self, named: &Named) -> Result<Kept, String> {
        let found = named.look().await?;
        if let Some(replica) = &found.replica {
            complain(about_replica(replica));
        }
        if found.partitions.is_none() {
            return Err(nothing_there(named));
        }
        if let Some(owner) = found.living_owner() {
            if !self.force {
                return Err(format!("{owner}; stop it first, or have a picture of what moves with --force"));
            }
            complain(format_args!("{owner}: what it does meanwhile may be shown or not"));
        }
        let (mut jobs, mut queues) = (Vec::new(), Vec::new());
        let take = |contents: &Contents| {
            jobs.extend(contents.jobs(&JobFilter::default()));
            queues.extend(contents.pauses().cloned());
        };
        named.each_left(take).await?;
        jobs.sort_unstable_by(|one, other| (one.due, &one.key).cmp(&(other.due, &other.key)));
        queues.sort_unstable_by(|one: &QueuePause, other| one.queue.as_str().cmp(other.queue.as_str()));
        Ok(Kept { jobs, queues })
    }
}

/// What a namespace keeps.
struct Kept {
    jobs: Vec<JobView>,
    /// What was said of queues.
    queues: Vec<QueuePause>,
}

/// The line of a queue.
#[derive(Serialize)]
struct QueueLine<'a> {
    op: &'static str,
    queue: &'a str,
}

impl<'a> From<&'a QueuePause> for QueueLine<'a> {
    fn from(said: &'a QueuePause) -> Self {
        QueueLine { op: if said.is_paused { "pause" } else { "resume" }, queue: said.queue.as_str() }
    }
}

fn nothing_there(named: &Named) -> String {
    format!("the store has no namespace {:?}; nothing was written. {}", named.namespace, named.how_to_list())
}

fn tell(named: &Named, (jobs, queues): (usize, usize), too_long: usize) -> ExitCode {
    let queues = match queues {
        0 => String::new(),
        1 => ", and whether 1 queue is paused,".to_owned(),
        queues => format!(", and whether {queues} queues are paused,"),
    };
    complain(format_args!("{}{queues} of namespace {:?} written", figures::jobs(jobs), named.namespace));
    if too_long == 0 {
        return ExitCode::SUCCESS;
    }
    complain(format_args!(
        "{too_long} of them have lines of more than {LINE_BYTES_MAX} bytes, which `import` does not read"
    ));
    ExitCode::FAILURE
}

/// Returns how many lines are too long to be read again.
fn write_to(path: &Path, kept: &Kept, is_stopped: &AtomicBool) -> io::Result<usize> {
    let jobs = kept.jobs.iter().map(job::Written::from);
    if path == Path::new("-") {
        return write_all(&kept.queues, jobs, io::stdout().lock(), is_stopped);
    }
    file::write(path, |file| write_all(&kept.queues, jobs, file, is_stopped))
}

fn write_all<'a>(
    queues: &[QueuePause],
    jobs: impl Iterator<Item = job::Written<'a>>,
    to: impl Write,
    is_stopped: &AtomicBool,
) -> io::Result<usize> {
    let mut to = BufWriter::with_capacity(64 * 1024, to);
    for queue in queues {
        serde_json::to_writer(&mut to, &QueueLine::from(queue))?;
        to.write_all(b"\n")?;
    }
    let (mut line, mut too_long) = (Vec::new(), 0);
    for job in jobs {
        if is_stopped.load(SeqCst) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        line.clear();
        job.write(&mut line)?;
        too_long += usize::from(line.trim_ascii_end().len() > LINE_BYTES_MAX);
        to.write_all(&line)?;
    }
    to.flush()?;
    Ok(too_long)
}

#[cfg(test)]
mod tests {
    use reveille::job::JobOptions;
    use reveille::{Key, Payload, Timestamp};

    use super::*;
    use crate::jsonl::input::{Line, Lines};

    #[test]
    fn a_line_is_too_long_when_it_would_not_be_read() {
        let (key, options) = (Key::new("k").unwrap(), JobOptions::default());
        let (due, payload) = (Timestamp::from_micros(0), Payload::from("7"));
        let short = job::Written { key: &key, queue: "q", due, options: &options, payload: &payload };
        let mut line = Vec::new();
        short.write(&mut line).unwrap();
        let longest = 1 + LINE_BYTES_MAX - line.trim_ascii_end().len();
        for (payload_bytes, too_long) in [(longest, 0), (longest + 1, 1)] {
            let payload = Payload::from("7".repeat(payload_bytes));
            let mut lines = Vec::new();
            let jobs = [job::Written { payload: &payload, ..short }];
            let written = write_all(&[], jobs.into_iter(), &mut lines, &AtomicBool::new(false));
            assert_eq!(written.unwrap(), too_long);
            let mut lines = Lines::new(&*lines);
            let Some(Line { text, .. }) = lines.next().unwrap() else { panic!("no line") };
            assert_eq!(usize::from(text.is_err()), too_long);
        }
    }
}
