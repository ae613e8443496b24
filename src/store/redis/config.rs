//! Where Redis is, and how to connect to it. Parsed once, then trusted.
//!
//! # Rules
//! - Nothing that can be printed has the password: not the configuration, not an error about a bad address.
//! - Credentials are kept from the `redis` crate's own handshake: its errors hide what the server said, and a server
//!   that does not know AUTH repeats its arguments. `link` authenticates instead.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

use super::address::{Address, bad};

/// The longest namespace, in characters.
pub const NAMESPACE_CHARS_MAX: usize = 64;

const NAMESPACE_DEFAULT: &str = "reveille";
const RESPONSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(1);
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// Where Redis is, and how to connect to it. See [`RedisStore`](super::RedisStore).
#[derive(Clone)]
pub struct RedisConfig {
    server: ConnectionInfo,
    pub(super) credentials: Option<Credentials>,
    pub(super) database: i64,
    pub(super) namespace: Arc<str>,
    /// Set only if the user set it.
    pub(super) replicas: Option<u16>,
    pub(super) response_timeout: Duration,
    pub(super) connect_timeout: Duration,
}

/// The user on the server.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: Option<String>,
    pub(super) password: String,
}

/// Why an address or a namespace cannot be used. Never shows the address: it may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConfigError {
    /// The address is not a Redis URL.
    #[error(
        "the address is not one of Redis: {reason}; write redis://[user:password@]host[:port][/database], \
         rediss://… for TLS, or unix:///path/to/socket[?db=database]"
    )]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// The address asks for TLS, but this program was built without it.
    #[error(
        "rediss:// needs TLS, which this program was built without: turn on the cargo feature `redis-tls`"
    )]
    NoTls,
    /// The address asks for TLS that accepts every certificate.
    #[error(
        "#insecure is not supported: it would send the password to any server; install the server's certificate"
    )]
    InsecureTls,
    /// The namespace cannot be part of a key.
    #[error(
        "the namespace {name:?} cannot be used: it has 1 to {NAMESPACE_CHARS_MAX} characters, \
         and no braces, spaces or control characters"
    )]
    Namespace {
        /// The namespace.
        name: String,
    },
}

impl RedisConfig {
    /// Takes an address: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS (needs the cargo feature
    /// `redis-tls`), `unix:///path/to/socket[?db=database]` or the same with `redis+unix:`. Write an IPv6 address in brackets,
    /// with its zone if it has one (`[fe80::1%25eth0]`).
    ///
    /// Database, user and password can also be parameters: `?db=2&user=bob&pass=secret` (or `username`, `password`). Any
    /// character can be written as `%` and two hexadecimal digits; a `+` is a plus.
    ///
    /// # Errors
    /// When it is none of these, or has a part or a parameter that is unknown, given twice, or out of range. Nothing in an
    /// address is ignored.
    pub fn new(address: impl AsRef<str>) -> Result<Self, RedisConfigError> {
        let Address { server, user, password, database } = Address::parse(address.as_ref())?;
        let credentials = match (user, password) {
            (None, None) => None,
            // A user without a password may give any.
            (user, password) => Some(Credentials { user, password: password.unwrap_or_default() }),
        };
        let server = server.into_connection_info().map_err(|_| bad("it did not parse"))?;
        let settings =
            RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
        let tcp = server.tcp_settings().clone().set_nodelay(true);
        Ok(RedisConfig {
            server: server.set_redis_settings(settings).set_tcp_settings(tcp),
            credentials,
            database: database.into(),
            namespace: NAMESPACE_DEFAULT.into(),
            replicas: None,
            response_timeout: RESPONSE_TIMEOUT_DEFAULT,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
        })
    }

    /// Keeps everything under this name, so that several services can share a Redis. `reveille` by default.
    ///
    /// # Errors
    /// When it is empty, longer than [`NAMESPACE_CHARS_MAX`] characters, or has braces, spaces or control characters.
    pub fn namespace(mut self, name: impl AsRef<str>) -> Result<Self, RedisConfigError> {
        let name = name.as_ref();
        let is_fine = |c: char| !matches!(c, '{' | '}') && !c.is_whitespace() && !c.is_control();
        if !(1..=NAMESPACE_CHARS_MAX).contains(&name.chars().count()) || !name.chars().all(is_fine) {
            return Err(RedisConfigError::Namespace {
                name: name.chars().take(NAMESPACE_CHARS_MAX + 1).collect(),
            });
        }
        self.namespace = name.into();
        Ok(self)
    }

