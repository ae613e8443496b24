//! `reveille inspect`: what a store holds of a namespace, by partition. Takes no lease and changes nothing.

use std::io::{self, Write};
use std::process::ExitCode;

use reveille::store::{PartitionReport, ReplicaReport};
use serde::Serialize;

use crate::figures::{about, grouped};
use crate::store::{Found, Named, StoreArgs, about_replica};
use crate::{complain, exit};

/// The arguments of `reveille inspect`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("store", |store| store.required(true)))]
pub(crate) struct Args {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,

    /// Also count the pending jobs of each queue, which reads all of them. The store does not know which queues a process
    /// has handlers for
    #[arg(long)]
    queues: bool,

    #[command(flatten)]
    place: StoreArgs,
}

/// Tells what there is.
pub(crate) fn execute(args: Args) -> ExitCode {
    exit::status(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    let named = args.place.needed(None)?;
    let found = named.look().await?;
    let mut report = Report::of(&named.namespace, &found);
    if args.queues {
        report.queues = Some(count_queues(&named).await?);
    }
    let written = if args.json { report.write_json(io::stdout()) } else { report.write_table(io::stdout()) };
    Ok(match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("the report cannot be written: {error}"));
            ExitCode::FAILURE
        }
    })
}

/// The report. Serialised as it is for `--json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    namespace: &'a str,
    /// `None` if the server is a master.
    replica: Option<Replica<'a>>,
    /// How many the namespace was made with.
    partitions_made: u16,
    /// The partitions that were ever owned.
    partitions: Vec<Row<'a>>,
    total: Totals,
    /// Pending jobs by queue, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    queues: Option<Vec<QueueRow>>,
}

#[derive(Debug, Serialize)]
struct QueueRow {
    queue: String,
    jobs: u64,
    /// How many of them are overdue.
    overdue: u64,
}

#[derive(Debug, Serialize)]
struct Replica<'a> {
    master: &'a str,
    link_up: bool,
    heard_s_ago: Option<u64>,
    down_for_s: Option<u64>,
    #[serde(skip)]
    about: String,
}

#[derive(Debug, Serialize)]
struct Row<'a> {
    partition: u16,
    /// The owner, or the last one.
    owner: &'a str,
    epoch: u64,
    /// `None` if it has run out, or was given back. `u64::MAX` if it lasts until the owner ends, as on disk.
    lease_left_ms: Option<u64>,
    /// `None` if there is none.
    snapshot: Option<Snapshot>,
    log_records: u64,
    log_entries: u64,
    /// In the memory of a Redis, or on disk. `None` if Redis does not tell.
    bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Snapshot {
    jobs: u64,
    fired: u64,
    age_ms: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Totals {
    snapshot_jobs: u64,
    log_records: u64,
    log_entries: u64,
    bytes: Option<u64>,
}

impl<'a> Report<'a> {
    fn of(namespace: &'a str, found: &'a Found) -> Self {
        let partitions: Vec<Row<'_>> = found.reports.iter().map(Row::of).collect();
        let sum = |field: fn(&Row<'_>) -> u64| partitions.iter().map(field).sum();
        let total = Totals {
            snapshot_jobs: sum(|row| row.snapshot.map_or(0, |snapshot| snapshot.jobs)),
            log_records: sum(|row| row.log_records),
            log_entries: sum(|row| row.log_entries),
            bytes: partitions.iter().map(|row| row.bytes).sum(),
        };
        let replica = found.replica.as_ref().map(Replica::of);
        let partitions_made = found.partitions.unwrap_or(0);
        Report { namespace, replica, partitions_made, partitions, total, queues: None }
    }

    fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)
    }

    fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        if let Some(replica) = &self.replica {
            writeln!(out, "{}\n", replica.about)?;
        }
        if self.partitions.is_empty() {
            return writeln!(out, "namespace {:?} is empty", self.namespace);
        }
        let mut table = vec![HEAD.map(str::to_owned)];
        table.extend(self.partitions.iter().map(Row::cells));
        table.push(self.total.cells());
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        writeln!(out, "namespace {:?}, made with {} partitions\n", self.namespace, self.partitions_made)?;
        for row in &table {
            // The owner comes last, aligned left: names can have any length.
            let (owner, figures) =
                row.split_last().map_or(("", &row[..]), |(owner, rest)| (owner.as_str(), rest));
            let figures: Vec<String> =
                figures.iter().zip(widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
            writeln!(out, "{}", format!("  {}   {owner}", figures.join("  ")).trim_end())?;
        }
        self.write_queues(out)
    }

    fn write_queues(&self, mut out: impl Write) -> io::Result<()> {
        let Some(queues) = &self.queues else { return Ok(()) };
        writeln!(out, "\n  {:>13}  {:>13}   queue", "jobs", "overdue")?;
        for QueueRow { queue, jobs, overdue } in queues {
            // A queue's name may be any text.
            writeln!(out, "  {:>13}  {:>13}   {}", grouped(*jobs), grouped(*overdue), queue.escape_debug())?;
        }
        Ok(())
    }
}

