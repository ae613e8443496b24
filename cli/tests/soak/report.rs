//! What a run comes to, as a table.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::children::Round;
use crate::faults::Tally;
use crate::ledger::Ledger;
use crate::resources::{Compared, Sample};

#[derive(Default)]
pub(crate) struct Report {
    seed: u64,
    pub(crate) minutes: f64,
    pub(crate) faults: Tally,
    pub(crate) kills: Tally,
    pub(crate) samples: Vec<Sample>,
    pub(crate) compared: Option<Compared>,
    pub(crate) compared_jobs: usize,
    pub(crate) restored_jobs: usize,
    pub(crate) lost: usize,
    pub(crate) broken: Vec<String>,
    programs: Round,
    /// The longest.
    recovery: Recovery,
}

/// How long after a storm jobs were on time again, and all was well.
#[derive(Clone, Copy, Default)]
pub(crate) struct Recovery {
    pub(crate) on_time_us: u64,
    pub(crate) healthy_us: u64,
}

impl Report {
    pub(crate) fn begin(seed: u64) -> Self {
        Report { seed, ..Report::default() }
    }

    /// What a storm has come to.
    pub(crate) fn adds(&mut self, round: Round, recovery: Recovery) {
        self.recovery.on_time_us = self.recovery.on_time_us.max(recovery.on_time_us);
        self.recovery.healthy_us = self.recovery.healthy_us.max(recovery.healthy_us);
        self.programs.acknowledged += round.acknowledged;
        self.programs.fired += round.fired;
        self.programs.fired_again += round.fired_again;
    }

    pub(crate) fn table(&self, ledger: &Ledger) -> String {
        let counts = &ledger.counts;
        let is = |count: &AtomicU64| count.load(Relaxed);
        let mut table = String::new();
        let mut row = |what: &str, value: String| {
            let _ = writeln!(table, "{what:<28}{value}");
        };
        row("seed", self.seed.to_string());
        row("minutes, storms", format!("{:.1}, {}", self.minutes, self.samples.len()));
        let (calls, acknowledged, unconfirmed) =
            (is(&counts.calls), is(&counts.acknowledged), is(&counts.unconfirmed));
        row("calls", format!("{calls}, {acknowledged} acknowledged, {unconfirmed} unconfirmed in time"));
        row(
            "of these",
            format!(
                "{} moved, {} cancelled, {} refused",
                is(&counts.moved),
                is(&counts.cancelled),
                is(&counts.refused)
            ),
        );
        row("fired", is(&counts.started).to_string());
        row(
            "compared with Redis",
            format!("{} jobs; {} restored at the end", self.compared_jobs, self.restored_jobs),
        );
        let Round { acknowledged, fired, fired_again } = self.programs;
        row("programs", format!("{acknowledged} acknowledged, {fired} fired, {fired_again} of them again"));
        for (name, count) in self.kills.iter().chain(&self.faults) {
            row(name, count.to_string());
        }
        let Recovery { on_time_us, healthy_us } = self.recovery;
        let recovery =
            format!("on time {} ms, well {} ms after a storm", on_time_us / 1_000, healthy_us / 1_000);
        row("longest recovery", recovery);
        row("latest without a fault", format!("{:.1} ms", ledger.late_us_max() as f64 / 1e3));
        if let Some(compared) = &self.compared {
            let Compared { first, last, memory_kib, heap_kib, redis_kib, .. } = compared;
            row("memory, KiB", format!("{} -> {}", memory_kib.0, memory_kib.1));
            row("of that allocated, KiB", format!("{} -> {}", heap_kib.0, heap_kib.1));
            row("descriptors", format!("{} -> {}", first.descriptors, last.descriptors));
            row("threads", format!("{} -> {}", first.threads, last.threads));
            row("memory of Redis, KiB", format!("{} -> {}", redis_kib.0, redis_kib.1));
            row("entries in its logs, most", compared.log_entries_most.to_string());
            row("keys in it, most", compared.redis_keys_most.to_string());
        }
        row("lost", self.lost.to_string());
        row("broken", self.broken.len().to_string());
        table
    }
}
