//! A connection that is made when it is needed, and made anew when it is lost.
//!
//! # Rules
//! - A request is sent once. What becomes of it after its connection is lost is not known, so whoever sent it decides
//!   whether it is sent again; all of ours may be.
//! - A connection lives on the runtime on which it was made, and is made anew by who finds that it has ended: a store may be
//!   used by one engine after another.
//! - A connection on which an answer did not come in time is given up: the next request would wait behind the one that
//!   did not come.
//! - All who want a connection share one attempt to make it, and its failure. The next attempt waits a little, longer
//!   each time. The attempt is a task of its own: whoever wants it first may be dropped, or left alone for a while.
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

/// One connection, or none for the moment.
#[derive(Debug)]
pub(super) struct Link {
    maker: Maker,
    state: Arc<Mutex<State>>,
}

/// What it takes to connect.
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
    /// The attempt that is being made.
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

    /// One that is not written to: a replica will do.
    pub(super) fn for_looking(config: Arc<RedisConfig>) -> Self {
        let response_timeout = config.response_timeout;
        let maker = Maker { config, name: "look", purpose: Purpose::Look, response_timeout };
        Link { maker, state: Arc::default() }
    }

    /// Lets go of the connection. Those who have it may still use it.
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
            // One whose runtime has gone will never end.
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

    /// Sends a command. An error that the server tells is still in the answer: see [`Link::checked`].
    pub(super) async fn send(
        &self,
        connection: &Arc<Connection>,
        command: &Cmd,
        doing: Doing<'_>,
    ) -> Result<Value, StoreError> {
        let answer = connection.wire.send(command).await;
        answer.map_err(|error| self.failed(connection, &error, doing))
    }

    /// Sends commands one behind the other. Errors that the server tells are still in the answers.
    pub(super) async fn send_all(
        &self,
        connection: &Arc<Connection>,
        commands: &Pipeline,
        doing: Doing<'_>,
    ) -> Result<Vec<Value>, StoreError> {
        let answers = connection.wire.send_all(commands).await;
        answers.map_err(|error| self.failed(connection, &error, doing))
    }

    /// Makes an error of an answer that is one.
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

    /// Nobody gets the connection that there is any more, if there is one: the next is told anew what the server is like.
    pub(super) fn give_up(&self) {
        self.state.lock().current = None;
    }

    /// Nobody gets this connection any more. Those who have it may still hear from it.
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
