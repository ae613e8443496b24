//! Proofs beyond an acknowledgement: on Redis' disk, or on its replicas.
//!
//! WAIT and WAITAOF speak for what was written before them on their own connection, and block it meanwhile. So they have a
//! connection of their own, made when they are first needed; appends never wait behind them. A small write on it,
//! fenced, comes first: it comes after every acknowledged append and checks that they are there, so the answer speaks for
//! them, whichever server it comes from.
//!
//! Callers who ask while an answer is awaited share the next one: with one sync a second, partitions that took turns would
//! wait a second each.
//!
//! # Rules
//! - On every new connection a server says whether it answers after the sync (`appendfsync always`). An append that was
//!   acknowledged on such a connection needs nothing more; any other needs a proof. Not noticed before the next connection: a
//!   setting changed with CONFIG SET, and a proxy that switches to another server.
//! - The counts that WAIT and WAITAOF answer with are checked.
//! - [`Durability::Replicated`] is WAIT for the configured number of replicas, and WAITAOF on the master if it has that.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::{Pipeline, Value};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Core;
use super::answer::{Answer, behind};
use super::config::RedisConfig;
use super::connect::Connection;
use super::errors::Doing;
use super::facts::Fsync;
use super::known::Unproved;
use super::link::Link;
use super::scripts::{Call, SYNC, run_on};
use crate::store::{Durability, Grant, StoreError, StoreErrorClass};

/// The least time to wait for an answer: a sync once a second has to fit in, even a slow one.
const WAIT_MIN: Duration = Duration::from_secs(3);

/// The waiting callers, and the connection they wait on.
#[derive(Debug)]
pub(super) struct Syncs {
    link: Link,
    wait: Duration,
    waiting: Mutex<Vec<Request>>,
    /// Held by the caller who asks for all that wait.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Request {
    grant: Grant,
    level: Durability,
    unproved: Unproved,
    done: oneshot::Sender<Result<(), StoreError>>,
}

/// A server's answer: on how many local disks, and on how many replicas.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Counts {
    disks: i64,
    replicas: i64,
}

impl Syncs {
    pub(super) fn new(config: &Arc<RedisConfig>) -> Self {
        let wait = config.response_timeout.max(WAIT_MIN);
        let link = Link::new(Arc::clone(config), "sync", wait * 2 + config.response_timeout);
        Syncs { link, wait, waiting: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }
}

impl Core {
    pub(super) async fn sync(&self, grant: &Grant, level: Durability) -> Result<(), StoreError> {
        if level <= Durability::Logged {
            return Ok(());
        }
        let unproved = self.known.unproved(grant);
        if level == Durability::Fsync && unproved.is_on_disk {
            return Ok(());
        }
        loop {
            let (done, mut answer) = oneshot::channel();
            self.syncs.waiting.lock().push(Request { grant: grant.clone(), level, unproved, done });
            let _turn = self.syncs.turn.lock().await;
            // Not if the caller before has already asked for it.
            match answer.try_recv() {
                Ok(result) => return result,
                Err(TryRecvError::Empty) => self.sync_all().await,
                // The caller who asked was dropped before the answer came.
                Err(TryRecvError::Closed) => continue,
            }
            if let Ok(result) = answer.try_recv() {
                return result;
            }
        }
    }

    /// Asks once, for all waiting callers.
    async fn sync_all(&self) {
        let requests = std::mem::take(&mut *self.syncs.waiting.lock());
        let asked = self.ask(&requests).await;
        for (at, request) in requests.into_iter().enumerate() {
            let result = match &asked {
                Ok(results) => {
                    results.get(at).cloned().unwrap_or_else(|| Err(StoreError::retry("no answer")))
                }
                Err(error) => Err(error.clone()),
            };
            if result.is_ok() && request.level == Durability::Fsync {
                self.known.prove(&request.grant, request.unproved);
            }
            let _ = request.done.send(result);
        }
    }

