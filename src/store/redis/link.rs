//! A connection that is made when it is needed, and made anew when it is lost.
//!
//! # Rules
//! - A request is sent once. What becomes of it after its connection is lost is not known, so whoever sent it decides
//!   whether it is sent again; all of ours may be.
//! - A connection on which an answer did not come in time is given up: the next request would wait behind the one that
//!   did not come.
//! - All who want a connection share one attempt to make it, and its failure. The next attempt waits a little, longer
//!   each time.
//! - Requests of one caller go out in the order in which they are first polled, unless the connection is lost between.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, RedisError, Value};

use super::config::RedisConfig;
use super::connect::{Connection, connect};
use super::errors::{Doing, classify};
use crate::store::StoreError;

const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_LAST: Duration = Duration::from_millis(250);

/// One connection, or none for the moment.
#[derive(Debug)]
pub(super) struct Link {
    config: Arc<RedisConfig>,
    name: &'static str,
    response_timeout: Duration,
    current: Mutex<Option<Arc<Connection>>>,
    /// How many attempts to connect have ended.
    attempts: AtomicU64,
    making: tokio::sync::Mutex<Making>,
}

/// Held by whoever connects.
#[derive(Debug, Default)]
struct Making {
    /// Before the next attempt.
    pause: Duration,
    /// Why the last attempt failed.
    error: Option<StoreError>,
}

impl Link {
    pub(super) fn new(config: Arc<RedisConfig>, name: &'static str, response_timeout: Duration) -> Self {
        Link {
            config,
            name,
            response_timeout,
            current: Mutex::new(None),
            attempts: AtomicU64::new(0),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// The connection, made if there is none.
    pub(super) async fn connection(&self) -> Result<Arc<Connection>, StoreError> {
        let seen = self.attempts.load(SeqCst);
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        let mut making = self.making.lock().await;
        if let Some(connection) = self.current() {
            return Ok(connection);
        }
        // Somebody has tried while this one waited for its turn.
        if let (true, Some(error)) = (self.attempts.load(SeqCst) != seen, &making.error) {
            return Err(error.clone());
        }
        if !making.pause.is_zero() {
            tokio::time::sleep(making.pause).await;
        }
        let made = connect(&self.config, self.name, self.response_timeout).await;
        self.attempts.fetch_add(1, SeqCst);
        match made {
            Ok(connection) => {
                let connection = Arc::new(connection);
                *self.current.lock() = Some(Arc::clone(&connection));
                *making = Making::default();
                Ok(connection)
            }
            Err(error) => {
                making.pause = (making.pause * 2).clamp(PAUSE_FIRST, PAUSE_LAST);
                making.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// The same, but made anew: what the server says of itself is then as it is now.
    pub(super) async fn fresh(&self) -> Result<Arc<Connection>, StoreError> {
        *self.current.lock() = None;
        self.connection().await
    }

    /// Sends a command. An error that the server tells is still in the answer: see [`Link::checked`].
    pub(super) async fn send(
        &self,
        connection: &Arc<Connection>,
        command: &Cmd,
        doing: Doing<'_>,
    ) -> Result<Value, StoreError> {
        let answer = connection.mux.clone().send_packed_command(command).await;
        answer.map_err(|error| self.failed(connection, &error, doing))
    }

    /// Sends commands one behind the other. Errors that the server tells are still in the answers.
    pub(super) async fn send_all(
        &self,
        connection: &Arc<Connection>,
        commands: &Pipeline,
        doing: Doing<'_>,
    ) -> Result<Vec<Value>, StoreError> {
        let answers = connection.mux.clone().send_packed_commands(commands, 0, commands.len()).await;
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

    /// Nobody gets this connection any more. Those who have it may still hear from it.
    fn drop_connection(&self, connection: &Arc<Connection>) {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            tracing::debug!(name = self.name, "a connection to Redis is given up");
            *current = None;
        }
    }

    fn current(&self) -> Option<Arc<Connection>> {
        self.current.lock().clone()
    }
}
