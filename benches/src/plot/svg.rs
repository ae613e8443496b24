//! A chart as SVG: lines on logarithmic axes, in one panel or in several with the same scales.

use std::fmt::Write;

pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) note: String,
    pub(crate) x: Axis,
    pub(crate) y_label: String,
    pub(crate) panels: Vec<Panel>,
}

/// The ticks of the horizontal axis, in order: where, and what is written there. The axis ends at the outer ones.
pub(crate) struct Axis {
    pub(crate) label: String,
    pub(crate) ticks: Vec<(f64, String)>,
}

pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
}

pub(crate) struct Series {
    pub(crate) name: String,
    /// Above zero, both.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) style: Style,
}

#[derive(Clone, Copy)]
pub(crate) struct Style {
    color: &'static str,
    width: f64,
    is_dashed: bool,
}

impl Style {
    pub(crate) const fn strong(color: &'static str) -> Style {
        Style { color, width: 2.6, is_dashed: false }
    }

    pub(crate) const fn thin(color: &'static str) -> Style {
        Style { color, width: 1.4, is_dashed: false }
    }

    pub(crate) const fn dashed(color: &'static str) -> Style {
        Style { color, width: 1.8, is_dashed: true }
    }

    fn attributes(&self) -> String {
        let dashes = if self.is_dashed { " stroke-dasharray=\"5 4\"" } else { "" };
        format!("stroke=\"{}\" stroke-width=\"{}\"{dashes}", self.color, self.width)
    }
}

/// Where things are, in pixels.
const WIDTH: f64 = 1000.0;
const MARGIN: f64 = 20.0;
const Y_LABELS: f64 = 56.0;
const LEGEND_ROW: f64 = 20.0;
const PANEL_TITLE: f64 = 26.0;
const X_LABELS: f64 = 46.0;
const FONT: &str = "font-family=\"Helvetica, Arial, DejaVu Sans, sans-serif\"";
const INK: &str = "#222222";
const FAINT: &str = "#5f5f5f";
const GRID: &str = "#dedede";

/// A rectangle with two logarithmic scales.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.left + share(value, self.x) * self.width
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - share(value, self.y)) * self.height
    }

    fn right(&self) -> f64 {
        self.left + self.width
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }
}

fn share(value: f64, (from, to): (f64, f64)) -> f64 {
    (value.ln() - from.ln()) / (to.ln() - from.ln())
}

impl Chart {
    /// `None` if there is nothing to draw.
    pub(crate) fn svg(&self) -> Option<String> {
        let (x, y) = (self.x_range()?, self.y_range()?);
        let is_single = self.panels.len() == 1;
        let columns = self.panels.len().min(3);
        // Room for what is written at the end of each line: in a single panel its name, in several its value.
        let (end_labels, height) = if is_single { (230.0, 420.0) } else { (66.0, 230.0) };
        let legend = self.legend();
        let top = 74.0 + legend.1;
        let pitch = (WIDTH - 2.0 * MARGIN) / columns as f64;
        let rows = self.panels.len().div_ceil(columns);
        let total = top + rows as f64 * (PANEL_TITLE + height + X_LABELS) + MARGIN / 2.0;
        let mut out = String::new();
        let _ = write!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{total:.0}\" viewBox=\"0 0 {WIDTH} {total:.0}\" {FONT}>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        text(&mut out, MARGIN, 34.0, "start", 20.0, INK, &self.title);
        text(&mut out, MARGIN, 56.0, "start", 12.0, FAINT, &self.note);
        out.push_str(&legend.0);
        for (number, panel) in self.panels.iter().enumerate() {
            let (column, row) = (number % columns, number / columns);
            let frame = Frame {
                left: MARGIN + column as f64 * pitch + Y_LABELS,
                top: top + row as f64 * (PANEL_TITLE + height + X_LABELS) + PANEL_TITLE,
                width: pitch - Y_LABELS - end_labels,
                height,
                x,
                y,
            };
            self.axes(&mut out, &frame, panel, column == 0);
            for series in &panel.series {
                line(&mut out, &frame, series);
            }
            end_labels_of(&mut out, &frame, panel, is_single);
        }
        out.push_str("</svg>\n");
        Some(out)
    }

    fn x_range(&self) -> Option<(f64, f64)> {
        Some((self.x.ticks.first()?.0, self.x.ticks.last()?.0))
    }

    /// Whole powers of ten around all values.
    fn y_range(&self) -> Option<(f64, f64)> {
        let series = self.panels.iter().flat_map(|panel| &panel.series);
        let values =
            series.flat_map(|series| &series.points).map(|point| point.1).filter(|value| *value > 0.0);
        let (least, most) =
            values.fold((f64::MAX, 0.0f64), |(least, most), it| (least.min(it), most.max(it)));
        let from = 10f64.powf(least.log10().floor());
        (most > 0.0).then(|| (from, 10f64.powf(most.log10().ceil()).max(from * 10.0)))
    }