    async fn ask(&self, requests: &[Request]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let link = &self.syncs.link;
        let connection = link.connection().await?;
        let calls: Vec<Call<'_>> = requests
            .iter()
            .map(|request| {
                let keys = vec![self.keys(request.grant.partition).meta()];
                Call::by(&SYNC, keys, &request.grant).number(request.unproved.acknowledged)
            })
            .collect();
        let doing = Doing::plain("asking whether records are on the disk or on replicas");
        let written = run_on(link, &connection, &calls, doing).await?;
        let counts = self.wait(&connection, requests, doing).await?;
        let judge = |(request, answer): (&Request, Value)| {
            let answer = Answer::new(link.checked(&connection, answer, doing)?);
            self.judge(request, &answer, &connection, counts)
        };
        Ok(requests.iter().zip(written).map(judge).collect())
    }

    /// Waits on the connection on which the writes were made.
    async fn wait(
        &self,
        connection: &Arc<Connection>,
        requests: &[Request],
        doing: Doing<'_>,
    ) -> Result<Counts, StoreError> {
        let (link, ms) = (&self.syncs.link, self.syncs.wait.as_millis() as u64);
        let waits_for_replicas = requests.iter().any(|request| request.level == Durability::Replicated);
        let waits_for_disk = connection.facts.fsync() == Fsync::OnRequest;
        let mut commands = Pipeline::new();
        if waits_for_replicas {
            commands.cmd("WAIT").arg(self.config.replicas_wanted()).arg(ms);
        }
        if waits_for_disk {
            commands.cmd("WAITAOF").arg(1).arg(0).arg(ms);
        }
        let mut counts = Counts::default();
        if commands.is_empty() {
            return Ok(counts);
        }
        for answer in link.send_all(connection, &commands, doing).await? {
            match link.checked(connection, answer, doing)? {
                Value::Int(replicas) => counts.replicas = replicas,
                Value::Array(disks) => {
                    counts.disks =
                        disks.first().and_then(|disks| redis::from_redis_value_ref(disks).ok()).unwrap_or(0);
                }
                _ => {}
            }
        }
        Ok(counts)
    }

    fn judge(
        &self,
        request: &Request,
        answer: &Answer,
        connection: &Connection,
        counts: Counts,
    ) -> Result<(), StoreError> {
        let (partition, acknowledged) = (request.grant.partition.0, request.unproved.acknowledged);
        match answer.word() {
            "OK" => {}
            "GAP" => {
                let tail = answer.number(1);
                return Err(behind(format!(
                    "Redis went back in time: of partition {partition} it has the records up to {tail}, and had \
                     acknowledged those up to {acknowledged}"
                )));
            }
            _ => return Err(answer.refusal(&self.keys(request.grant.partition))),
        }
        let refuse = |message: String| Err(StoreError::new(StoreErrorClass::Refused, message));
        let (wanted, ms) = (self.config.replicas_wanted(), self.syncs.wait.as_millis());
        if request.level == Durability::Replicated && counts.replicas < i64::from(wanted) {
            let found = counts.replicas;
            return refuse(format!(
                "{found} of {wanted} replicas had the records of partition {partition} within {ms} ms: connect replicas, \
                 or ask for fewer (RedisConfig::replicas)"
            ));
        }
        match connection.facts.fsync() {
            Fsync::BeforeAnswer => Ok(()),
            Fsync::OnRequest if counts.disks >= 1 => Ok(()),
            Fsync::OnRequest => Err(StoreError::retry(format!(
                "Redis did not sync its append-only file within {ms} ms, which holds records of partition {partition}"
            ))),
            // The replicas have it; nothing proves this disk.
            Fsync::Impossible(_) if request.level == Durability::Replicated => Ok(()),
            Fsync::Impossible(why) => refuse(format!("the durability `fsync` can no longer be had: {why}")),
        }
    }
}
