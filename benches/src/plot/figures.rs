//! What was measured, as far as it is drawn.

use serde::Deserialize;

/// As `peers` prints it.
#[derive(Debug, Deserialize)]
pub(crate) struct Peers {
    figures: Vec<Figure>,
}

#[derive(Debug, Deserialize)]
struct Figure {
    group: String,
    operation: String,
    subject: String,
    value: f64,
}

impl Peers {
    /// An operation of a subject: how many are pending, and what it takes. `kind` is how the group begins, `spread` how it
    /// ends, if it has one.
    pub(crate) fn by_size(
        &self,
        kind: &str,
        spread: &str,
        subject: &str,
        operation: &str,
    ) -> Vec<(f64, f64)> {
        let point = |figure: &Figure| {
            let (of, rest) = figure.group.split_once('/')?;
            let (size, of_spread) = rest.split_once('/').unwrap_or((rest, ""));
            let is_it = of == kind && of_spread == spread && figure.subject == subject;
            (is_it && figure.operation == operation).then_some((pending(size)?, figure.value))
        };
        let mut points: Vec<_> = self.figures.iter().filter_map(point).collect();
        points.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        points
    }
}

/// Such as `10k`.
fn pending(size: &str) -> Option<f64> {
    let (digits, unit) = match size.strip_suffix('k') {
        Some(digits) => (digits, 1e3),
        None => size.strip_suffix('M').map_or((size, 1.0), |digits| (digits, 1e6)),
    };
    digits.parse().ok().map(|number: f64| number * unit)
}

/// As `reveille bench lateness` prints it.
#[derive(Debug, Deserialize)]
pub(crate) struct Lateness {
    pub(crate) jobs: u32,
    pub(crate) every_ms: u32,
    pub(crate) floors: Vec<Row>,
    pub(crate) engine: Vec<Row>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Percentiles, and microseconds.
    pub(crate) curve: Vec<(f64, f64)>,
}
