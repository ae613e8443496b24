//! Parses an address of Redis. Nothing in it is ignored, and nothing missing is guessed.
//!
//! ```text
//! redis://[user[:password]@]host[:port][/database][?parameters]          rediss:, valkey:, valkeys: alike
//! unix:[//[user[:password]@][localhost]]/path/to/socket[?parameters]     redis+unix:, valkey+unix: alike
//! ```
//!
//! # Rules
//! - No error shows a part of the address that may be a password, even if the address is malformed: a password with an
//!   unescaped `/`, `?` or `&` may look like a port, a database, a parameter or its name.
//! - User, password, parameters and a socket's path are percent-decoded in the same way. A `+` is a plus.
//! - Anything given twice is refused, even with the same value, and so is every unknown parameter.

use std::borrow::Cow;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use redis::ConnectionAddr;

use super::config::RedisConfigError;

const PORT_DEFAULT: u16 = 6379;

/// The highest number that SELECT takes.
const DATABASE_MAX: u32 = i32::MAX as u32;

/// The most bytes a socket's path may have, without its terminating zero.
const SOCKET_BYTES_MAX: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// The parameters, with their aliases.
const PARAMETERS: [(&str, &str); 3] = [("db", "db"), ("user", "username"), ("pass", "password")];

const NO_SCHEME: &str = "it does not begin with redis://, rediss:// or unix:";

/// A server's location, the user, and the database.
pub(super) struct Address {
    pub(super) server: ConnectionAddr,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: u32,
}

/// The parts of an address that may be given in two places.
#[derive(Default)]
struct Said {
    user: Option<String>,
    password: Option<String>,
    database: Option<u32>,
}

pub(super) fn bad(reason: impl Into<String>) -> RedisConfigError {
    RedisConfigError::Address { reason: reason.into() }
}

impl Address {
    pub(super) fn parse(address: &str) -> Result<Self, RedisConfigError> {
        let address = address.trim();
        if address.is_empty() {
            return Err(bad("it is empty"));
        }
        if address.chars().any(char::is_control) {
            return Err(bad("it has a line break or another control character"));
        }
        let (scheme, rest) = address.split_once(':').ok_or_else(|| bad(NO_SCHEME))?;
        let scheme = scheme.to_ascii_lowercase();
        let is_tls = matches!(scheme.as_str(), "rediss" | "valkeys");
        if is_tls && !cfg!(feature = "redis-tls") {
            return Err(RedisConfigError::NoTls);
        }
        if is_tls && rest.ends_with("#insecure") {
            return Err(RedisConfigError::InsecureTls);
        }
        if rest.contains('#') {
            return Err(bad("it has a #, which ends a URL (in a password, write %23)"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut said = Said::default();
        let server = match scheme.as_str() {
            "redis" | "rediss" | "valkey" | "valkeys" => said.tcp(rest, is_tls)?,
            "unix" | "redis+unix" | "valkey+unix" => said.socket(rest)?,
            _ => return Err(bad(NO_SCHEME)),
        };
        said.parameters(query)?;
        let Said { user, password, database } = said;
        Ok(Address { server, user, password, database: database.unwrap_or(0) })
    }
}

impl Said {
    /// The part between the scheme and the parameters.
    fn tcp(&mut self, rest: &str, is_tls: bool) -> Result<ConnectionAddr, RedisConfigError> {
        let rest = rest.strip_prefix("//").ok_or_else(|| bad("it has no // behind the scheme"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if path.contains('@') {
            return Err(bad("there is a / in front of the @ (in a password, write %2F)"));
        }
        let place = self.user_info(authority)?;
        let (host, port) = host_and_port(place)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() {
            self.database = Some(database(path)?);
        }
        Ok(if is_tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        })
    }

    fn socket(&mut self, rest: &str) -> Result<ConnectionAddr, RedisConfigError> {
        if !cfg!(unix) {
            return Err(bad("this system has no such sockets"));
        }
        let path = match rest.strip_prefix("//") {
            None => rest,
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let host = self.user_info(authority)?;
                if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                    return Err(bad("a socket has no host: its path begins with a third slash"));
                }
                path
            }
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err(bad("the path of a socket begins with a slash, and does not end with one"));
        }
        let path = decoded_bytes(path)?;
        if path.contains(&0) || path.len() > SOCKET_BYTES_MAX {
            return Err(bad(format!(
                "the path of a socket has {SOCKET_BYTES_MAX} bytes at most, none of them 0"
            )));
        }
        Ok(ConnectionAddr::Unix(path_of(path)?))
    }

    /// Takes user and password, and returns the rest.
    fn user_info<'a>(&mut self, authority: &'a str) -> Result<&'a str, RedisConfigError> {
        let Some((info, place)) = authority.rsplit_once('@') else { return Ok(authority) };
        let (user, password) = match info.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (info, None),
        };
        self.user = Some(user).filter(|user| !user.is_empty()).map(decoded).transpose()?;
        self.password = password.filter(|password| !password.is_empty()).map(decoded).transpose()?;
        Ok(place)
    }

    fn parameters(&mut self, query: &str) -> Result<(), RedisConfigError> {
        let mut may_be_password = query.contains('@');
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or_else(|| {
                bad(format!("a parameter has no value: write name=value. {}", known_parameters()))
            })?;
            let known = PARAMETERS.into_iter().find(|&(short, long)| name == short || name == long);
            match known.map(|(short, _)| short) {
                Some("db") => once(&mut self.database, database(&decoded(value)?)?, "the database")?,
                Some("user") => once(&mut self.user, decoded(value)?, "the user")?,
                Some(_) => {
                    once(&mut self.password, decoded(value)?, "the password")?;
                    // What comes behind may be the rest of it.
                    may_be_password = true;
                }
                None => return Err(unknown(name, may_be_password)),
            }
        }
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, value: T, what: &str) -> Result<(), RedisConfigError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(bad(format!("{what} is given twice"))),
    }
}

