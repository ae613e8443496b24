//! Making a connection: reach the server, log in, and ask what it is. Nothing more is sent to a server that is not fit to be
//! written to, or read from.

use std::fmt;
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError, Value};
use tokio::sync::oneshot;

use super::config::{Credentials, RedisConfig};
use super::errors::{Doing, classify, harmless};
use super::facts::{Facts, Settings, Version, is_command_known, setting};
use super::wire::Wire;
use crate::rt;
use crate::store::{StoreError, StoreErrorClass};

/// The oldest Redis that has everything the scripts use: XTRIM MINID came last.
const VERSION_MIN: Version = Version(6, 2, 0);

/// The first with WAITAOF.
const VERSION_WAITAOF: Version = Version(7, 2, 0);

/// A connection to a server that is fit for its purpose, and what the server said of itself then.
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) facts: Facts,
    /// Closed with the runtime that drives it.
    runtime: oneshot::Sender<()>,
}

impl Connection {
    /// Whether nothing drives it any more, because the engine on whose thread it was made has ended.
    pub(super) fn is_left(&self) -> bool {
        self.runtime.is_closed()
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// Only a master will do.
    Write,
    /// A replica will do too.
    Look,
}

/// Connects. `name` is how an operator finds the connection in CLIENT LIST.
pub(super) async fn connect(
    config: &RedisConfig,
    name: &str,
    purpose: Purpose,
    response_timeout: Duration,
) -> Result<Connection, StoreError> {
    let address = config.address();
    let doing = Doing::with("connecting to Redis at", &address);
    let options = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.connect_timeout))
        .set_response_timeout(Some(response_timeout));
    let failed = |error: RedisError| classify(&error, doing).error;
    #[cfg(feature = "redis-tls")]
    bring_cryptography();
    let client = Client::open(config.server()).map_err(failed)?;
    let wire = Wire::connect(&client, &options, response_timeout).await.map_err(failed)?;
    greet(&wire, doing).await?;
    let facts = introduce(&wire, config, name, doing).await?;
    admit(&facts, purpose, doing)?;
    tracing::debug!(address, name, version = %facts.version, "connected to Redis");
    let (runtime, ended) = oneshot::channel();
    rt::spawn(async move {
        let _ = ended.await;
    });
    Ok(Connection { wire, facts, runtime })
}

/// Asks whether this is Redis, and whether it takes connections. Sent alone, so that a server that does not speak RESP can be
/// told from a cut connection.
async fn greet(wire: &Wire, doing: Doing<'_>) -> Result<(), StoreError> {
    let answer = wire.send(&redis::cmd("PING")).await;
    let Err(error) = answer.and_then(Value::extract_error) else { return Ok(()) };
    let failure = classify(&error, doing.by("PING"));
    // A server that wants a login says so here, and so does one whose disk is full.
    if failure.drops_connection && error.code() != Some("NOAUTH") { Err(failure.error) } else { Ok(()) }
}

/// Logs in, and asks for everything that must be known about the server, in one round trip.
async fn introduce(
    wire: &Wire,
    config: &RedisConfig,
    name: &str,
    doing: Doing<'_>,
) -> Result<Facts, StoreError> {
    let mut asked = Pipeline::new();
    if let Some(Credentials { user, password }) = &config.credentials {
        asked.cmd("AUTH").arg(user.as_deref()).arg(password);
    }
    if config.database != 0 {
        asked.cmd("SELECT").arg(config.database);
    }
    // Only for operators: it may be refused.
    asked.cmd("CLIENT").arg("SETNAME").arg(format!("reveille:{}:{name}", config.namespace));
    asked.cmd("INFO");
    asked.cmd("CONFIG").arg("GET").arg("appendfsync");
    asked.cmd("CONFIG").arg("GET").arg("no-appendfsync-on-rewrite");
    asked.cmd("CONFIG").arg("GET").arg("save");
    asked.cmd("COMMAND").arg("INFO").arg("waitaof");
    let answers = wire.send_all(&asked).await;
    let mut answers = answers.map_err(|error| classify(&error, doing).error)?.into_iter();
    let mut next = || answers.next().unwrap_or(Value::Nil);
    if config.credentials.is_some() {
        check_login(next(), doing.by("AUTH"))?;
    }
    if config.database != 0 {
        checked(next(), doing.by(&format!("SELECT {}", config.database)))?;
    }
    let _name = next();
    let mut facts = match checked(next(), doing.by("INFO"))? {
        Value::BulkString(info) => Facts::from_info(&String::from_utf8_lossy(&info)),
        _ => return Err(StoreError::retry(format!("{doing}: what answers is not Redis"))),
    };
    facts.settings = Settings {
        appendfsync: setting(&next()),
        no_appendfsync_on_rewrite: setting(&next()),
        save: setting(&next()),
    };
    facts.has_waitaof = is_command_known(&next()).unwrap_or(facts.version >= VERSION_WAITAOF);
    Ok(facts)
}

/// TLS panics in a process that has not chosen a provider of cryptography, or has two.
#[cfg(feature = "redis-tls")]
fn bring_cryptography() {
    use rustls::crypto::{CryptoProvider, ring};
    if CryptoProvider::get_default().is_none() {
        // It fails only if another thread was faster.
        let _ = ring::default_provider().install_default();
    }
}

/// AUTH is judged apart: a server that does not know it repeats its arguments.
fn check_login(answer: Value, doing: Doing<'_>) -> Result<(), StoreError> {
    let Value::ServerError(error) = answer else { return Ok(()) };
    let detail = harmless(error.details().unwrap_or_default());
    if error.code() == "ERR" && !detail.starts_with("max number of clients") {
        let says = "Redis does not take a user or password like this";
        let message = format!("{doing}: {says} ({detail})");
        return Err(StoreError::new(StoreErrorClass::Refused, message));
    }
    Err(classify(&error.into(), doing).error)
}

fn checked(answer: Value, doing: Doing<'_>) -> Result<Value, StoreError> {
    answer.extract_error().map_err(|error| classify(&error, doing).error)
}

/// Whether this is a server to write to, or to read from.
fn admit(facts: &Facts, purpose: Purpose, doing: Doing<'_>) -> Result<(), StoreError> {
    let found = facts.version;
    let says = if facts.mode == "sentinel" {
        "this is a sentinel: give the address of the master that it watches".to_owned()
    } else if found < VERSION_MIN {
        format!("this is Redis {found}, and Reveille needs {VERSION_MIN} or newer: update it")
    } else if facts.is_cluster {
        "this Redis is a node of a cluster, which Reveille does not speak to yet: use a single server"
            .to_owned()
    } else if facts.is_loading {
        let mut error = StoreError::retry(format!("{doing}: {}", facts.loading));
        error.again_after = Some(facts.loading.again_after());
        return Err(error);
    } else if facts.is_replica && purpose == Purpose::Write {
        "this Redis is a replica, which takes no writes: give the address of its master, or promote it \
         (REPLICAOF NO ONE)"
            .to_owned()
    } else {
        return Ok(());
    };
    Err(StoreError::new(StoreErrorClass::Refused, format!("{doing}: {says}")))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("facts", &self.facts).finish_non_exhaustive()
    }
}
