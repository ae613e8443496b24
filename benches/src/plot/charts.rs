//! Which charts there are.

use crate::figures::{Lateness, Peers};
use crate::svg::{Axis, Chart, Panel, Series, Style};

/// Subjects as the benchmark names them, ours first. Colours that people with any colour vision can tell apart (Okabe and
/// Ito).
const TIMERS: [(&str, Style); 6] = [
    ("reveille", Style::strong("#d55e00")),
    ("DelayQueue", Style::strong("#0072b2")),
    ("nexus-timer", Style::thin("#009e73")),
    ("hash_wheel_timer", Style::thin("#cc79a7")),
    ("BTreeMap", Style::thin("#b8860b")),
    ("BinaryHeap", Style::thin("#56b4e9")),
];

pub(crate) fn wheel(peers: &Peers, note: &str) -> Chart {
    let operations =
        ["insert", "reschedule", "cancel + insert", "drain", "burst on one tick", "timeouts churn"];
    let panels = operations.map(|operation| {
        let series = TIMERS.map(|(subject, style)| Series {
            name: subject.into(),
            points: peers.by_size("wheel", "day", subject, operation),
            style,
        });
        Panel { title: operation.into(), series: series.into() }
    });
    Chart {
        title: "One operation on a timer, by how many are pending".into(),
        note: format!("Deadlines within a day; drain and burst: per timer that fires. {note}"),
        x: pending_axis(),
        y_label: "ns an operation".into(),
        panels: panels.into(),
    }
}

pub(crate) fn engine(peers: &Peers, note: &str) -> Chart {
    const BASELINE: &str = "Mutex<HashMap + DelayQueue>";
    let panels = ["schedule", "reschedule", "cancel"].map(|operation| {
        let series = |subject: &str, color: &'static str| {
            let two = format!("{operation}, two threads");
            let of = |operation: &str| peers.by_size("keyed", "afresh", subject, operation);
            [
                Series { name: subject.into(), points: of(operation), style: Style::strong(color) },
                Series {
                    name: format!("{subject}, two threads"),
                    points: of(&two),
                    style: Style::dashed(color),
                },
            ]
        };
        let series = [series("reveille", "#d55e00"), series(BASELINE, "#0072b2")].into_iter().flatten();
        Panel { title: operation.into(), series: series.collect() }
    });
    Chart {
        title: "One call by key, by how many jobs are pending".into(),
        note: format!(
            "Jobs drawn at random. Two threads: the time of both together. In memory, nothing fires. {note}"
        ),
        x: pending_axis(),
        y_label: "ns a call".into(),
        panels: panels.into(),
    }
}

pub(crate) fn lateness(lateness: &Lateness, note: &str) -> Chart {
    let floors = ["#333333", "#6b6b6b", "#999999"].into_iter().map(Style::dashed);
    let engine = ["#0072b2", "#56b4e9", "#d55e00", "#e69f00", "#009e73", "#66c2a5"];
    let engine = engine.into_iter().enumerate().map(|(number, color)| match number % 2 {
        0 => Style::strong(color),
        _ => Style::thin(color),
    });
    let rows = lateness.floors.iter().zip(floors).chain(lateness.engine.iter().zip(engine));
    let series = rows.map(|(row, style)| Series {
        name: row.name.clone(),
        points: row.curve.iter().filter(|point| point.0 >= 50.0).map(|&(at, us)| (rarity(at), us)).collect(),
        style,
    });
    let ticks = [50.0, 90.0, 99.0, 99.9, 99.99].map(|at| (rarity(at), format!("{at} %")));
    Chart {
        title: "How late a job fires".into(),
        note: format!("{} jobs, {} ms apart; dashed: bare sleeps. {note}", lateness.jobs, lateness.every_ms),
        x: Axis { label: "share of the jobs that are no later".into(), ticks: ticks.into() },
        y_label: "late by, µs".into(),
        panels: vec![Panel { title: String::new(), series: series.collect() }],
    }
}

/// One in so many is later: as far apart on a logarithmic axis as people take them to be.
fn rarity(percentile: f64) -> f64 {
    1.0 / (1.0 - percentile / 100.0)
}

fn pending_axis() -> Axis {
    let ticks = [(1e3, "1 k"), (1e4, "10 k"), (1e5, "100 k"), (1e6, "1 M"), (1e7, "10 M")];
    Axis { label: "pending".into(), ticks: ticks.map(|(at, text)| (at, text.to_owned())).into() }
}
