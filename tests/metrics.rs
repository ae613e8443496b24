//! Promise 10, as metrics: what an engine publishes is what the list and the documentation say, and it is true. A program of its
//! own, as a recorder belongs to the whole process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use reveille::metrics::{ALL, Kind, Metric};
use reveille::{Builder, Engine, Job, QueueConfig};
use testkit::MINUTE;
use testkit::redis::RedisServer;
use testkit::{eventually, ms, nothing};

/// Keeps what it is told: by name, and by name and labels.
#[derive(Clone, Default)]
struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    described: BTreeMap<String, (Kind2, Option<Unit>, String)>,
    registered: BTreeSet<(String, Kind2, BTreeSet<String>)>,
    numbers: BTreeMap<String, Arc<AtomicU64>>,
    histograms: BTreeMap<String, Arc<Values>>,
}

/// [`Kind`] has no order.
type Kind2 = &'static str;

#[derive(Default)]
struct Values(Mutex<Vec<f64>>);

impl HistogramFn for Values {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl Book {
    fn describe(&self, name: &KeyName, kind: Kind2, unit: Option<Unit>, help: &str) {
        let said = (kind, unit, help.to_owned());
        self.0.lock().unwrap().described.insert(name.as_str().to_owned(), said);
    }

    fn register(&self, key: &Key, kind: Kind2) -> String {
        let labels = key.labels().map(|label| label.key().to_owned()).collect();
        self.0.lock().unwrap().registered.insert((key.name().to_owned(), kind, labels));
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        format!("{}{{{}}}", key.name(), labels.join(","))
    }

    fn number(&self, key: &Key, kind: Kind2) -> Arc<AtomicU64> {
        let series = self.register(key, kind);
        Arc::clone(self.0.lock().unwrap().numbers.entry(series).or_default())
    }

    fn counter(&self, series: &str) -> u64 {
        let pages = self.0.lock().unwrap();
        pages.numbers.get(series).unwrap_or_else(|| panic!("there is no {series}")).load(SeqCst)
    }

    fn gauge(&self, series: &str) -> f64 {
        f64::from_bits(self.counter(series))
    }

    fn values(&self, series: &str) -> Vec<f64> {
        self.0.lock().unwrap().histograms[series].0.lock().unwrap().clone()
    }
}

impl Recorder for Book {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, "counter", unit, &help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, "gauge", unit, &help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(&name, "histogram", unit, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.number(key, "counter"))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.number(key, "gauge"))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let series = self.register(key, "histogram");
        Histogram::from_arc(Arc::clone(self.0.lock().unwrap().histograms.entry(series).or_default()))
    }
}

fn kind(metric: &Metric) -> Kind2 {
    match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        _ => panic!("a kind that this test does not know"),
    }
}

/// The table of `docs/metrics.md`.
fn table() -> String {
    let mut table = "| metric | kind | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for metric in ALL {
        let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels, help) = (metric.name, kind(metric), labels.join(", "), metric.help);
        table += &format!("| `{name}` | {kind} | {labels} | {help} |\n");
    }
    table
}

/// `REVEILLE_WRITE_DOCS=1 cargo test --test metrics` writes the table anew.
#[test]
fn the_documentation_lists_the_metrics_that_there_are() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = text.find("| metric |").expect("a table");
    let length = text[begin..].find("\n\n").map_or(text.len() - begin, |end| end + 1);
    if std::env::var_os("REVEILLE_WRITE_DOCS").is_some() {
        let text = format!("{}{}{}", &text[..begin], table(), &text[begin + length..]);
        std::fs::write(path, text).unwrap();
        return;
    }
    assert_eq!(
        text[begin..begin + length],
        table(),
        "docs/metrics.md is not what `reveille::metrics::ALL` says"
    );
}

