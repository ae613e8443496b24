//! The dashboard and the alert rules name what there is: each expression is parsed as PromQL, and every metric and label in it is held
//! against `reveille::metrics`, as `metrics-exporter-prometheus` renders them.

use std::collections::BTreeSet;
use std::path::Path;

use promql_parser::label::Matchers;
use promql_parser::parser::{self, Expr, LabelModifier, VectorSelector};
use reveille::metrics::{ALL, Kind, Metric};
use serde_json::Value;

/// Labels that all metrics may have: the engine's name, and what Prometheus adds.
const COMMON: [&str; 3] = ["engine", "job", "instance"];

/// Functions of how a counter grows.
const GROWTH: [&str; 3] = ["rate", "irate", "increase"];

/// Aggregations whose results are some of the series that go in.
const KEEPING: [&str; 2] = ["topk", "bottomk"];

/// What is wrong with an expression, and what it names.
#[derive(Default)]
struct Findings {
    complaints: Vec<String>,
    metrics: BTreeSet<&'static str>,
    labels: BTreeSet<String>,
}

impl Findings {
    fn of(expression: &str) -> Self {
        let mut findings = Findings::default();
        // Grafana's variables stand for a time here, and for a text elsewhere.
        let expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1h");
        match parser::parse(&expression) {
            Ok(parsed) => findings.read(&parsed, None),
            Err(error) => findings.complain(format!("it is no PromQL: {error}")),
        }
        findings
    }

    fn complain(&mut self, complaint: impl Into<String>) {
        self.complaints.push(complaint.into());
    }

    /// `function` is the one that the expression is an argument of.
    fn read(&mut self, expression: &Expr, function: Option<&str>) {
        match expression {
            Expr::VectorSelector(selector) => self.select(selector, function),
            Expr::MatrixSelector(selector) => self.select(&selector.vs, function),
            Expr::Call(call) => {
                call.args.args.iter().for_each(|argument| self.read(argument, Some(call.func.name)));
            }
            Expr::Aggregate(aggregate) => {
                self.read(&aggregate.expr, None);
                aggregate.param.iter().for_each(|param| self.read(param, None));
                let keeps_all = KEEPING.contains(&aggregate.op.to_string().as_str());
                if aggregate.modifier.is_none() && !keeps_all {
                    self.labels.clear();
                }
                self.group(aggregate.modifier.as_ref());
            }
            Expr::Binary(binary) => {
                self.read(&binary.lhs, None);
                let left = std::mem::take(&mut self.labels);
                self.read(&binary.rhs, None);
                self.labels.extend(left);
                self.group(binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref()));
            }
            Expr::Paren(paren) => self.read(&paren.expr, function),
            Expr::Unary(unary) => self.read(&unary.expr, None),
            Expr::Subquery(query) => self.read(&query.expr, None),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) => {}
            other => self.complain(format!("this test does not know {other:?}")),
        }
    }

    fn select(&mut self, selector: &VectorSelector, function: Option<&str>) {
        let Some(name) = &selector.name else { return self.complain("a selector names no metric") };
        let Some((metric, part)) = find(name) else {
            return self.complain(format!("there is no metric {name}"));
        };
        self.metrics.insert(metric.name);
        let grows = metric.kind != Kind::Gauge;
        if grows != function.is_some_and(|function| GROWTH.contains(&function)) {
            self.complain(format!(
                "{name} is a {:?}: rate and increase are for what grows, and only that",
                metric.kind
            ));
        }
        let mut labels: BTreeSet<_> = metric.labels.iter().chain(&COMMON).copied().collect();
        if part == "_bucket" {
            labels.insert("le");
        }
        self.labels.extend(labels.iter().map(ToString::to_string));
        self.matches(metric, &labels, &selector.matchers);
    }

    fn matches(&mut self, metric: &Metric, labels: &BTreeSet<&str>, matchers: &Matchers) {
        for matcher in matchers.matchers.iter().chain(matchers.or_matchers.iter().flatten()) {
            let (label, value) = (matcher.name.as_str(), matcher.value.as_str());
            if !labels.contains(label) {
                self.complain(format!("{} has no label {label}", metric.name));
            }
            // Those of a fixed set are listed where the metric is described.
            let is_fixed = matches!(label, "state" | "class");
            if is_fixed && !metric.help.split([' ', ',', ':']).any(|word| word == value) {
                self.complain(format!("{label} of {} is never {value:?}", metric.name));
            }
        }
    }

    fn group(&mut self, modifier: Option<&LabelModifier>) {
        let Some(modifier) = modifier else { return };
        let (LabelModifier::Include(labels) | LabelModifier::Exclude(labels)) = modifier;
        for label in &labels.labels {
            self.use_label(label, "it groups by");
        }
        // What it keeps is all that is left to name afterwards.
        if let LabelModifier::Include(kept) = modifier {
            self.labels = kept.labels.iter().cloned().collect();
        }
    }

    fn use_label(&mut self, label: &str, what: &str) {
        if !self.labels.contains(label) {
            self.complain(format!("{what} {label}, which is no label of its metrics"));
        }
    }
}

