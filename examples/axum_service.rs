//! A web service that schedules from a request: orders that expire unless they are paid in time.
//!
//! ```sh
//! cargo run --example axum_service -- 3000    # any free port without it; ctrl-c ends it
//! curl -X POST localhost:3000/orders/7 -H 'content-type: application/json' -d '{"expires_in_ms": 60000}'
//! curl localhost:3000/orders/7
//! curl -X PATCH localhost:3000/orders/7 -H 'content-type: application/json' -d '{"expires_in_ms": 5000}'
//! curl -X DELETE localhost:3000/orders/7
//!
//! cargo run --example axum_service -- --demo  # makes such requests itself, and ends
//!
//! REVEILLE_STORE=redis://127.0.0.1:6379 cargo run --example axum_service -- 3001    # orders outlive the process
//! curl -i localhost:3001/ready                # 200 once the engine runs; 503 before, with what it waits for
//! ```
//!
//! The port is bound before the engine runs: as a second replica on the same Redis it waits until the first ends, and says
//! so in the meantime. The start is the state of the router: it is cheap to clone, and has the engine once there is one.

use std::net::SocketAddr;
use std::time::Duration;
use std::{env, io};

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use reveille::store::{RedisConfig, RedisStore};
use reveille::{
    BoxError, CallError, CancelError, CancelOutcome, Engine, InvalidKey, Job, Key, LookupOutcome, Refusal,
    RescheduleError, RescheduleOutcome, ScheduleError, ScheduleOutcome, StartPhase, Startup, Task, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Serialize, Deserialize)]
struct ExpireOrder {
    order: String,
}

impl Task for ExpireOrder {
    const NAME: &'static str = "expire_order";
    type Output = Result<(), BoxError>;

    async fn run(self, job: Job) -> Result<(), BoxError> {
        println!("order {} has expired ({:?} late)", self.order, job.lateness());
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let argument = env::args().nth(1);
    let is_demo = argument.as_deref() == Some("--demo");
    let port = argument.filter(|_| !is_demo).map_or(Ok(0), |port| port.parse())?;

    let mut builder = Engine::builder().task::<ExpireOrder>();
    if let Ok(address) = env::var("REVEILLE_STORE") {
        builder = builder.store(RedisStore::new(RedisConfig::new(address)?.namespace("orders")?));
    }
    // The port first: who asks meanwhile is told that the service is not ready.
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    println!("listening on http://{address}");
    let startup = builder.start_in_background()?;

    let starts = startup.clone();
    let until_stopped = async move {
        // A start that has failed ends the service; there is nothing to be ready for.
        let ended = match starts.ready().await {
            Err(error) => Err(io::Error::other(error)),
            Ok(_) if is_demo => demo(address).await,
            Ok(_) => std::future::pending().await,
        };
        ended.unwrap_or_else(|error| eprintln!("{error}"));
    };
    let until_stopped = async move {
        tokio::select! {
            () = until_stopped => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    };
    axum::serve(listener, router(startup.clone())).with_graceful_shutdown(until_stopped).await?;

    // The requests have been answered. Now the handlers may end; an order that is still pending would need a store.
    let Some(engine) = startup.engine() else { return Err("stopped before it was ready".into()) };
    let report = engine.shutdown(Duration::from_secs(5)).await;
    println!("stopped; {} pending orders are lost", report.pending_lost);
    Ok(())
}

fn router(startup: Startup) -> Router {
    let order = post(create).get(show).put(put_off).patch(put_off).delete(settle);
    Router::new().route("/orders/{id}", order).route("/ready", get(ready)).with_state(startup)
}

/// For whoever sends the requests here: a load balancer, say.
async fn ready(State(startup): State<Startup>) -> Result<&'static str, Problem> {
    Running::of(&startup).map(|_| "ready")
}

/// The engine, for a request that needs one.
struct Running(Engine);

impl Running {
    fn of(startup: &Startup) -> Result<Self, Problem> {
        startup.engine().map(Running).ok_or_else(|| {
            let waits_for = match startup.phase() {
                StartPhase::Standby(standby) => {
                    format!("another replica serves the orders: {}", standby.owner)
                }
                StartPhase::Restoring(progress) => format!("restoring: {} jobs read so far", progress.jobs),
                _ => "starting".into(),
            };
            Problem { retry_after_s: Some(1), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, waits_for) }
        })
    }
}

impl FromRequestParts<Startup> for Running {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, startup: &Startup) -> Result<Self, Problem> {
        Running::of(startup)
    }
}

/// What a client says of an order.
#[derive(Deserialize)]
struct Terms {
    expires_in_ms: u64,
}

impl Terms {
    fn delay(&self) -> Duration {
        Duration::from_millis(self.expires_in_ms)
    }
}

/// The order's own name is the job's key: there is no job id to keep in the order's row.
fn key(order: &str) -> String {
    format!("order:{order}")
}

async fn create(
    Running(engine): Running,
    Path(order): Path<String>,
    Json(terms): Json<Terms>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let key = key(&order);
    match engine.schedule(ExpireOrder { order }).key(&key).after(terms.delay()).await? {
        ScheduleOutcome::Scheduled { .. } => Ok((StatusCode::CREATED, Json(json!({ "order": key })))),
        _ => Err(Problem::new(StatusCode::CONFLICT, "there is such an order already")),
    }
}

