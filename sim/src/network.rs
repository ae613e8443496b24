//! The network between the processes and the Redis: connections that are slow, are cut, or swallow what is sent.
//!
//! Requests on one connection arrive in order. A cut connection loses the answers on their way. Requests sent before may
//! still arrive, all of them up to some point, and late: after requests on the next connection.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redis::{RedisError, Value};
use reveille::sim::{Boxed, Line};
use tokio::sync::{oneshot, watch};

use crate::process::Process;
use crate::server::Server;
use crate::world::World;

/// All connections, and the server behind them.
pub(crate) struct Network {
    world: Arc<World>,
    /// The server.
    pub server: Arc<Server>,
    state: Mutex<State>,
}

struct State {
    rng: fastrand::Rng,
    lines: BTreeMap<u64, Arc<Connection>>,
    next_id: u64,
    /// Nothing that a process sends arrives before this.
    deaf_until_us: BTreeMap<usize, u64>,
    /// The longest latency to the server, in microseconds.
    delay_us: u64,
}

/// A connection.
struct Connection {
    id: u64,
    slot: usize,
    world: Arc<World>,
    network: Weak<Network>,
    is_cut: watch::Sender<bool>,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    requests: VecDeque<Request>,
    /// When the last request arrives.
    last_us: u64,
    /// How many requests on their way still arrive after a cut.
    arriving: Option<usize>,
}

struct Request {
    packed: Vec<u8>,
    count: usize,
    answers: oneshot::Sender<Result<Vec<Value>, RedisError>>,
}

impl Network {
    /// A network with this server.
    pub(crate) fn new(world: &Arc<World>, server: &Arc<Server>, seed: u64, delay_us: u64) -> Arc<Self> {
        let state = State {
            rng: fastrand::Rng::with_seed(seed ^ 0x6e65_7477),
            lines: BTreeMap::new(),
            next_id: 0,
            deaf_until_us: BTreeMap::new(),
            delay_us,
        };
        Arc::new(Network { world: Arc::clone(world), server: Arc::clone(server), state: Mutex::new(state) })
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// When the server is down, or does not answer.
    pub(crate) async fn connect(self: Arc<Self>, process: Arc<Process>) -> io::Result<Arc<dyn Line>> {
        let us = self.way_us();
        self.world.after(us).await;
        if self.deaf_until_us(process.slot) > self.world.now_us() {
            self.world.after(1_000_000).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !self.server.is_up() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let mut state = self.state.lock();
        state.next_id += 1;
        let line = Arc::new(Connection {
            id: state.next_id,
            slot: process.slot,
            world: Arc::clone(&self.world),
            network: Arc::downgrade(&self),
            is_cut: watch::Sender::new(false),
            inbox: Mutex::default(),
        });
        state.lines.insert(line.id, Arc::clone(&line));
        Ok(line)
    }

    /// Cuts the connections of a process, or all. With `arrives` some requests on their way still arrive, up to that much
    /// later.
    pub(crate) fn cut(&self, slot: Option<usize>, arrives_us: Option<u64>) {
        let mut state = self.state.lock();
        let cut: Vec<Arc<Connection>> =
            state.lines.values().filter(|line| slot.is_none_or(|slot| line.slot == slot)).cloned().collect();
        for line in cut {
            state.lines.remove(&line.id);
            let late_us = arrives_us.map(|most| state.rng.u64(..=most));
            let keep = state.rng.usize(..=4);
            line.cut(late_us.map(|_| keep));
            if let Some(late_us) = late_us {
                let world = Arc::clone(&self.world);
                let network = line.network.clone();
                self.world.spawn_env(async move {
                    world.after(late_us).await;
                    if let Some(network) = network.upgrade() {
                        network.deliver_left(&line);
                    }
                });
            }
        }
    }

    /// A process is gone: its connections are closed, and what it had sent arrives.
    pub(crate) fn left(&self, process: &Process) {
        self.cut(Some(process.slot), Some(2_000_000));
    }

    /// Nothing from a process arrives for this long.
    pub(crate) fn deafen(&self, slot: usize, us: u64) {
        self.state.lock().deaf_until_us.insert(slot, self.world.now_us() + us);
    }

    /// Sets the longest latency to the server.
    pub(crate) fn slow_to(&self, us: u64) {
        self.state.lock().delay_us = us;
    }

    /// Ends all faults.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock();
        state.deaf_until_us.clear();
        state.delay_us = 300;
    }

    fn deaf_until_us(&self, slot: usize) -> u64 {
        self.state.lock().deaf_until_us.get(&slot).copied().unwrap_or(0)
    }

    fn way_us(&self) -> u64 {
        let mut state = self.state.lock();
        let most = state.delay_us;
        30 + state.rng.u64(..=most)
    }

    /// The first request on a connection has arrived.
    fn deliver(self: &Arc<Self>, line: &Arc<Connection>) {
        let request = {
            let mut inbox = line.inbox.lock();
            match &mut inbox.arriving {
                // It is cut: what still arrives arrives later.
                Some(_) => None,
                None => inbox.requests.pop_front(),
            }
        };
        if let Some(request) = request {
            self.answer(request);
        }
    }

    fn deliver_left(self: &Arc<Self>, line: &Arc<Connection>) {
        loop {
            let request = {
                let mut inbox = line.inbox.lock();
                let Some(left) = inbox.arriving.filter(|&left| left > 0) else { return };
                inbox.arriving = Some(left - 1);
                inbox.requests.pop_front()
            };
            let Some(request) = request else { return };
            self.answer(request);
        }
    }

    fn answer(self: &Arc<Self>, request: Request) {
        let Request { packed, count, answers } = request;
        let (network, world) = (Arc::clone(self), Arc::clone(&self.world));
        let (values, waits_us) = self.server.answer(&packed, count);
        self.world.spawn_env(async move {
            let back_us = network.way_us() + waits_us;
            world.after(back_us).await;
            let _ = answers.send(values);
        });
    }
}

impl Connection {
    fn cut(&self, arriving: Option<usize>) {
        {
            let mut inbox = self.inbox.lock();
            inbox.arriving = Some(arriving.unwrap_or(0));
        }
        self.is_cut.send_replace(true);
    }

    /// Puts a request on its way.
    fn post(self: &Arc<Self>, request: Request) {
        let Some(network) = self.network.upgrade() else { return };
        let way_us = network.way_us();
        let at_us = {
            let mut inbox = self.inbox.lock();
            let earliest = network.deaf_until_us(self.slot).max(self.world.now_us() + way_us);
            inbox.last_us = earliest.max(inbox.last_us + 1);
            inbox.requests.push_back(request);
            inbox.last_us
        };
        let (world, line) = (Arc::clone(&self.world), Arc::clone(self));
        self.world.spawn_env(async move {
            world.until(at_us).await;
            network.server.while_paused(&world).await;
            network.deliver(&line);
        });
    }
}

/// What the library has of a connection.
impl Line for Connection {
    fn send(&self, packed: Vec<u8>, count: usize) -> Boxed<Result<Vec<Value>, RedisError>> {
        let network = self.network.clone();
        let id = self.id;
        Box::pin(async move {
            let lost = || Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
            let line = network.upgrade().and_then(|network| network.state.lock().lines.get(&id).cloned());
            let Some(line) = line else { return lost() };
            let (answers, answered) = oneshot::channel();
            let mut is_cut = line.is_cut.subscribe();
            line.post(Request { packed, count, answers });
            tokio::select! {
                biased;
                _ = is_cut.wait_for(|is_cut| *is_cut) => lost(),
                answer = answered => answer.unwrap_or_else(|_| lost()),
            }
        })
    }
}
