//! Checks while an engine runs that Redis still has what it acknowledged, and that it can be relied on. Otherwise data that
//! only a restore reads could be gone long before anyone notices.

use redis::{Pipeline, Value};

use super::Core;
use super::answer::behind;
use super::errors::Doing;
use super::facts::{Facts, setting};
use super::known::{Expected, Round};
use super::link::Link;
use super::scripts::{CHECK, Call, NUMBER_MAX, run};
use crate::store::{Grant, StoreError};

/// Chunks that are checked in one step: some microseconds of Redis' time.
const CHUNKS_STEP: u64 = 128;

impl Core {
    /// Checks `:m`, the log, and the next chunks of the snapshot.
    pub(super) async fn check(&self, grant: &Grant) -> Result<(), StoreError> {
        let keys = self.keys(grant.partition);
        let expected = self.known.expected(grant);
        let Expected { kept, base, round, appended } = &expected;
        let (generation, chunks) =
            kept.published().map_or((0, 0), |published| (published.generation, published.chunks));
        let end = chunks.min(round.next_chunk + CHUNKS_STEP);
        let mut names = vec![keys.meta(), keys.log()];
        names.extend((round.next_chunk..end).map(|number| keys.chunk(generation, number)));
        let entries_min = round.log.map_or(0, |(entries, then)| entries + appended.saturating_sub(then));
        let covered = kept.covered().unwrap_or(NUMBER_MAX - 1);
        let mut call = Call::by(&CHECK, names, grant).number(entries_min).number(covered);
        let fields = [("partitions", keys.partitions().to_string()), ("base", base.to_string())];
        let fields: Vec<_> = fields.into_iter().chain(kept.fields()).collect();
        for (field, value) in &fields {
            call = call.text(field).text(value);
        }
        let meta = keys.meta();
        let (answer, _) = run(&self.control, &call, Doing::with("looking at", &meta)).await?;
        if answer.word() != "OK" {
            return Err(answer.refusal(&keys));
        }
        let mut next =
            Round { generation, next_chunk: end, bytes: round.bytes + answer.number(2), log: None };
        if end == chunks {
            if let Some(published) = kept.published().filter(|published| published.bytes != next.bytes) {
                return Err(behind(format!(
                    "the chunks of the snapshot of partition {} had {} bytes and have {}: one of `{keys}` was changed",
                    grant.partition.0, published.bytes, next.bytes
                )));
            }
            (next.next_chunk, next.bytes) = (0, 0);
        }
        self.known.found(grant, &expected, answer.number(1), next);
        Ok(())
    }

    /// Reasons not to rely on this Redis although it takes what it is sent.
    pub(super) async fn doubts(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.control.connection().await?;
        let doing = Doing::plain("asking Redis how it does");
        let mut commands = Pipeline::new();
        commands.cmd("INFO");
        commands.cmd("CONFIG").arg("GET").arg("appendfsync");
        commands.cmd("CONFIG").arg("GET").arg("no-appendfsync-on-rewrite");
        let mut answers = self.control.send_all(&connection, &commands, doing).await?.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let info = self.control.checked(&connection, next(), doing)?;
        let Value::BulkString(info) = info else { return Ok(Vec::new()) };
        let mut now = Facts::from_info(&String::from_utf8_lossy(&info));
        now.has_waitaof = connection.facts.has_waitaof;
        now.settings = connection.facts.settings.clone();
        now.settings.appendfsync = setting(&next());
        now.settings.no_appendfsync_on_rewrite = setting(&next());
        // What an acknowledgement proves depends on what the server said when the connection was made.
        if now.fsync() != connection.facts.fsync() {
            [&self.log, &self.control].into_iter().for_each(Link::give_up);
        }
        Ok(self.seen.lock().doubts(now))
    }
}
