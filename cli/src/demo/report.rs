//! The result: a table and a drawn histogram, or one JSON object.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use reveille::Timestamp;
use serde::Serialize;

use super::ledger::{Book, Started, Verdict};
use crate::figures::grouped;

/// The report of the morning. Serialised as it is for `--json`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    scheduled: u64,
    rescheduled: u64,
    cancelled: u64,
    fired: u64,
    early: u64,
    lost: u64,
    fired_after_cancel: u64,
    fired_twice: u64,
    /// Those of them that should not have.
    fired_twice_wrongly: u64,
    spread_late_us: Percentiles,
    burst: Burst,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Kept>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crash: Option<Crash>,
    #[serde(skip)]
    drawn: Drawn,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Percentiles {
    p50: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

#[derive(Debug, Serialize)]
struct Burst {
    jobs: u64,
    last_start_us: u64,
}

/// What the report says about the store.
#[derive(Debug, Serialize)]
pub(super) struct Kept {
    /// Schedules that it has confirmed, and how long it took until the last was.
    acknowledged: u64,
    acknowledging_us: u64,
    /// How long the store took to confirm a change, by batch; since the restart, if there was one.
    commit_delay_us: Percentiles,
    /// Jobs that it still held at the end.
    pending_at_end: u64,
}

/// The kill, and what came after it.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Crash {
    /// When it came, after the first sale.
    at_ms: u64,
    /// Jobs that had fired by then, and that had not.
    fired_before: u64,
    pending_before: u64,
    /// The jobs that the second life began with, and how long its engine took to start with them.
    restored: u64,
    restored_ms: f64,
    /// From the kill to that start.
    down_ms: f64,
    /// Jobs that were due meanwhile, and how late they fired.
    due_meanwhile: u64,
    due_meanwhile_late_us: Percentiles,
    #[serde(skip)]
    killed: Timestamp,
}

/// Figures that only the table shows.
#[derive(Debug)]
struct Drawn {
    scheduling_us: u64,
    spread: Histogram<u64>,
    burst: Histogram<u64>,
}

impl Kept {
    /// With so many jobs that the store still has.
    pub(super) fn of(book: &Book, pending: usize) -> Self {
        let [p50, p99, p999, max] = book.commit_delay_us;
        Kept {
            acknowledged: book.counts.acknowledged,
            acknowledging_us: book.counts.acknowledging_us,
            commit_delay_us: Percentiles { p50, p99, p999, max },
            pending_at_end: pending as u64,
        }
    }

    fn row(&self) -> (&'static str, u64, String) {
        let seconds = self.acknowledging_us as f64 / 1e6;
        let rate = (self.acknowledged as f64 / seconds) as u64;
        ("acknowledged", self.acknowledged, format!("in {seconds:.2} s, {} a second", grouped(rate)))
    }
}

impl Crash {
    /// A kill at an instant, with all that the process had told by then in the book.
    pub(super) fn at(killed: Timestamp, book: &Book) -> Self {
        let begin = Timestamp::from_micros(book.begin_us().unwrap_or_default());
        Crash {
            at_ms: u64::try_from(killed.since(begin).as_millis()).unwrap_or(u64::MAX),
            fired_before: book.counts.fired,
            pending_before: book.pending(),
            restored: 0,
            restored_ms: 0.0,
            down_ms: 0.0,
            due_meanwhile: 0,
            due_meanwhile_late_us: Percentiles::default(),
            killed,
        }
    }

    /// An engine has started on what was left.
    pub(super) fn restored(&mut self, started: Started) {
        let ms = |time: Duration| (time.as_secs_f64() * 1e4).round() / 10.0;
        self.restored = started.jobs.into();
        self.restored_ms = ms(Duration::from_micros(started.took_us));
        self.down_ms = ms(started.at.since(self.killed));
    }

    fn judged(self, verdict: &Verdict) -> Self {
        let late_us = Percentiles::of(&verdict.overdue);
        Crash { due_meanwhile: verdict.overdue.len(), due_meanwhile_late_us: late_us, ..self }
    }

    pub(super) fn restore(&self) -> String {
        let Crash { restored, restored_ms, down_ms, .. } = *self;
        format!(
            "started again: {} jobs restored in {restored_ms} ms, {down_ms} ms after the kill",
            grouped(restored)
        )
    }

