//! `reveille export`: the pending jobs of a namespace as JSON Lines, each as the operation that schedules it.
//!
//! # Rules
//! - Takes no lease and changes nothing.
//! - The same jobs give the same text: by due, then by key, every job as in [`jsonl::job`](crate::jsonl::job).
//! - A file is not touched before all jobs have been read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use reveille::PartitionId;
use reveille::partition::JobImage;

use crate::jsonl::input::LINE_BYTES_MAX;
use crate::jsonl::job;
use crate::store::{Named, Place, about_replica, jobs_of};
use crate::{complain, exit, figures};

/// What `reveille export` can be told.
#[derive(Debug, clap::Args)]
#[command(mut_arg("store", |store| store.required(true)), after_help = "\
A job is pending until its handler has ended. One that was scheduled after a delay is written with the instant at which
that ends. `reveille import` reads it all back.

Exit status: 0 if all went well, 1 if not all could be written, 2 if nothing could begin.")]
pub(crate) struct Args {
    /// Where to write the jobs; `-` is standard output
    #[arg(value_name = "FILE", default_value = "-")]
    output: PathBuf,

    /// Also while a process owns the jobs. What it does meanwhile may be shown or not
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    place: Place,
}

/// Writes the pending jobs of a namespace.
pub(crate) fn execute(args: Args) -> ExitCode {
    exit::status(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    let named = args.place.needed(None)?;
    let found = named.look().await?;
    if let Some(replica) = &found.replica {
        complain(about_replica(replica));
    }
    if let Some(owner) = found.living_owner() {
        if !args.force {
            return Err(format!("{owner}; stop it first, or have a picture of what moves with --force"));
        }
        complain(format_args!("{owner}: what it does meanwhile may be shown or not"));
    }
    let mut jobs = Vec::new();
    for partition in 0..found.partitions.unwrap_or(0) {
        jobs.append(&mut jobs_of(&named, PartitionId(partition)).await?);
    }
    jobs.sort_unstable_by(|one, other| (one.due.wall, &one.key).cmp(&(other.due.wall, &other.key)));
    Ok(match write_to(&args.output, &jobs) {
        Ok(too_long) => tell(&named, jobs.len(), too_long),
        Err(error) => {
            complain(format_args!("cannot write {}: {error}", args.output.display()));
            ExitCode::FAILURE
        }
    })
}

fn tell(named: &Named, jobs: usize, too_long: usize) -> ExitCode {
    complain(format_args!("{} of namespace {:?} written", figures::jobs(jobs), named.namespace));
    if too_long == 0 {
        return ExitCode::SUCCESS;
    }
    complain(format_args!(
        "{too_long} of them have lines of more than {LINE_BYTES_MAX} bytes, which `import` does not read"
    ));
    ExitCode::FAILURE
}

/// Returns how many lines are too long to be read again.
fn write_to(path: &Path, jobs: &[JobImage]) -> io::Result<usize> {
    if path == Path::new("-") {
        return write_all(jobs, io::stdout().lock());
    }
    let file = File::create(path)?;
    let too_long = write_all(jobs, &file)?;
    // What is not a file on a disk, a pipe for one, cannot be synced, and need not be.
    if file.metadata()?.is_file() {
        file.sync_all()?;
    }
    Ok(too_long)
}

fn write_all(jobs: &[JobImage], to: impl Write) -> io::Result<usize> {
    let mut to = BufWriter::with_capacity(64 * 1024, to);
    let (mut line, mut too_long) = (Vec::new(), 0);
    for job in jobs {
        line.clear();
        job::write(job, &mut line)?;
        too_long += usize::from(line.trim_ascii_end().len() > LINE_BYTES_MAX);
        to.write_all(&line)?;
    }
    to.flush()?;
    Ok(too_long)
}

#[cfg(test)]
mod tests {
    use reveille::partition::{Delivery, Queue, QueueId, QueueName, RecordedDue, TimeBase};
    use reveille::{Key, Priority, Timestamp, Version};

    use super::*;
    use crate::jsonl::input::{Line, Lines};

    fn job(payload_bytes: usize) -> JobImage {
        JobImage {
            id: serde_json::from_str("7").unwrap(),
            key: Key::new("k").unwrap(),
            queue: Queue { id: QueueId(0), name: QueueName::new("q").unwrap() },
            payload: "7".repeat(payload_bytes).into(),
            due: RecordedDue { base: TimeBase::Wall, wall: Timestamp::from_micros(0) },
            priority: Priority::NORMAL,
            delivery: Delivery::AtLeastOnce,
            version: Version(1),
            attempt: 0,
            running_since: None,
        }
    }

    #[test]
    fn a_line_is_too_long_when_it_would_not_be_read() {
        let mut line = Vec::new();
        job::write(&job(1), &mut line).unwrap();
        let longest = 1 + LINE_BYTES_MAX - line.trim_ascii_end().len();
        for (payload_bytes, too_long) in [(longest, 0), (longest + 1, 1)] {
            let mut lines = Vec::new();
            assert_eq!(write_all(&[job(payload_bytes)], &mut lines).unwrap(), too_long);
            let mut lines = Lines::new(&*lines);
            let Some(Line { text, .. }) = lines.next().unwrap() else { panic!("no line") };
            assert_eq!(usize::from(text.is_err()), too_long);
        }
    }
}
