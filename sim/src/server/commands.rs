//! The commands that the library and its scripts use, with Redis' own rules for refusing them.

use super::db::{Db, Held, Id};

/// An answer of the protocol.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A status: `OK`, `PONG`.
    Status(&'static str),
    /// An error, its code first.
    Error(String),
    /// A number.
    Int(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing.
    Nil,
    /// A list.
    Array(Vec<Reply>),
}

/// What keeps commands from running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Nothing.
    Well,
    /// It is at its maxmemory.
    Oom,
    /// Its disk does not take its dumps.
    Misconf,
    /// It has too few replicas.
    NoReplicas,
    /// It is a replica.
    ReadOnly,
    /// It loads its data.
    Loading,
    /// A script runs for too long.
    Busy,
    /// It is a replica that has lost its master.
    MasterDown,
    /// A slot is being moved.
    TryAgain,
}

/// How commands run: when, under what, and for whom.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// The data.
    pub db: &'a mut Db,
    /// What keeps them from running.
    pub mode: Mode,
    /// By the server's own clock.
    pub now_us: u64,
    /// Whether the running script has changed something: then it is no longer stopped.
    pub is_dirty: bool,
}

const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

impl Run<'_> {
    /// Runs a command that scripts may run too.
    pub(super) fn command(&mut self, args: &[Vec<u8>]) -> Reply {
        let Some(name) = args.first().map(|name| name.to_ascii_uppercase()) else {
            return Reply::Error("ERR no command".into());
        };
        let rest = &args[1..];
        let (is_write, is_denied_by_oom) = match name.as_slice() {
            b"HSET" | b"XADD" | b"SET" => (true, true),
            b"HDEL" | b"XTRIM" | b"UNLINK" => (true, false),
            _ => (false, false),
        };
        if is_write
            && !self.is_dirty
            && let Some(refused) = self.refusal(is_denied_by_oom)
        {
            return Reply::Error(refused.into());
        }
        let reply = self.run(&name, rest);
        // In Redis too it is what was called that counts, not whether it changed anything.
        if is_write && !matches!(reply, Reply::Error(_)) {
            self.is_dirty = true;
        }
        reply
    }

    fn refusal(&self, is_denied_by_oom: bool) -> Option<&'static str> {
        match self.mode {
            Mode::Oom if is_denied_by_oom => Some("OOM command not allowed when used memory > 'maxmemory'."),
            Mode::Misconf => Some("MISCONF Redis is configured to save RDB snapshots, but cannot persist"),
            Mode::NoReplicas => Some("NOREPLICAS Not enough good replicas to write."),
            Mode::ReadOnly => Some("READONLY You can't write against a read only replica."),
            _ => None,
        }
    }

    fn run(&mut self, name: &[u8], args: &[Vec<u8>]) -> Reply {
        match (name, args) {
            (b"TIME", []) => {
                let (s, us) = (self.now_us / 1_000_000, self.now_us % 1_000_000);
                Reply::Array(vec![text(&s.to_string()), text(&us.to_string())])
            }
            (b"TYPE", [key]) => Reply::Status(match self.db.get(key) {
                None => "none",
                Some(Held::Hash(_)) => "hash",
                Some(Held::Text(_)) => "string",
                Some(Held::Stream(..)) => "stream",
            }),
            (b"EXISTS", [key]) => Reply::Int(self.db.get(key).is_some().into()),
            (b"HMGET", [key, fields @ ..]) => self.fields(key, fields),
            (b"HSET", [key, pairs @ ..]) => {
                for pair in pairs.chunks_exact(2) {
                    if !self.db.set_field(key, &pair[0], &pair[1]) {
                        return Reply::Error(WRONGTYPE.into());
                    }
                }
                Reply::Int((pairs.len() / 2) as i64)
            }
            (b"HDEL", [key, field]) => match self.db.get(key) {
                None | Some(Held::Hash(_)) => Reply::Int(self.db.remove_field(key, field).into()),
                Some(_) => Reply::Error(WRONGTYPE.into()),
            },
            (b"GET", [key]) => match self.db.get(key) {
                None => Reply::Nil,
                Some(Held::Text(bytes)) => Reply::Bulk(bytes.to_vec()),
                Some(_) => Reply::Error(WRONGTYPE.into()),
            },
            (b"STRLEN", [key]) => match self.db.get(key) {
                None => Reply::Int(0),
                Some(Held::Text(bytes)) => Reply::Int(bytes.len() as i64),
                Some(_) => Reply::Error(WRONGTYPE.into()),
            },
            (b"XLEN", [key]) => match self.db.get(key) {
                None => Reply::Int(0),
                Some(Held::Stream(entries, _)) => Reply::Int(entries.len() as i64),
                Some(_) => Reply::Error(WRONGTYPE.into()),
            },
            (b"SET", [key, value]) => {
                self.db.set(key, value);
                Reply::Status("OK")
            }
            (b"UNLINK", keys) => Reply::Int(keys.iter().filter(|key| self.db.unlink(key)).count() as i64),
            (b"XADD", [key, rest @ ..]) => self.add_entry(key, rest),
            (b"XTRIM", [key, how, rest @ ..]) if how.eq_ignore_ascii_case(b"MINID") => self.trim(key, rest),
            (b"XRANGE", [key, from, _, _, count]) => self.range(key, from, count),
            (name, _) => Reply::Error(format!("ERR unknown command '{}'", String::from_utf8_lossy(name))),
        }
    }

    fn fields(&self, key: &[u8], fields: &[Vec<u8>]) -> Reply {
        let hash = match self.db.get(key) {
            None => None,
            Some(Held::Hash(hash)) => Some(hash),
            Some(_) => return Reply::Error(WRONGTYPE.into()),
        };
        let field = |field| hash.and_then(|hash| hash.get(field)).cloned().map_or(Reply::Nil, Reply::Bulk);
        Reply::Array(fields.iter().map(field).collect())
    }

    fn add_entry(&mut self, key: &[u8], args: &[Vec<u8>]) -> Reply {
        let (is_known_only, args) = match args {
            [first, rest @ ..] if first.eq_ignore_ascii_case(b"NOMKSTREAM") => (true, rest),
            args => (false, args),
        };
        let [id, _field, value] = args else { return Reply::Error("ERR wrong number of arguments".into()) };
        match self.db.get(key) {
            None if is_known_only => return Reply::Nil,
            None | Some(Held::Stream(..)) => {}
            Some(_) => return Reply::Error(WRONGTYPE.into()),
        }
        let Some(parsed) = parse_id(id) else { return Reply::Error("ERR Invalid stream ID".into()) };
        match self.db.add_entry(key, parsed, value) {
            Some(()) => Reply::Bulk(id.clone()),
            None => Reply::Error(
                "ERR The ID specified in XADD is equal or smaller than the target stream top item".into(),
            ),
        }
    }

    fn trim(&mut self, key: &[u8], args: &[Vec<u8>]) -> Reply {
        /// Entries in a node: `~` removes whole ones.
        const NODE: usize = 100;
        let (is_coarse, args) = match args {
            [first, rest @ ..] if first == b"~" => (true, rest),
            args => (false, args),
        };
        let Some(from) = args.first().and_then(|id| parse_id(id)) else {
            return Reply::Error("ERR Invalid stream ID".into());
        };
        let eligible = match self.db.get(key) {
            Some(Held::Stream(entries, _)) => entries.range(..from).count(),
            None => 0,
            Some(_) => return Reply::Error(WRONGTYPE.into()),
        };
        let most = if is_coarse { eligible / NODE * NODE } else { eligible };
        Reply::Int(self.db.trim(key, from, most) as i64)
    }

    fn range(&self, key: &[u8], from: &[u8], count: &[u8]) -> Reply {
        let entries = match self.db.get(key) {
            None => return Reply::Array(Vec::new()),
            Some(Held::Stream(entries, _)) => entries,
            Some(_) => return Reply::Error(WRONGTYPE.into()),
        };
        let count = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok()).unwrap_or(0);
        let (is_after, from) = match from {
            [b'(', from @ ..] => (true, from),
            from => (false, from),
        };
        let from = if from == b"-" { (0, 0) } else { parse_id(from).unwrap_or((0, 0)) };
        let entries = entries.range(from..).filter(|(id, _)| !is_after || **id != from).take(count);
        let entry = |(id, value): (&Id, &std::sync::Arc<[u8]>)| {
            let fields = vec![text("b"), Reply::Bulk(value.to_vec())];
            Reply::Array(vec![text(&format!("{}-{}", id.0, id.1)), Reply::Array(fields)])
        };
        Reply::Array(entries.map(entry).collect())
    }
}

fn text(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

fn parse_id(id: &[u8]) -> Option<Id> {
    let id = std::str::from_utf8(id).ok()?;
    let (first, second) = id.split_once('-').unwrap_or((id, "0"));
    Some((first.parse().ok()?, second.parse().ok()?))
}