async fn show(Running(engine): Running, Path(order): Path<String>) -> Result<Json<Value>, Problem> {
    // To look up what cannot be a key finds nothing; whoever wants to know why makes the key first.
    match engine.lookup(&Key::new(key(&order))?) {
        LookupOutcome::Scheduled(job) => {
            Ok(Json(json!({ "order": job.key.as_str(), "expires_at": rfc3339(job.due)? })))
        }
        LookupOutcome::Running(_) => Err(Problem::expiring()),
        LookupOutcome::AlreadyFired { at, .. } => Err(Problem::expired(at)),
        _ => Err(Problem::unknown()),
    }
}

async fn put_off(
    Running(engine): Running,
    Path(order): Path<String>,
    Json(terms): Json<Terms>,
) -> Result<Json<Value>, Problem> {
    match engine.reschedule(key(&order), terms.delay()).await? {
        RescheduleOutcome::Rescheduled { was, .. } => Ok(Json(json!({ "put_off_from": rfc3339(was)? }))),
        RescheduleOutcome::Running | RescheduleOutcome::Changed { .. } => Err(Problem::expiring()),
        RescheduleOutcome::AlreadyFired { at, .. } => Err(Problem::expired(at)),
        RescheduleOutcome::Dead { at, .. } => Err(Problem::expired(at)),
        RescheduleOutcome::NotFound => Err(Problem::unknown()),
    }
}

async fn settle(Running(engine): Running, Path(order): Path<String>) -> Result<StatusCode, Problem> {
    match engine.cancel(key(&order)).await? {
        CancelOutcome::Cancelled => Ok(StatusCode::NO_CONTENT),
        CancelOutcome::Running | CancelOutcome::Changed { .. } => Err(Problem::expiring()),
        CancelOutcome::AlreadyFired { at, .. } => Err(Problem::expired(at)),
        CancelOutcome::Dead { at, .. } => Err(Problem::expired(at)),
        CancelOutcome::NotFound => Err(Problem::unknown()),
    }
}

fn rfc3339(instant: Timestamp) -> Result<String, Problem> {
    match jiff::Timestamp::from_microsecond(instant.as_micros()) {
        Ok(instant) => Ok(instant.to_string()),
        Err(error) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)),
    }
}

/// An answer that is not what the client hoped for.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    message: String,
    retry_after_s: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, message: impl ToString) -> Problem {
        Problem { status, message: message.to_string(), retry_after_s: None }
    }

    fn unknown() -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "there is no such order")
    }

    fn expiring() -> Problem {
        Problem::new(StatusCode::CONFLICT, "the order is about to expire")
    }

    fn expired(at: Timestamp) -> Problem {
        match rfc3339(at) {
            Ok(at) => Problem::new(StatusCode::CONFLICT, format!("the order expired at {at}")),
            Err(problem) => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after_s.map(|seconds| [(header::RETRY_AFTER, seconds.to_string())]);
        let answer = (self.status, Json(json!({ "error": self.message })));
        match retry_after {
            Some(headers) => (headers, answer).into_response(),
            None => answer.into_response(),
        }
    }
}

/// The engine's errors say what to do about them, so their text goes to the client as it is. What is left to decide is
/// whose fault each of them is.
impl From<InvalidKey> for Problem {
    fn from(error: InvalidKey) -> Self {
        Problem::new(StatusCode::BAD_REQUEST, error)
    }
}

impl From<Refusal> for Problem {
    fn from(error: Refusal) -> Self {
        let status = match error {
            Refusal::PastHorizon { .. } => StatusCode::BAD_REQUEST,
            Refusal::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Problem::new(status, error)
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::InvalidKey(error) => error.into(),
            ScheduleError::Refused(error) => error.into(),
            ScheduleError::Call(error) => error.into(),
            ScheduleError::Full { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error),
            other => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, other),
        }
    }
}

impl From<RescheduleError> for Problem {
    fn from(error: RescheduleError) -> Self {
        match error {
            RescheduleError::InvalidKey(error) => error.into(),
            RescheduleError::Refused(error) => error.into(),
            RescheduleError::Call(error) => error.into(),
            other => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, other),
        }
    }
}

impl From<CancelError> for Problem {
    fn from(error: CancelError) -> Self {
        match error {
            CancelError::InvalidKey(error) => error.into(),
            CancelError::Call(error) => error.into(),
            other => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, other),
        }
    }
}

/// Some clients' requests, one after another.
async fn demo(address: SocketAddr) -> io::Result<()> {
    request(address, "POST", "/orders/1", r#"{"expires_in_ms": 60000}"#).await?;
    request(address, "POST", "/orders/1", r#"{"expires_in_ms": 60000}"#).await?;
    request(address, "GET", "/orders/1", "").await?;
    request(address, "PATCH", "/orders/1", r#"{"expires_in_ms": 200}"#).await?;
    request(address, "POST", "/orders/2", r#"{"expires_in_ms": 200}"#).await?;
    request(address, "DELETE", "/orders/2", "").await?;
    tokio::time::sleep(Duration::from_millis(400)).await;
    request(address, "GET", "/orders/1", "").await?;
    request(address, "DELETE", "/orders/2", "").await?;
    let long = format!("/orders/{}", "x".repeat(600));
    request(address, "DELETE", &long, "").await
}

/// One request in plain HTTP/1.1, and its answer printed: a client is not what this example is about.
async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<()> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;

    let (head, json) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    println!("{method:>6} {path:.12} {body} -> {status} {json}");
    Ok(())
}