/// The metric that a series belongs to, and which part of a histogram it is.
fn find(series: &str) -> Option<(&'static Metric, &str)> {
    ALL.iter().find_map(|metric| {
        let part = series.strip_prefix(metric.name)?;
        let is_part = match metric.kind {
            Kind::Histogram => matches!(part, "_bucket" | "_sum" | "_count"),
            _ => part.is_empty(),
        };
        is_part.then_some((metric, part))
    })
}

/// Labels that a template names: `{{ $labels.queue }}` in alerts, `{{queue}}` in legends.
fn template_labels(text: &str) -> Vec<String> {
    let holes = text.split("{{").skip(1).filter_map(|rest| rest.split_once("}}"));
    let words = holes.flat_map(|(hole, _)| hole.split('|').next().map(str::trim));
    words
        .filter(|word| *word != "$value")
        .map(|word| word.strip_prefix("$labels.").unwrap_or(word).to_owned())
        .collect()
}

/// What is wrong with an alert rule.
fn judge_alert(rule: &Value) -> Findings {
    let mut findings = Findings::of(rule["expr"].as_str().unwrap_or_default());
    for note in ["summary", "description"] {
        match rule["annotations"][note].as_str() {
            Some(text) if !text.is_empty() => {
                for label in template_labels(text) {
                    findings.use_label(&label, "a template names");
                }
            }
            _ => findings.complain(format!("it has no {note}")),
        }
    }
    if !matches!(rule["labels"]["severity"].as_str(), Some("page" | "ticket")) {
        findings.complain("its severity is neither page nor ticket");
    }
    findings
}

/// What is wrong with a query of a panel.
fn judge_target(target: &Value) -> Findings {
    let mut findings = Findings::of(target["expr"].as_str().unwrap_or_default());
    for label in template_labels(target["legendFormat"].as_str().unwrap_or_default()) {
        findings.use_label(&label, "its legend names");
    }
    findings
}

/// What is wrong with the query of a variable: `label_values(metric, label)`.
fn judge_variable(variable: &Value) -> Findings {
    let query = variable["query"]["query"].as_str().unwrap_or_default();
    let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
    let Some((metric, label)) = inside.and_then(|inside| inside.split_once(", ")) else {
        let mut findings = Findings::default();
        findings.complain(format!("{query:?} is not understood"));
        return findings;
    };
    let mut findings = Findings::of(metric);
    findings.use_label(label, "it asks for");
    findings
}

