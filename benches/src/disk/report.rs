//! What was measured, as a table: figures are rows, ways are columns, the bare disk is the first.

use std::fmt;

/// What nothing but the disk takes.
pub(crate) const BARE: &str = "bare";

/// In the order in which they were named.
type Named<T> = Vec<(&'static str, T)>;

#[derive(Default)]
pub(crate) struct Report {
    rows: Named<Named<Vec<f64>>>,
}

impl Report {
    /// A measurement of a round. Figures are shown in the order in which they were first told.
    pub(crate) fn add(&mut self, figure: &'static str, way: &'static str, value: f64) {
        let row = filed(&mut self.rows, figure);
        let cell = filed(row, way);
        cell.push(value);
        eprintln!("  {figure}: {way} {}", rounded(value));
    }

    fn ways(&self) -> Vec<&'static str> {
        let mut ways = Vec::new();
        for (way, _) in self.rows.iter().flat_map(|(_, cells)| cells) {
            if !ways.contains(way) {
                ways.push(*way);
            }
        }
        ways.sort_by_key(|way| *way != BARE);
        ways
    }
}

/// What is filed under a name, nothing at first.
fn filed<'a, T: Default>(all: &'a mut Named<T>, name: &'static str) -> &'a mut T {
    let at = all.iter().position(|(it, _)| *it == name).unwrap_or_else(|| {
        all.push((name, T::default()));
        all.len() - 1
    });
    &mut all[at].1
}

fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Three digits.
fn rounded(value: f64) -> String {
    let decimals = if value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.decimals$}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = self.ways();
        write!(f, "| {:<48} |", "")?;
        ways.iter().try_for_each(|way| write!(f, " {way:>12} |"))?;
        write!(f, "\n| {:-<48} |", "")?;
        ways.iter().try_for_each(|_| write!(f, " {:->11}: |", ""))?;
        writeln!(f)?;
        for (figure, cells) in &self.rows {
            write!(f, "| {figure:<48} |")?;
            for way in &ways {
                let cell = cells.iter().find(|(it, _)| it == way);
                let value = cell.and_then(|(_, values)| median(values));
                write!(f, " {:>12} |", value.map_or_else(String::new, rounded))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