    fn rows(&self) -> [(&'static str, u64, String); 2] {
        let Crash { at_ms, fired_before, restored, restored_ms, down_ms, .. } = *self;
        let killed =
            format!("{:.2} s after the first sale; {} had fired", at_ms as f64 / 1e3, grouped(fired_before));
        let back = format!("in {restored_ms} ms, {down_ms} ms after the kill");
        [("killed", 1, killed), ("restored", restored, back)]
    }
}

/// As it is told when it happens.
impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if cfg!(unix) { "kill -9" } else { "killed" };
        let Crash { at_ms, fired_before, pending_before, .. } = *self;
        let [fired, pending] = [fired_before, pending_before].map(grouped);
        write!(
            f,
            "{how}, {:.2} s after the first sale: {fired} jobs have fired, {pending} are pending",
            at_ms as f64 / 1e3
        )
    }
}

impl Report {
    pub(super) fn of(book: &Book, store: Option<Kept>, crash: Option<Crash>) -> Self {
        let verdict = book.verdict();
        let (counts, crash) = (book.counts, crash.map(|crash| crash.judged(&verdict)));
        let Verdict {
            early, lost, fired_after_cancel, fired_twice, fired_twice_wrongly, spread, burst, ..
        } = verdict;
        Report {
            scheduled: counts.scheduled,
            rescheduled: counts.rescheduled,
            cancelled: counts.cancelled,
            fired: counts.fired,
            early,
            lost,
            fired_after_cancel,
            fired_twice,
            fired_twice_wrongly,
            spread_late_us: Percentiles::of(&spread),
            burst: Burst { jobs: burst.len(), last_start_us: burst.max() },
            store,
            crash,
            drawn: Drawn { scheduling_us: counts.scheduling_us, spread, burst },
        }
    }

    /// The first promise that did not hold.
    pub(super) fn broken_promise(&self) -> Option<String> {
        let promises = [
            (self.early, "fired before their due time"),
            (self.lost, "were neither fired nor cancelled"),
            (self.fired_after_cancel, "fired after they were cancelled"),
            (self.fired_twice_wrongly, "fired twice although nothing had cut them short"),
            (self.store.as_ref().map_or(0, |store| store.pending_at_end), "are still pending in the store"),
        ];
        let (jobs, what) = promises.into_iter().find(|&(jobs, _)| jobs > 0)?;
        Some(format!("{jobs} jobs {what}"))
    }

    pub(super) fn write_json(&self, mut out: impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)
    }

    pub(super) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        let seconds = self.drawn.scheduling_us as f64 / 1e6;
        let rate = (self.scheduled as f64 / seconds) as u64;
        let crash = if self.crash.is_some() { ", its process killed in the middle" } else { "" };
        writeln!(out, "\nA ticket-sale morning{crash}\n")?;
        let mut rows =
            vec![("scheduled", self.scheduled, format!("in {seconds:.2} s, {} a second", grouped(rate)))];
        rows.extend(self.store.as_ref().map(Kept::row));
        rows.extend([
            ("rescheduled", self.rescheduled, "by key, while others fired".into()),
            ("cancelled", self.cancelled, "by key, while others fired".into()),
        ]);
        rows.extend(self.crash.iter().flat_map(Crash::rows));
        rows.extend([
            ("fired", self.fired, String::new()),
            ("fired early", self.early, String::new()),
            ("lost", self.lost, String::new()),
            ("fired after cancel", self.fired_after_cancel, String::new()),
            ("fired twice", self.fired_twice, self.why_twice().into()),
        ]);
        for (name, jobs, note) in rows {
            writeln!(out, "{}", format!("  {name:<20} {:>12}   {note}", grouped(jobs)).trim_end())?;
        }
        writeln!(out, "\n  {:<28} {:>9} {:>9} {:>9} {:>9}", "how late, in µs", "p50", "p99", "p99.9", "max")?;
        let spread = format!("{} spread over 9 s", grouped(self.drawn.spread.len()));
        write_percentiles(&mut out, &spread, self.spread_late_us)?;
        let burst = format!("{} at one instant", grouped(self.burst.jobs));
        write_percentiles(&mut out, &burst, Percentiles::of(&self.drawn.burst))?;
        if let Some(crash) = &self.crash {
            let meanwhile = format!("{} due while it was down", grouped(crash.due_meanwhile));
            write_percentiles(&mut out, &meanwhile, crash.due_meanwhile_late_us)?;
        }
        if let Some(store) = &self.store {
            write_percentiles(&mut out, "until the store has a change", store.commit_delay_us)?;
        }
        writeln!(out)?;
        draw(&mut out, &self.drawn.spread, &self.drawn.burst)
    }

    fn why_twice(&self) -> &'static str {
        match (self.fired_twice, self.fired_twice_wrongly) {
            (0, _) => "",
            (_, 0) => "at least once: the store did not know of their end when the kill came",
            _ => "not all of them had been cut short by the kill",
        }
    }
}

