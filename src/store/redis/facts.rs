//! What a server says about itself, asked on every new connection: it may be another server than before, or the same one with
//! other settings.

use std::fmt;
use std::time::Duration;

use redis::Value;

/// What a server says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Facts {
    pub(super) version: Version,
    /// `standalone`, `cluster` or `sentinel`.
    pub(super) mode: String,
    pub(super) is_cluster: bool,
    pub(super) is_replica: bool,
    pub(super) is_loading: bool,
    pub(super) loading: Loading,
    /// Its link to its master, if it is a replica.
    pub(super) link: MasterLink,
    pub(super) has_aof: bool,
    pub(super) replicas: u64,
    pub(super) maxmemory: u64,
    pub(super) maxmemory_policy: String,
    pub(super) evicted_keys: u64,
    pub(super) settings: Settings,
    pub(super) has_waitaof: bool,
}

/// How far a server is with loading its data, by its own account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Loading {
    /// Percent, as it writes it.
    pub(super) loaded: Option<String>,
    pub(super) left: Option<Duration>,
}

/// A replica's link to its master.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct MasterLink {
    pub(super) host: String,
    pub(super) port: String,
    pub(super) is_up: bool,
    /// `None` while it has heard nothing from it.
    pub(super) heard_before: Option<Duration>,
    pub(super) down_for: Option<Duration>,
}

/// What CONFIG GET said; `None` if it is forbidden, as on many managed servers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Settings {
    pub(super) appendfsync: Option<String>,
    /// With `yes`, even `appendfsync always` does not sync while the file is being rewritten.
    pub(super) no_appendfsync_on_rewrite: Option<String>,
    pub(super) save: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

/// How to know that something is on the server's disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fsync {
    /// Every answer comes after the sync of its request.
    BeforeAnswer,
    /// By WAITAOF.
    OnRequest,
    /// Not at all, for this reason, with what to do.
    Impossible(&'static str),
}

impl Facts {
    /// Reads the answer to INFO. Missing values get their defaults.
    pub(super) fn from_info(info: &str) -> Self {
        let mut facts = Facts::default();
        for (field, value) in info.lines().filter_map(|line| line.trim_end().split_once(':')) {
            let is_one = value == "1";
            let number = || value.parse::<u64>().unwrap_or(0);
            let seconds = || value.parse().ok().map(Duration::from_secs);
            match field {
                "redis_version" => facts.version = Version::parse(value),
                "redis_mode" => facts.mode = value.to_owned(),
                "cluster_enabled" => facts.is_cluster = is_one,
                "role" => facts.is_replica = value == "slave" || value == "replica",
                "loading" => facts.is_loading = is_one,
                "loading_eta_seconds" => facts.loading.left = seconds(),
                "loading_loaded_perc" => facts.loading.loaded = Some(value.chars().take(8).collect()),
                "master_host" => facts.link.host = value.to_owned(),
                "master_port" => facts.link.port = value.to_owned(),
                "master_link_status" => facts.link.is_up = value == "up",
                "master_last_io_seconds_ago" => facts.link.heard_before = seconds(),
                "master_link_down_since_seconds" => facts.link.down_for = seconds(),
                "aof_enabled" => facts.has_aof = is_one,
                "connected_slaves" => facts.replicas = number(),
                "maxmemory" => facts.maxmemory = number(),
                "maxmemory_policy" => facts.maxmemory_policy = value.to_owned(),
                "evicted_keys" => facts.evicted_keys = number(),
                _ => {}
            }
        }
        facts
    }

    pub(super) fn fsync_is_possible(&self) -> bool {
        !matches!(self.fsync(), Fsync::Impossible(_))
    }

    pub(super) fn fsync(&self) -> Fsync {
        let Settings { appendfsync, no_appendfsync_on_rewrite, .. } = &self.settings;
        if !self.has_aof {
            return Fsync::Impossible(
                "Redis has no append-only file: set `appendonly yes` and `appendfsync always`",
            );
        }
        match (appendfsync.as_deref(), no_appendfsync_on_rewrite.as_deref()) {
            (Some("always"), Some("no")) => Fsync::BeforeAnswer,
            (Some("no"), _) => Fsync::Impossible(
                "Redis leaves it to the system when its file is synced: set `appendfsync always` or `everysec`",
            ),
            _ if self.has_waitaof => Fsync::OnRequest,
            (Some("always"), Some(_)) => Fsync::Impossible(
                "Redis does not sync its file while it is rewritten: set `no-appendfsync-on-rewrite no`, \
                 or use Redis 7.2 or newer, which has WAITAOF",
            ),
            (Some(_), Some(_)) => Fsync::Impossible(
                "Redis syncs its file once a second: set `appendfsync always`, \
                 or use Redis 7.2 or newer, which has WAITAOF",
            ),
            _ => Fsync::Impossible(
                "Redis does not tell its settings: allow CONFIG GET to the user (ACL SETUSER … +config|get), \
                 or use Redis 7.2 or newer, which has WAITAOF",
            ),
        }
    }
}

