//! A subscriber that keeps what is logged, for tests of what is said. It belongs to the whole process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// What was said once. As a text it is level, message, and `name=value` of each field.
#[derive(Clone, Debug)]
pub struct Line {
    /// How loudly.
    pub level: Level,
    /// From where.
    pub target: String,
    /// The words.
    pub message: String,
    /// The rest, by name.
    pub fields: BTreeMap<String, String>,
    /// The spans around it, the innermost first: name, target, fields.
    pub spans: Vec<(String, String, BTreeMap<String, String>)>,
}

impl Line {
    /// The value of a field that has to be there.
    #[track_caller]
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).unwrap_or_else(|| panic!("{self:?} has no {name}"))
    }

    /// Whether its text has all of these words.
    pub fn has(&self, words: &[&str]) -> bool {
        let text = self.to_string();
        words.iter().all(|word| text.contains(word))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.level, self.message)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// All that this process has logged. Tests of one program share it: each looks for lines of its own.
#[derive(Clone, Default, Debug)]
pub struct Logs(Arc<Mutex<Vec<Line>>>);

impl Logs {
    /// Keeps everything that the process logs, from the first call on.
    ///
    /// # Panics
    /// When another subscriber has been installed.
    pub fn listen() -> &'static Self {
        static LOGS: OnceLock<Logs> = OnceLock::new();
        LOGS.get_or_init(|| {
            let logs = Logs::default();
            let subscriber = tracing_subscriber::registry().with(logs.clone());
            tracing::subscriber::set_global_default(subscriber).expect("the only one");
            logs
        })
    }

    /// What was said so far with all of these words, in the message or in a field.
    pub fn with(&self, words: &[&str]) -> Vec<Line> {
        self.0.lock().unwrap().iter().filter(|line| line.has(words)).cloned().collect()
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Line> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Logs {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).expect("it is new").extensions_mut().insert(fields);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut spans = Vec::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let its = span.extensions().get::<Fields>().map(|fields| fields.0.clone()).unwrap_or_default();
            spans.push((span.name().to_owned(), span.metadata().target().to_owned(), its));
        }
        let message = fields.0.remove("message").unwrap_or_default();
        let (level, target) = (*event.metadata().level(), event.metadata().target().to_owned());
        self.0.lock().unwrap().push(Line { level, target, message, fields: fields.0, spans });
    }
}