fn known_parameters() -> String {
    let names: Vec<String> = PARAMETERS
        .into_iter()
        .map(
            |(short, long)| {
                if short == long { format!("`{short}`") } else { format!("`{short}` (or `{long}`)") }
            },
        )
        .collect();
    format!("Parameters are {}", names.join(", "))
}

fn unknown(name: &str, may_be_password: bool) -> RedisConfigError {
    let known = known_parameters();
    if name == "protocol" {
        return bad(format!("`protocol` is not to be chosen: Reveille speaks RESP 2. {known}"));
    }
    let is_plain = (1..=32).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_plain && !may_be_password {
        bad(format!("the parameter `{name}` is not known. {known}"))
    } else {
        bad(format!("a parameter is not known (in a password, write %26 for & and %3F for ?). {known}"))
    }
}

/// A database number. A password may stand in its place.
fn database(text: &str) -> Result<u32, RedisConfigError> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = text.parse().ok().filter(|&number| is_number && number <= DATABASE_MAX);
    number.ok_or_else(|| {
        bad(format!(
            "the database is not a number from 0 to {DATABASE_MAX} (in a password, write %2F for / and %3F for ?)"
        ))
    })
}

fn host_and_port(place: &str) -> Result<(String, u16), RedisConfigError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(|| bad("a [ has no ] behind it"))?;
            let port = match port.strip_prefix(':') {
                Some(port) => Some(port),
                None if port.is_empty() => None,
                None => return Err(bad("only a port can stand behind the ]")),
            };
            (ipv6(address)?, port)
        }
        None => match place.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(bad(
                    "an IPv6 address stands in brackets, as in [::1] (in a password, write %40 for @)",
                ));
            }
            Some((host, port)) => (named_host(host)?, Some(port)),
            None => (named_host(place)?, None),
        },
    };
    if matches!(host.as_str(), "0.0.0.0" | "::") {
        return Err(bad("0.0.0.0 and [::] are for servers to listen at: name the host"));
    }
    let port = port.map_or(Some(PORT_DEFAULT), |port| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse().ok().filter(|&port| is_number && port != 0)
    });
    let wrong =
        || bad("the port is not a number from 1 to 65535 (in a password, write %2F for / and %3F for ?)");
    Ok((host, port.ok_or_else(wrong)?))
}

fn named_host(host: &str) -> Result<String, RedisConfigError> {
    if host.is_empty() {
        return Err(bad("it has no host"));
    }
    if host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
        return Ok(host.to_ascii_lowercase());
    }
    Err(bad(
        "the host has other characters than letters, digits, dots and hyphens (write an international name as xn--…)",
    ))
}

/// An address in brackets. A zone, the interface of a link-local address, follows `%25` or a plain `%`.
fn ipv6(text: &str) -> Result<String, RedisConfigError> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let address: Ipv6Addr = address.parse().map_err(|_| bad("what stands in brackets is no IPv6 address"))?;
    let Some(zone) = zone else { return Ok(address.to_string()) };
    let zone = decoded(zone.strip_prefix("25").unwrap_or(zone))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    if zone.is_empty() || !zone.bytes().all(is_plain) {
        return Err(bad("the zone of the IPv6 address is no name of an interface, as in [fe80::1%25eth0]"));
    }
    Ok(format!("{address}%{zone}"))
}

fn decoded(text: &str) -> Result<String, RedisConfigError> {
    String::from_utf8(decoded_bytes(text)?.into_owned()).map_err(|_| bad("what is escaped by % is no UTF-8"))
}

fn decoded_bytes(text: &str) -> Result<Cow<'_, [u8]>, RedisConfigError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let (mut parts, mut bytes) = (text.split('%'), Vec::with_capacity(text.len()));
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes
            .push(byte.ok_or_else(|| bad("a % has no two hexadecimal digits behind it: write %25 for a %"))?);
        bytes.extend(part.bytes().skip(2));
    }
    Ok(Cow::Owned(bytes))
}

#[cfg(unix)]
fn path_of(bytes: Cow<'_, [u8]>) -> Result<PathBuf, RedisConfigError> {
    use std::os::unix::ffi::OsStringExt;
    Ok(std::ffi::OsString::from_vec(bytes.into_owned()).into())
}

#[cfg(not(unix))]
fn path_of(bytes: Cow<'_, [u8]>) -> Result<PathBuf, RedisConfigError> {
    String::from_utf8(bytes.into_owned()).map(PathBuf::from).map_err(|_| bad("the path is no UTF-8"))
}

#[cfg(test)]
mod tests;