fn write_percentiles(out: &mut impl Write, name: &str, late_us: Percentiles) -> io::Result<()> {
    let [p50, p99, p999, max] = [late_us.p50, late_us.p99, late_us.p999, late_us.max].map(grouped);
    writeln!(out, "  {name:<28} {p50:>9} {p99:>9} {p999:>9} {max:>9}")
}

/// Draws how many jobs were how late: steps of 1, 2, 5, 10 and so on, spread jobs and burst beside each other.
fn draw(out: &mut impl Write, spread: &Histogram<u64>, burst: &Histogram<u64>) -> io::Result<()> {
    const WIDTH: f64 = 30.0;
    let max = spread.max().max(burst.max());
    let bounds: Vec<u64> =
        steps().take_while(|&bound| bound <= max).chain(steps().find(|&bound| bound > max)).collect();
    let count = |of: &Histogram<u64>, n: usize| {
        let from = n.checked_sub(1).map_or(0, |below| bounds[below]);
        of.count_between(from, bounds[n] - 1)
    };
    let rows = 0..bounds.len();
    let most = |of: &Histogram<u64>| rows.clone().map(|n| count(of, n)).max().unwrap_or(0).max(1) as f64;
    let (most_spread, most_burst) = (most(spread), most(burst));
    writeln!(out, "  {:<14} {:<41} burst", "late by", "spread")?;
    for n in rows.clone().skip_while(|&n| count(spread, n) + count(burst, n) == 0) {
        let bar = |jobs: u64, most: f64| "█".repeat((jobs as f64 / most * WIDTH).ceil() as usize);
        let (in_spread, in_burst) = (count(spread, n), count(burst, n));
        let left = format!("{} {}", bar(in_spread, most_spread), shown(in_spread));
        let right = format!("{} {}", bar(in_burst, most_burst), shown(in_burst));
        let row = format!("  under {:<8} {left:<41} {right}", duration(bounds[n]));
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

fn shown(jobs: u64) -> String {
    if jobs == 0 { String::new() } else { grouped(jobs) }
}

fn steps() -> impl Iterator<Item = u64> {
    (0..12).flat_map(|power| [1, 2, 5].map(|step| step * 10u64.pow(power)))
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

impl Percentiles {
    fn of(late_us: &Histogram<u64>) -> Self {
        let at = |quantile| late_us.value_at_quantile(quantile);
        Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: late_us.max() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::histogram;
    use super::*;

    #[test]
    fn every_job_is_drawn_once() {
        let (mut spread, mut burst) = (histogram(), histogram());
        for us in [0, 1, 2, 9, 10, 11, 999, 1_000, 77_777] {
            spread.record(us).unwrap();
        }
        burst.record(5).unwrap();
        let mut out = Vec::new();
        draw(&mut out, &spread, &burst).unwrap();
        let text = String::from_utf8(out).unwrap();
        // The count follows its bar.
        let words: Vec<_> = text.split_whitespace().collect();
        let counts = words.windows(2).filter(|pair| pair[0].contains('█')).map(|pair| pair[1]);
        assert_eq!(counts.map(|count| count.parse::<u64>().unwrap()).sum::<u64>(), 10, "{text}");
        assert!(text.contains("under 100 ms"), "{text}");
        assert!(!text.contains("under 200 ms"), "{text}");
    }
}