    /// How many replicas must have a change before it counts as
    /// [`Replicated`](crate::store::Durability::Replicated): at least 1, and 1 by default. Setting it also says that
    /// there will be replicas, even if none is connected when the engine starts.
    #[must_use]
    pub fn replicas(mut self, count: u16) -> Self {
        self.replicas = Some(count.max(1));
        self
    }

    /// How long an answer may take: two seconds by default. After that the connection is closed, and the request sent again on
    /// a new one.
    #[must_use]
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.response_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// How long connecting may take: one second by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout.max(TIMEOUT_MIN);
        self
    }

    /// How many replicas to wait for.
    pub(super) fn replicas_wanted(&self) -> u16 {
        self.replicas.unwrap_or(1)
    }

    /// What the `redis` crate gets: no credentials and no database. `link` sends these.
    pub(super) fn server(&self) -> ConnectionInfo {
        self.server.clone()
    }

    /// Host and port, or the path of the socket.
    pub(super) fn address(&self) -> String {
        match self.server.addr() {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }
                if host.contains(':') =>
            {
                format!("[{host}]:{port}")
            }
            address => address.to_string(),
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &self.address())
            .field("credentials", &self.credentials)
            .field("database", &self.database)
            .field("namespace", &self.namespace)
            .field("replicas", &self.replicas)
            .field("response_timeout", &self.response_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A user alone may be a password that lacks its colon.
        let user = self.user.as_ref().filter(|_| !self.password.is_empty());
        f.debug_struct("Credentials").field("user", &user).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_user_password_host_port_and_database() {
        let config = RedisConfig::new("redis://bob:p%40ss@example.org:7000/3").unwrap();
        let credentials = config.credentials.as_ref().unwrap();
        assert_eq!((credentials.user.as_deref(), credentials.password.as_str()), (Some("bob"), "p@ss"));
        assert_eq!((config.address().as_str(), config.database), ("example.org:7000", 3));
        assert!(config.server.tcp_settings().nodelay());
        assert_eq!(config.server.redis_settings().password(), None);
        let config = RedisConfig::new("redis://localhost").unwrap();
        assert!(config.credentials.is_none());
        assert_eq!((config.address().as_str(), config.replicas_wanted()), ("localhost:6379", 1));
        for socket in ["unix:///run/redis.sock?db=2&pass=x", "redis+unix:///run/redis.sock?db=2&pass=x"] {
            let config = RedisConfig::new(socket).unwrap();
            assert_eq!((config.address().as_str(), config.database), ("/run/redis.sock", 2));
        }
    }

    #[test]
    fn nothing_printed_has_the_password() {
        let config = RedisConfig::new("redis://bob:hunter2@example.org").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
        for address in [
            "redis://bob:hunter2@",
            "redis://bob:hunter2@host:port",
            "redis://bob:hunter2@host/base",
            "redis://bob:hunter2@0.0.0.0",
            "redis://bob:hunter2@host?protocol=hunter2",
            "redis://bob:hun#ter2@host",
            "redis://bob:hun/ter2@host",
            "redis://bob:hunter2%ff@host",
            "redis://hunter2%ff:x@host",
            "http://bob:hunter2@host",
            "rediss://bob:hunter2@host#insecure",
            "unix:?pass=hunter2",
            "unix:relative?db=hunter2",
            "hunter2",
            "",
        ] {
            let error = RedisConfig::new(address).unwrap_err();
            let words = format!("{error} {error:?}");
            assert!(!words.contains("hunter2") && !words.contains("ter2"), "{words}");
        }
    }

    #[test]
    fn tls_is_refused_by_name_without_its_feature() {
        let tls = RedisConfig::new("rediss://host");
        assert_eq!(tls.is_ok(), cfg!(feature = "redis-tls"));
        if let Err(error) = tls {
            assert!(error.to_string().contains("redis-tls"), "{error}");
        }
    }

    #[test]
    fn a_namespace_fits_into_a_key() {
        let config = || RedisConfig::new("redis://host").unwrap();
        assert_eq!(&*config().namespace("a:b-1").unwrap().namespace, "a:b-1");
        for name in ["", "a b", "a{b", "a}", "a\n", &"x".repeat(65)] {
            assert!(matches!(config().namespace(name), Err(RedisConfigError::Namespace { .. })), "{name}");
        }
        assert!(config().namespace("é".repeat(64)).is_ok());
    }
}