fn document(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn all(found: &[(String, Findings)]) -> (Vec<String>, BTreeSet<&'static str>) {
    let complaints = found
        .iter()
        .flat_map(|(where_, findings)| findings.complaints.iter().map(move |it| format!("{where_}: {it}")));
    let metrics = found.iter().flat_map(|(_, findings)| findings.metrics.iter().copied());
    (complaints.collect(), metrics.collect())
}

#[test]
fn the_alert_rules_name_what_there_is() {
    let rules: Value = serde_norway::from_str(&document("alerts.yml")).unwrap();
    let groups = rules["groups"].as_array().unwrap();
    let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    let name = |rule: &Value| rule["alert"].as_str().unwrap_or_default().to_owned();
    let found: Vec<_> = rules.iter().map(|rule| (name(rule), judge_alert(rule))).collect();
    let (complaints, metrics) = all(&found);
    assert_eq!(complaints, [""; 0]);
    let names: BTreeSet<_> = rules.iter().map(|rule| name(rule)).collect();
    assert_eq!(names.len(), rules.len(), "two have one name");
    // What an operator has to be told of, whatever else there is.
    for metric in [
        "reveille_job_lateness_seconds",
        "reveille_oldest_ready_seconds",
        "reveille_jobs_ready",
        "reveille_store_state",
        "reveille_lease_left_seconds",
        "reveille_is_owner",
        "reveille_jobs_dead",
        "reveille_queue_paused",
        "reveille_store_incidents_total",
        "reveille_jobs_limit",
    ] {
        assert!(metrics.contains(metric), "no alert looks at {metric}");
    }
}

#[test]
fn the_dashboard_names_what_there_is_and_shows_all_of_it() {
    let dashboard: Value = serde_json::from_str(&document("grafana/reveille.json")).unwrap();
    let mut found = Vec::new();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = panel["title"].as_str().unwrap().to_owned();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels have the id of {title}");
        let targets = panel["targets"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(!targets.is_empty() || panel["type"] == "row", "{title} shows nothing");
        found.extend(targets.iter().map(|target| (title.clone(), judge_target(target))));
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let queries = variables.iter().filter(|variable| variable["type"] == "query");
    found.extend(queries.map(|variable| (variable["name"].to_string(), judge_variable(variable))));
    let (complaints, metrics) = all(&found);
    assert_eq!(complaints, [""; 0]);
    assert_eq!(metrics, ALL.iter().map(|metric| metric.name).collect(), "what is not shown is not looked at");
}

/// The judges themselves, with things to find.
#[test]
fn what_does_not_exist_is_found() {
    let complaints = |expression: &str| Findings::of(expression).complaints;
    let clean = [
        "reveille_jobs_ready{queue=\"q\",job=\"j\"} > 1 and reveille_queue_paused == 0",
        "histogram_quantile(0.9, sum by (le) (rate(reveille_job_lateness_seconds_bucket{queue=~\"$queue\"}[$__rate_interval])))",
        "sum by (class) (increase(reveille_store_errors_total{class!=\"retry\"}[5m]))",
        "reveille_jobs_pending / on (engine) reveille_jobs_limit",
    ];
    for expression in clean {
        assert_eq!(complaints(expression), [""; 0], "{expression}");
    }
    let wrong = [
        ("reveille_jobs_redy > 1", "there is no metric reveille_jobs_redy"),
        ("rate(reveille_job_lateness_seconds[5m])", "there is no metric reveille_job_lateness_seconds"),
        ("reveille_jobs_ready_bucket", "there is no metric reveille_jobs_ready_bucket"),
        ("reveille_jobs_ready{que=\"q\"}", "reveille_jobs_ready has no label que"),
        ("reveille_jobs_pending{queue=\"q\"}", "reveille_jobs_pending has no label queue"),
        ("reveille_jobs_ready{le=\"1\"}", "reveille_jobs_ready has no label le"),
        ("reveille_store_state{state=\"fine\"}", "state of reveille_store_state is never \"fine\""),
        ("sum by (queue) (reveille_jobs_pending)", "it groups by queue, which is no label of its metrics"),
        ("reveille_jobs_pending / on (queue) reveille_jobs_limit", "it groups by queue, which is no label"),
        ("sum by (le) (sum by (queue) (reveille_jobs_ready))", "it groups by le, which is no label"),
        ("reveille_jobs_fired_total > 5", "reveille_jobs_fired_total is a Counter"),
        ("rate(reveille_jobs_ready[5m])", "reveille_jobs_ready is a Gauge"),
        ("rat(reveille_jobs_fired_total[5m])", "it is no PromQL"),
        ("sum by (queue (reveille_jobs_ready)", "it is no PromQL"),
        ("", "it is no PromQL"),
        ("{queue=\"q\"}", "a selector names no metric"),
    ];
    for (expression, complaint) in wrong {
        let found = complaints(expression);
        assert!(found.iter().any(|found| found.starts_with(complaint)), "{expression}: {found:?}");
    }

    let alert = |rule: &str| judge_alert(&serde_norway::from_str(rule).unwrap()).complaints;
    let rule = "{expr: 'reveille_jobs_dead > 1', labels: {severity: loud}, annotations: {summary: 'of {{ $labels.queue }}, {{ $value }}'}}";
    let expected = [
        "a template names queue, which is no label of its metrics",
        "it has no description",
        "its severity is neither page nor ticket",
    ];
    assert_eq!(alert(rule), expected);
    let target = serde_json::json!({"expr": "sum(reveille_jobs_ready)", "legendFormat": "{{queue}}"});
    assert_eq!(
        judge_target(&target).complaints,
        ["its legend names queue, which is no label of its metrics"]
    );
    let variable = serde_json::json!({"query": {"query": "label_values(reveille_jobs_pending, queue)"}});
    assert_eq!(judge_variable(&variable).complaints, ["it asks for queue, which is no label of its metrics"]);
}