/// In the order of their names.
async fn count_queues(named: &Named) -> Result<Vec<QueueRow>, String> {
    let queues = named.left().await?.queues.into_iter();
    Ok(queues.map(|of| QueueRow { queue: of.queue, jobs: of.pending, overdue: of.overdue }).collect())
}

impl<'a> Replica<'a> {
    fn of(report: &'a ReplicaReport) -> Self {
        Replica {
            master: &report.master,
            link_up: report.is_link_up,
            heard_s_ago: report.heard_before.map(|time| time.as_secs()),
            down_for_s: report.down_for.map(|time| time.as_secs()),
            about: about_replica(report),
        }
    }
}

const COLUMNS: usize = 9;

const HEAD: [&str; COLUMNS] = [
    "partition",
    "epoch",
    "lease left",
    "snapshot jobs",
    "snapshot age",
    "log records",
    "log entries",
    "bytes",
    "owner",
];

impl<'a> Row<'a> {
    fn of(report: &'a PartitionReport) -> Self {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Row {
            partition: report.partition.0,
            owner: report.owner.owner.as_str(),
            epoch: report.owner.epoch,
            lease_left_ms: report.owner.lease_left.map(ms),
            snapshot: report.snapshot.map(|snapshot| Snapshot {
                jobs: snapshot.jobs,
                fired: snapshot.fired,
                age_ms: ms(snapshot.age),
                bytes: snapshot.bytes,
            }),
            log_records: report.log_records,
            log_entries: report.log_entries,
            bytes: report.memory_bytes,
        }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let time = |ms: u64| match ms {
            u64::MAX => "a lock".to_owned(),
            ms => about(std::time::Duration::from_millis(ms)),
        };
        [
            self.partition.to_string(),
            self.epoch.to_string(),
            self.lease_left_ms.map_or_else(none, time),
            self.snapshot.map_or_else(none, |snapshot| grouped(snapshot.jobs)),
            self.snapshot.map_or_else(none, |snapshot| time(snapshot.age_ms)),
            grouped(self.log_records),
            grouped(self.log_entries),
            self.bytes.map_or_else(none, grouped),
            // An owner whose lease has ended is no longer the owner.
            if self.lease_left_ms.is_some() { self.owner.to_owned() } else { format!("({})", self.owner) },
        ]
    }
}

impl Totals {
    fn cells(&self) -> [String; COLUMNS] {
        [
            "total".to_owned(),
            String::new(),
            String::new(),
            grouped(self.snapshot_jobs),
            String::new(),
            grouped(self.log_records),
            grouped(self.log_entries),
            self.bytes.map_or_else(none, grouped),
            String::new(),
        ]
    }
}

fn none() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(partition: u16, bytes: Option<u64>) -> Row<'static> {
        Row {
            partition,
            owner: "host:7:abc",
            epoch: 1_796_094_000_000,
            lease_left_ms: (partition == 0).then_some(8_200),
            snapshot: (partition == 0).then_some(Snapshot {
                jobs: 12_345,
                fired: 1,
                age_ms: 180_000,
                bytes: 9,
            }),
            log_records: 77,
            log_entries: 3,
            bytes,
        }
    }

    fn table(partitions: Vec<Row<'_>>) -> String {
        let total = Totals { snapshot_jobs: 12_345, log_records: 154, log_entries: 6, bytes: None };
        let mut out = Vec::new();
        Report { namespace: "shop", replica: None, partitions_made: 8, partitions, total, queues: None }
            .write_table(&mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_has_a_line_a_partition() {
        let table = table(vec![row(0, Some(1_000_000)), row(1, None)]);
        let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines.len(), 6, "{table}");
        assert_eq!(
            lines[3],
            ["0", "1796094000000", "8.2", "s", "12,345", "3", "min", "77", "3", "1,000,000", "host:7:abc"]
        );
        assert_eq!(lines[4], ["1", "1796094000000", "-", "-", "-", "77", "3", "-", "(host:7:abc)"]);
        assert_eq!(lines[5], ["total", "12,345", "154", "6", "-"]);
    }

    #[test]
    fn an_empty_namespace_has_one_line() {
        assert_eq!(table(Vec::new()), "namespace \"shop\" is empty\n");
    }
}
