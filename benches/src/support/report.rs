//! The table that a benchmark ends with: subjects beside each other, each against the same baseline.

use std::fmt::Write;
use std::time::Duration;

use super::sizes::{self, Size};

/// Collects figures by size, subject and column.
pub(crate) struct Report {
    title: &'static str,
    /// The subject that the others are compared with.
    baseline: &'static str,
    columns: Vec<&'static str>,
    figures: Vec<Figure>,
}

struct Figure {
    size: Size,
    subject: &'static str,
    column: &'static str,
    value: f64,
}

impl Report {
    /// What is in no column is not shown; the columns come in the order given.
    pub(crate) fn new(title: &'static str, baseline: &'static str, columns: &[&'static str]) -> Report {
        Report { title, baseline, columns: columns.to_vec(), figures: Vec::new() }
    }

    pub(crate) fn add(
        &mut self,
        size: Size,
        subject: &'static str,
        column: &'static str,
        value: Option<f64>,
    ) {
        debug_assert!(self.columns.contains(&column), "no column {column}");
        self.figures.extend(value.map(|value| Figure { size, subject, column, value }));
    }

    /// Prints a table a size, in Markdown. Nothing if nothing was measured.
    pub(crate) fn print(&self) {
        if sizes::is_only_tested() {
            return;
        }
        for size in in_order(self.figures.iter().map(|figure| figure.size)) {
            println!("\n{size} pending: {} (how many times better than {})", self.title, self.baseline);
            let mut rows = vec![self.header()];
            let subjects = self.figures.iter().filter(|figure| figure.size == size);
            rows.extend(
                in_order(subjects.map(|figure| figure.subject)).map(|subject| self.row(size, subject)),
            );
            print!("{}", aligned(&rows));
        }
    }

    fn header(&self) -> Vec<String> {
        let names = self.columns.iter().map(ToString::to_string);
        std::iter::once(String::new()).chain(names).collect()
    }

    fn row(&self, size: Size, subject: &'static str) -> Vec<String> {
        let cells = self.columns.iter().map(|column| {
            let Some(value) = self.find(size, subject, column) else { return "-".into() };
            match self.find(size, self.baseline, column) {
                Some(baseline) if subject != self.baseline => {
                    format!("{} ({:.2}x)", figure(value), baseline / value)
                }
                _ => figure(value),
            }
        });
        std::iter::once(subject.to_owned()).chain(cells).collect()
    }

    fn find(&self, size: Size, subject: &str, column: &str) -> Option<f64> {
        let is_it = |it: &&Figure| it.size == size && it.subject == subject && it.column == column;
        self.figures.iter().find(is_it).map(|figure| figure.value)
    }
}

/// Every figure to about three digits.
fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Each item once, where it first comes.
fn in_order<T: PartialEq>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen.into_iter()
}

/// The rows as a table in Markdown whose columns line up.
fn aligned(rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut table = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, &width) in row.iter().zip(&widths) {
            let _ = write!(table, "| {cell:<width$} ");
        }
        table.push_str("|\n");
        if number == 0 {
            for &width in &widths {
                let _ = write!(table, "| {:-<width$} ", "");
            }
            table.push_str("|\n");
        }
    }
    table
}

/// The samples of one benchmark, as criterion takes them: the figure for the table comes from the same measurements.
#[derive(Default)]
pub(crate) struct Samples(Vec<(u64, Duration)>);

impl Samples {
    pub(crate) fn push(&mut self, iterations: u64, elapsed: Duration) {
        self.0.push((iterations, elapsed));
    }

    /// The median, in nanoseconds an iteration; `None` if the benchmark was not selected.
    pub(crate) fn median_ns(&self) -> Option<f64> {
        // Criterion warms up with one iteration, then two, then four; its samples all have as many as the last.
        let &(iterations, _) = self.0.last()?;
        let mut sampled: Vec<f64> = self
            .0
            .iter()
            .filter(|(count, _)| *count == iterations)
            .map(|(_, elapsed)| elapsed.as_nanos() as f64 / iterations as f64)
            .collect();
        sampled.sort_by(f64::total_cmp);
        Some(sampled[sampled.len() / 2])
    }
}