fn builder(server: &RedisServer) -> Builder {
    Engine::builder().name("shop").partitions(2).pool(64).store(Arc::new(server.store()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promise_10_what_an_engine_publishes_is_listed_described_and_true() {
    let book = Book::default();
    metrics::set_global_recorder(book.clone()).unwrap_or_else(|_| panic!("there is another recorder"));
    let server = RedisServer::start(&[]);
    let engine = builder(&server)
        .queue("works", |_: Job| tokio::time::sleep(ms(20)))
        .queue("fails", |_: Job| async { Err::<(), _>("no") })
        .queue("panics", |_: Job| async {
            if true {
                panic!("on purpose")
            }
        })
        .queue(QueueConfig::new("waits").paused(), nothing)
        .jobs_max(1_000)
        .start()
        .await
        .unwrap();

    // All are there from the start, those of what has not happened too.
    let ours = |name: &str| format!("{name}{{engine=shop}}");
    let of = |name: &str, queue: &str| format!("{name}{{engine=shop,queue={queue}}}");
    assert_eq!(
        book.gauge(&ours("reveille_is_owner")),
        1.0,
        "it is the owner before it has ever lost anything"
    );
    assert_eq!(book.counter("reveille_store_errors_total{engine=shop,class=fenced}"), 0);
    check_list(&book);

    for queue in ["works", "fails", "panics", "waits"] {
        engine.schedule_raw(queue, "").key(queue).after(ms(1)).await.unwrap().scheduled().unwrap();
    }
    engine.schedule_raw("works", "").key("far").after(MINUTE).await.unwrap().scheduled().unwrap();
    engine.schedule_raw("works", "").key("gone").after(MINUTE).await.unwrap().scheduled().unwrap();
    engine.reschedule("far", 2 * MINUTE).await.unwrap().rescheduled().unwrap();
    engine.cancel("gone").await.unwrap().cancelled().unwrap();
    engine.snapshot().await.unwrap();
    // By the engine's own thread: nobody asks.
    let is_told = || {
        book.counter(&of("reveille_jobs_succeeded_total", "works")) == 1
            && book.counter(&of("reveille_jobs_failed_total", "panics")) == 1
            && book.counter(&of("reveille_jobs_failed_total", "fails")) == 1
    };
    eventually("the ends are told", is_told).await;
    eventually("the oldest has waited", || book.gauge(&of("reveille_oldest_ready_seconds", "waits")) > 1.0)
        .await;

    assert_eq!(book.counter(&of("reveille_jobs_fired_total", "panics")), 1);
    assert_eq!(book.counter(&of("reveille_jobs_panicked_total", "panics")), 1);
    assert_eq!(book.counter(&of("reveille_jobs_panicked_total", "fails")), 0);
    assert_eq!(book.gauge(&of("reveille_jobs_ready", "waits")), 1.0);
    assert_eq!(book.gauge(&of("reveille_queue_paused", "waits")), 1.0);
    assert_eq!(book.gauge(&of("reveille_jobs_running", "works")), 0.0);
    assert_eq!(book.gauge(&ours("reveille_jobs_pending")), 2.0);
    assert_eq!(book.gauge(&ours("reveille_jobs_limit")), 1_000.0);
    assert_eq!(book.counter(&ours("reveille_jobs_scheduled_total")), 6);
    assert_eq!(book.counter(&ours("reveille_jobs_rescheduled_total")), 1);
    assert_eq!(book.counter(&ours("reveille_jobs_cancelled_total")), 1);
    assert_eq!(book.counter(&ours("reveille_snapshots_total")), 2);
    assert!(book.counter(&ours("reveille_driver_wakes_total")) > 0);
    assert_eq!(book.gauge("reveille_store_state{engine=shop,state=healthy}"), 1.0);
    assert_eq!(book.gauge("reveille_store_state{engine=shop,state=unreachable}"), 0.0);
    let lease_left_s = book.gauge(&ours("reveille_lease_left_seconds"));
    assert!((0.1..=10.0).contains(&lease_left_s), "{lease_left_s}");
    let lateness_s = book.values(&of("reveille_job_lateness_seconds", "works"));
    assert!(lateness_s.len() == 1 && lateness_s[0] < 30.0, "{lateness_s:?}");
    let duration_s = book.values(&of("reveille_handler_duration_seconds", "works"));
    assert!(duration_s.len() == 1 && (0.02..30.0).contains(&duration_s[0]), "{duration_s:?}");
    assert!(book.values(&ours("reveille_commit_delay_seconds")).iter().all(|&delay_s| delay_s > 0.0));
    assert!(!book.values(&ours("reveille_commit_delay_seconds")).is_empty());

    engine.shutdown(MINUTE).await;
    assert_eq!(book.gauge(&ours("reveille_is_owner")), 0.0, "it has given them back");
    assert_eq!(book.gauge(&ours("reveille_log_waiting_records")), 0.0);
    drop(engine);

    // The next engine of the process adds to what the first has counted.
    let engine = builder(&server).queue("works", nothing).start().await.unwrap();
    engine.schedule_raw("works", "").key("again").after(ms(1)).await.unwrap().scheduled().unwrap();
    eventually("it is added", || {
        engine.stats();
        book.counter(&of("reveille_jobs_succeeded_total", "works")) == 2
    })
    .await;
    assert_eq!(book.counter(&ours("reveille_jobs_scheduled_total")), 7);
    engine.shutdown(MINUTE).await;
}

/// What has been registered and described is the list, no more and no less.
fn check_list(book: &Book) {
    let pages = book.0.lock().unwrap();
    let listed: BTreeSet<_> = ALL
        .iter()
        .map(|metric| {
            let labels = metric.labels.iter().chain(&["engine"]).map(ToString::to_string).collect();
            (metric.name.to_owned(), kind(metric), labels)
        })
        .collect();
    assert_eq!(pages.registered, listed);
    let described: BTreeMap<_, _> = ALL
        .iter()
        .map(|metric| {
            let unit = match metric.unit {
                "seconds" => Unit::Seconds,
                "bytes" => Unit::Bytes,
                "" => Unit::Count,
                other => panic!("{other} is no unit"),
            };
            (metric.name.to_owned(), (kind(metric), Some(unit), metric.help.to_owned()))
        })
        .collect();
    assert_eq!(pages.described, described);
}