impl Loading {
    /// When it is worth asking again.
    pub(super) fn again_after(&self) -> Duration {
        self.left.unwrap_or_default().clamp(Duration::from_secs(1), Duration::from_secs(5))
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redis is still loading its data")?;
        if let Some(loaded) = &self.loaded {
            write!(f, ": {}% loaded", loaded.trim_end_matches('%'))?;
        }
        match self.left {
            Some(left) => write!(f, ", about {} s left", left.as_secs()),
            None => Ok(()),
        }
    }
}

impl Version {
    fn parse(text: &str) -> Self {
        // A release candidate has a suffix behind its number.
        let digits = |part: &str| part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        let mut parts = text.split('.').map(|part| part[..digits(part)].parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Version(next(), next(), next())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The value in an answer to CONFIG GET.
pub(super) fn setting(answer: &Value) -> Option<String> {
    match answer {
        Value::Array(pair) => match pair.as_slice() {
            [_, Value::BulkString(value)] => Some(String::from_utf8_lossy(value).into_owned()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether an answer to COMMAND INFO knows the command; `None` if the server refused to tell.
pub(super) fn is_command_known(answer: &Value) -> Option<bool> {
    match answer {
        Value::Array(commands) => Some(commands.iter().any(|command| !matches!(command, Value::Nil))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrole:slave\r\nloading:1\r\n\
                    loading_loaded_perc:41.50\r\nloading_eta_seconds:99\r\nmaster_link_status:up\r\n\
                    master_last_io_seconds_ago:3\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\nevicted_keys:3\r\n\
                    aof_enabled:1\r\nconnected_slaves:2\r\ncluster_enabled:0\r\n";
        let facts = Facts::from_info(info);
        assert_eq!((facts.version, facts.replicas, facts.evicted_keys), (Version(7, 0, 15), 2, 3));
        assert!(facts.is_replica && facts.is_loading && facts.has_aof && !facts.is_cluster);
        assert_eq!(facts.loading.again_after(), Duration::from_secs(5));
        let words = "Redis is still loading its data: 41.50% loaded, about 99 s left";
        assert_eq!(facts.loading.to_string(), words);
        assert!(facts.link.is_up && facts.link.heard_before == Some(Duration::from_secs(3)));
        assert_eq!(facts.maxmemory_policy, "allkeys-lru");
        assert_eq!(Facts::from_info("HTTP/1.1 200 OK"), Facts::default());
    }

    #[test]
    fn only_a_proof_counts_as_fsync() {
        let facts = |has_aof, appendfsync: Option<&str>, on_rewrite: Option<&str>, has_waitaof| Facts {
            has_aof,
            has_waitaof,
            settings: Settings {
                appendfsync: appendfsync.map(str::to_owned),
                no_appendfsync_on_rewrite: on_rewrite.map(str::to_owned),
                save: None,
            },
            ..Facts::default()
        };
        let is_impossible = |facts: Facts| matches!(facts.fsync(), Fsync::Impossible(_));
        assert!(is_impossible(facts(false, Some("always"), Some("no"), true)));
        assert_eq!(facts(true, Some("always"), Some("no"), false).fsync(), Fsync::BeforeAnswer);
        assert!(is_impossible(facts(true, Some("always"), Some("yes"), false)));
        assert_eq!(facts(true, Some("always"), Some("yes"), true).fsync(), Fsync::OnRequest);
        assert!(is_impossible(facts(true, Some("everysec"), Some("no"), false)));
        assert_eq!(facts(true, Some("everysec"), Some("no"), true).fsync(), Fsync::OnRequest);
        assert!(is_impossible(facts(true, Some("no"), Some("no"), true)));
        assert!(is_impossible(facts(true, None, None, false)));
        assert_eq!(facts(true, None, None, true).fsync(), Fsync::OnRequest);
    }

    #[test]
    fn versions_compare() {
        assert!(Version::parse("7.0.15") < Version::parse("7.2.0"));
        assert!(Version::parse("6.2") < Version::parse("6.2.1-rc1"));
        assert!(Version::parse("nonsense") < Version::parse("6.2.0"));
    }
}
