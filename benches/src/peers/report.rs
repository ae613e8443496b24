//! What was measured: one table, subjects beside each other, each against the same baseline; or the same as JSON.

use std::fmt::Write;

use serde::Serialize;

/// Figures, in the order in which they were measured.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

#[derive(Clone, Serialize)]
struct Figure {
    /// Such as `wheel/10M/day`.
    group: String,
    #[serde(skip)]
    title: String,
    operation: &'static str,
    subject: &'static str,
    value: f64,
    unit: Unit,
    /// The subject that the others of the group are compared with.
    baseline: &'static str,
    /// How many times better than the baseline; `None` if that was not measured.
    times_better: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    Ns,
    Us,
    Bytes,
}

/// Figures that belong together: a part of the table.
pub(crate) struct Group<'a> {
    report: &'a mut Report,
    name: String,
    title: String,
    baseline: &'static str,
}

impl Report {
    pub(crate) fn group(&mut self, name: String, title: String, baseline: &'static str) -> Group<'_> {
        Group { report: self, name, title, baseline }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    pub(crate) fn json(&self) -> String {
        let whole = Report { figures: self.compared() };
        serde_json::to_string(&whole).expect("text and numbers") + "\n"
    }

    /// With how they compare: the baseline is not the first to be measured.
    fn compared(&self) -> Vec<Figure> {
        let compared = self.figures.iter().map(|figure| {
            let baseline = self.find(&figure.group, figure.baseline, figure.operation);
            Figure { times_better: baseline.map(|baseline| baseline.value / figure.value), ..figure.clone() }
        });
        compared.collect()
    }

    fn find(&self, group: &str, subject: &str, operation: &str) -> Option<&Figure> {
        let is_it = |it: &&Figure| it.group == group && it.subject == subject && it.operation == operation;
        self.figures.iter().find(is_it)
    }

    pub(crate) fn table(&self) -> String {
        let figures = self.compared();
        let mut parts = Vec::new();
        for group in in_order(figures.iter().map(|figure| figure.group.as_str())) {
            let of_group: Vec<_> = figures.iter().filter(|figure| figure.group == group).collect();
            parts.push(part(&of_group));
        }
        let columns = parts.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = parts.iter().flatten().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut table = "\nTime of one operation, of one fire where all are fired; memory of one. \
             In brackets: how many times better than the peer in the second column.\n"
            .to_owned();
        for part in &parts {
            table.push('\n');
            for row in part {
                let cells =
                    row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                        0 => format!("{cell:<width$}"),
                        _ => format!("{cell:>width$}"),
                    });
                let _ = writeln!(table, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
            }
        }
        table
    }
}

/// A group as rows: its title and the subjects, then a row an operation.
fn part(figures: &[&Figure]) -> Vec<Vec<String>> {
    let Some(first) = figures.first() else { return Vec::new() };
    let subjects: Vec<_> = in_order(figures.iter().map(|figure| figure.subject)).collect();
    let header = std::iter::once(first.title.clone()).chain(subjects.iter().map(ToString::to_string));
    let mut rows = vec![header.collect()];
    for operation in in_order(figures.iter().map(|figure| figure.operation)) {
        let cells = subjects.iter().map(|&subject| {
            let is_it = |it: &&&Figure| it.subject == subject && it.operation == operation;
            figures.iter().find(is_it).map_or("-".into(), |figure| cell(figure))
        });
        rows.push(std::iter::once(format!("  {operation}")).chain(cells).collect());
    }
    rows
}

fn cell(figure: &Figure) -> String {
    let value = about(figure.value);
    let unit = match figure.unit {
        Unit::Ns => "ns",
        Unit::Us => "µs",
        Unit::Bytes => "B",
    };
    match figure.times_better {
        Some(times) if figure.subject != figure.baseline => format!("{value} {unit} ({times:.1}x)"),
        _ => format!("{value} {unit}"),
    }
}

/// To about three digits.
fn about(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Each item once, where it first comes.
fn in_order<T: PartialEq + Copy>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen.into_iter()
}

impl Group<'_> {
    pub(crate) fn figure_name(&self, subject: &str, operation: &str) -> String {
        format!("{}/{subject}/{operation}", self.name)
    }

    /// Takes a figure, and says so at once: the whole takes a while.
    pub(crate) fn add(&mut self, subject: &'static str, operation: &'static str, unit: Unit, value: f64) {
        let (group, title, baseline) = (self.name.clone(), self.title.clone(), self.baseline);
        let figure = Figure { group, title, operation, subject, value, unit, baseline, times_better: None };
        eprintln!("{}  {}", self.figure_name(subject, operation), cell(&figure));
        self.report.figures.push(figure);
    }
}