    /// The legend, and how high it is. What has no point is not in it.
    fn legend(&self) -> (String, f64) {
        let mut out = String::new();
        let (mut x, mut row) = (MARGIN, 0.0);
        let series = self.panels.first().map_or(&[][..], |panel| &panel.series);
        for series in series.iter().filter(|series| !series.points.is_empty()) {
            let width = 44.0 + 7.4 * series.name.chars().count() as f64;
            if x + width > WIDTH - MARGIN {
                (x, row) = (MARGIN, row + 1.0);
            }
            let y = 78.0 + row * LEGEND_ROW;
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" {}/>",
                x + 22.0,
                series.style.attributes()
            );
            text(&mut out, x + 28.0, y + 4.0, "start", 12.0, INK, &series.name);
            x += width;
        }
        (out, (row + 1.0) * LEGEND_ROW)
    }

    fn axes(&self, out: &mut String, frame: &Frame, panel: &Panel, is_first: bool) {
        text(out, frame.left, frame.top - 10.0, "start", 14.0, INK, &panel.title);
        let mut value = frame.y.0;
        while value <= frame.y.1 * 1.001 {
            let y = frame.y(value);
            let _ = writeln!(
                out,
                "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"{GRID}\"/>",
                frame.left,
                frame.right()
            );
            text(out, frame.left - 6.0, y + 4.0, "end", 11.0, FAINT, &grouped(value));
            value *= 10.0;
        }
        for (value, name) in &self.x.ticks {
            let x = frame.x(*value);
            let _ = writeln!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"{GRID}\"/>",
                frame.top,
                frame.bottom()
            );
            text(out, x, frame.bottom() + 16.0, "middle", 11.0, FAINT, name);
        }
        text(out, frame.left + frame.width / 2.0, frame.bottom() + 34.0, "middle", 12.0, INK, &self.x.label);
        if is_first {
            let (x, y) = (MARGIN + 2.0, frame.top + frame.height / 2.0);
            let _ = writeln!(
                out,
                "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" font-size=\"12\" fill=\"{INK}\">{}</text>",
                escaped(&self.y_label)
            );
        }
    }
}

fn line(out: &mut String, frame: &Frame, series: &Series) {
    let points: Vec<String> =
        series.points.iter().map(|&(x, y)| format!("{:.1},{:.1}", frame.x(x), frame.y(y))).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke-linejoin=\"round\" {}/>",
        points.join(" "),
        series.style.attributes()
    );
    for &(x, y) in &series.points {
        let (x, y, radius) = (frame.x(x), frame.y(y), series.style.width + 0.4);
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{}\"/>",
            series.style.color
        );
    }
}

/// Writes at the end of each line where it ends, moved apart where they would overlap. Of thin lines there would be too
/// many in a small panel.
fn end_labels_of(out: &mut String, frame: &Frame, panel: &Panel, is_single: bool) {
    const APART: f64 = 14.0;
    let mut labels: Vec<(f64, String, Style)> = panel
        .series
        .iter()
        .filter(|series| is_single || series.style.width > 2.0)
        .filter_map(|series| {
            let &(_, value) = series.points.last()?;
            let name = if is_single { format!("{}  {}", figure(value), series.name) } else { figure(value) };
            Some((frame.y(value), name, series.style))
        })
        .collect();
    labels.sort_by(|(a, ..), (b, ..)| a.total_cmp(b));
    for at in 1..labels.len() {
        labels[at].0 = labels[at].0.max(labels[at - 1].0 + APART);
    }
    // What was pushed out below goes up again, and pushes what is above it.
    let mut lowest = frame.bottom();
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(lowest);
        lowest = label.0 - APART;
    }
    let ends = panel.series.iter().filter_map(|series| series.points.last()).map(|&(x, _)| frame.x(x));
    let x = ends.fold(frame.left, f64::max) + 8.0;
    for (y, name, style) in labels {
        let _ = writeln!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" {}/>",
            x + 10.0,
            Style { is_dashed: false, ..style }.attributes()
        );
        text(out, x + 14.0, y + 4.0, "start", 12.0, INK, &name);
    }
}

/// To two digits or so.
fn figure(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.1}"),
        _ => grouped(value.round()),
    }
}

/// With its thousands apart.
fn grouped(value: f64) -> String {
    if value < 1.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, size: f64, color: &str, content: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"{color}\">{}</text>",
        escaped(content)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
