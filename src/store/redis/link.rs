//! A connection that is made on demand, and made anew when it is lost.
//!
//! # Rules
//! - A request is sent once. After its connection is lost its fate is unknown, so the caller decides whether to send it
//!   again; all of our requests may be.
//! - A connection lives on the runtime on which it was made. A caller who finds that it has ended makes it anew: one engine
//!   after another may use a store.
//! - A connection on which an answer did not come in time is given up: the next request would wait behind the one that
//!   did not come.
//! - All callers share one attempt to connect, and its failure. The next attempt waits a little, longer each time. The
//!   attempt is a task of its own, because the first caller may be dropped, or not polled for a while.
//! - Requests of one caller go out in the order in which they are first polled, unless the connection is lost between.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::sync::watch;

use super::config::RedisConfig;
use super::connect::{Connection, Purpose, connect};
use super::errors::{Doing, classify};
use crate::rt;
use crate::store::StoreError;

const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LAST: Duration = Duration::from_millis(250);

/// One connection, or none at the moment.
#[derive(Debug)]
pub(super) struct Link {
    maker: Maker,
    state: Arc<Mutex<State>>,
}

/// What a connection needs.
#[derive(Clone, Debug)]
struct Maker {
    config: Arc<RedisConfig>,
    name: &'static str,
    purpose: Purpose,
    response_timeout: Duration,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Arc<Connection>>,
    /// The attempt under way.
    attempt: Option<watch::Receiver<Option<Made>>>,
    /// Before the next attempt.
    pause: Duration,
}

type Made = Result<Arc<Connection>, StoreError>;

impl Link {
    pub(super) fn new(config: Arc<RedisConfig>, name: &'static str, response_timeout: Duration) -> Self {
        let maker = Maker { config, name, purpose: Purpose::Write, response_timeout };
        Link { maker, state: Arc::default() }
    }

    /// For reading only: a replica will do.
    pub(super) fn for_looking(config: Arc<RedisConfig>) -> Self {
        let response_timeout = config.response_timeout;
        let maker = Maker { config, name: "look", purpose: Purpose::Look, response_timeout };
        Link { maker, state: Arc::default() }
    }

    /// Drops the connection. Callers who have it may still use it.
    pub(super) fn close(&self) {
        self.state.lock().current = None;
    }

    /// The connection, made if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        let mut attempt = {
            let mut state = self.state.lock();
            match &state.current {
                Some(connection) if !connection.is_left() => return Ok(Arc::clone(connection)),
                _ => state.current = None,
            }
            // An attempt whose runtime has ended never ends.
            let is_alive = |attempt: &watch::Receiver<_>| attempt.has_changed().is_ok();
            match state.attempt.take().filter(is_alive) {
                Some(attempt) => state.attempt.insert(attempt).clone(),
                None => {
                    let (ended, attempt) = watch::channel(None);
                    rt::spawn(make(self.maker.clone(), Arc::clone(&self.state), state.pause, ended));
                    state.attempt.insert(attempt).clone()
                }
            }
        };
        match attempt.wait_for(Option::is_some).await.map(|made| made.clone()) {
            Ok(Some(made)) => made,
            _ => Err(StoreError::retry("the attempt to connect to Redis was given up")),
        }
    }

    /// The same, but made anew: what the server says of itself is then as it is now.
    pub(super) async fn fresh(&self) -> Result<Arc<Connection>, StoreError> {
        self.give_up();
        self.connection().await
    }

    /// Sends a command. An error from the server is still in the answer: see [`Link::checked`].
    pub(super) async fn send(
        &self,
        connection: &Arc<Connection>,
        command: &Cmd,
        doing: Doing<'_>,
    ) -> Result<Value, StoreError> {
        let answer = connection.wire.send(command).await;
        answer.map_err(|error| self.failed(connection, &error, doing))
    }

    /// Sends commands in a pipeline. Errors from the server are still in the answers.
    pub(super) async fn send_all(
        &self,
        connection: &Arc<Connection>,
        commands: &Pipeline,
        doing: Doing<'_>,
    ) -> Result<Vec<Value>, StoreError> {
        let answers = connection.wire.send_all(commands).await;
        answers.map_err(|error| self.failed(connection, &error, doing))
    }

    /// Turns an answer that is an error into one.
    pub(super) fn checked(
        &self,
        connection: &Arc<Connection>,
        answer: Value,
        doing: Doing<'_>,
    ) -> Result<Value, StoreError> {
        answer.extract_error().map_err(|error| self.failed(connection, &error, doing))
    }

    fn failed(&self, connection: &Arc<Connection>, error: &RedisError, doing: Doing<'_>) -> StoreError {
        let failure = classify(error, doing);
        if failure.drops_connection {
            self.drop_connection(connection);
        }
        failure.error
    }

    /// Hands out the present connection no more: the next one asks the server about itself anew.
    pub(super) fn give_up(&self) {
        self.state.lock().current = None;
    }

    /// Hands out this connection no more. Callers who have it may still get answers.
    fn drop_connection(&self, connection: &Arc<Connection>) {
        let mut state = self.state.lock();
        if state.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            tracing::debug!(name = self.maker.name, "a connection to Redis is given up");
            state.current = None;
        }
    }
}

/// Makes one attempt to connect, and tells all who wait for it.
async fn make(maker: Maker, state: Arc<Mutex<State>>, pause: Duration, ended: watch::Sender<Option<Made>>) {
    if !pause.is_zero() {
        rt::sleep(pause).await;
    }
    let made = connect(&maker.config, maker.name, maker.purpose, maker.response_timeout).await.map(Arc::new);
    let mut state = state.lock();
    state.attempt = None;
    match &made {
        Ok(connection) => {
            state.current = Some(Arc::clone(connection));
            state.pause = Duration::ZERO;
        }
        Err(_) => state.pause = (pause * 2).clamp(PAUSE_FIRST, PAUSE_LAST),
    }
    ended.send_replace(Some(made));
}
