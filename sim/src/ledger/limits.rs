//! How many jobs of a life run and start, and whose turn it is.
//!
//! # How it judges
//! - A job runs from its start until its engine says that the attempt has ended. When one starts, no more run of its queue than its
//!   concurrency, and no more of all queues in the pool than that has handlers. (Of the inline queue any number may wait to be at the
//!   store before their handlers begin, and these are the driver's.) A limit that was lowered is in keeping with that, for
//!   nothing starts until enough have ended.
//! - From the first of n starts of a queue to the last passes at least the time of n - burst starts of its rate. A life begins with the
//!   whole burst, as the rate is a setting of a process; so does a queue whose rate is changed.
//! - When a job of a queue in the pool starts, no queue of a higher precedence could start one, however many handlers the pool has. Which queues
//!   could is what the engine says; whose turn it is follows from that.
//! - While two queues of one precedence could start jobs at each start of that precedence, a/v and b/w differ by no more than 1/v + 1/w, where a and b
//!   are how many each has started since then, and v and w their weights.

use std::collections::BTreeMap;

use reveille::Handle;

use crate::plan::{Order, Pace, Queue, Setting};

/// A broken promise: which, and what was seen.
pub(crate) type Broken = (&'static str, String);

/// The limits of a life, and what they count.
#[derive(Clone, Default, Debug)]
pub(crate) struct Limits {
    concurrency: BTreeMap<Queue, usize>,
    pool: Option<usize>,
    order: Option<Order>,
    paces: BTreeMap<Queue, Pace>,
    running: Vec<(Handle, Queue)>,
    /// When jobs started since a queue has its rate, by the monotonic clock.
    starts_us: BTreeMap<Queue, Vec<u64>>,
    /// Of two queues that could start jobs all the time: how many each has started.
    shares: BTreeMap<(Queue, Queue), (u64, u64)>,
}

impl Limits {
    /// Those that each life begins with.
    pub(crate) fn new(setting: &Setting) -> Self {
        Limits {
            concurrency: Queue::ALL.into_iter().map(|queue| (queue, setting.concurrency)).collect(),
            pool: setting.pool.map(|pool| pool.handlers),
            order: setting.pool.map(|pool| pool.order),
            paces: setting.paces.iter().copied().collect(),
            ..Limits::default()
        }
    }

    /// So many handlers run from here on.
    pub(crate) fn set_pool(&mut self, handlers: usize) {
        self.pool = self.pool.map(|_| handlers);
    }

    /// So many jobs of a queue run from here on.
    pub(crate) fn set_concurrency(&mut self, queue: Queue, jobs: usize) {
        self.concurrency.insert(queue, jobs);
    }

    /// A queue has this rate from here on.
    pub(crate) fn set_rate(&mut self, queue: Queue, pace: Option<Pace>) {
        self.starts_us.remove(&queue);
        match pace {
            Some(pace) => drop(self.paces.insert(queue, pace)),
            None => drop(self.paces.remove(&queue)),
        }
    }

    /// An attempt has ended.
    pub(crate) fn ended(&mut self, handle: Handle) {
        self.running.retain(|(its, _)| *its != handle);
    }

    /// A job starts, while those queues could start one of which the engine says so. Returns which promise is broken, and how.
    pub(crate) fn started(
        &mut self,
        queue: Queue,
        handle: Handle,
        mono_us: u64,
        could_start: impl Fn(Queue) -> bool,
    ) -> Option<Broken> {
        self.running.push((handle, queue));
        let too_many = self.too_many(queue).or_else(|| self.too_soon(queue, mono_us));
        let broken = too_many.map(|what| ("9 everything is bounded", what));
        let order = self.order.filter(|_| queue.is_by_workers());
        let out_of_turn = order.and_then(|order| self.out_of_turn(queue, order, could_start));
        broken.or(out_of_turn.map(|what| ("7 order", what)))
    }

    fn too_many(&self, queue: Queue) -> Option<String> {
        if !queue.is_by_workers() {
            return None;
        }
        let of_queue = self.running.iter().filter(|(_, its)| *its == queue).count();
        let most = self.concurrency.get(&queue).copied().unwrap_or(usize::MAX);
        if of_queue > most {
            return Some(format!("{of_queue} jobs of {queue:?} run, and no more than {most} may"));
        }
        let of_pool = self.running.iter().filter(|(_, its)| its.is_by_workers()).count();
        let most = self.pool?;
        (of_pool > most).then(|| {
            format!("{of_pool} jobs of the pool run, the last of {queue:?}, and no more than {most} may")
        })
    }

    fn too_soon(&mut self, queue: Queue, mono_us: u64) -> Option<String> {
        let pace = *self.paces.get(&queue)?;
        let starts_us = self.starts_us.entry(queue).or_default();
        starts_us.push(mono_us);
        let interval_ns = pace.period_us * 1_000 / u64::from(pace.starts);
        let (burst, count) = (u64::from(pace.burst), starts_us.len() as u64);
        let is_too_many = |(first, from_us): (u64, &u64)| {
            let least_ns = (count - first).saturating_sub(burst) * interval_ns;
            (mono_us - from_us) * 1_000 < least_ns
        };
        let first = (0..).zip(starts_us.iter()).find(|&start| is_too_many(start));
        first.map(|(first, from_us)| {
            format!("{} jobs of {queue:?} have started in {} µs: {pace:?}", count - first, mono_us - from_us)
        })
    }

    fn out_of_turn(
        &mut self,
        queue: Queue,
        order: Order,
        could_start: impl Fn(Queue) -> bool,
    ) -> Option<String> {
        let (precedence, weight) = order.place(queue);
        let others = Queue::ALL.into_iter().filter(|other| *other != queue && other.is_by_workers());
        let others: Vec<_> = others.map(|other| (other, order.place(other), could_start(other))).collect();
        let is_passed_by = |&&(_, (its, _), could): &&(Queue, (i8, u16), bool)| could && its > precedence;
        if let Some((other, ..)) = others.iter().find(is_passed_by) {
            return Some(format!("a job of {queue:?} has started, and {other:?} could have started one"));
        }
        let equals: Vec<_> = others.into_iter().filter(|&(_, (its, _), _)| its == precedence).collect();
        let idle = |queue: Queue| equals.iter().any(|&(other, _, could)| other == queue && !could);
        self.shares.retain(|&(one, other), _| !idle(one) && !idle(other));
        let busy = equals.iter().filter(|(.., could)| *could);
        busy.fold(None, |found, &(other, (_, its), _)| found.or(self.share((queue, weight), (other, its))))
    }

    /// A job of one queue has started, while another of its precedence could start one.
    fn share(&mut self, one: (Queue, u16), other: (Queue, u16)) -> Option<String> {
        let is_first = one.0 < other.0;
        let pair = if is_first { (one.0, other.0) } else { (other.0, one.0) };
        let share = self.shares.entry(pair).or_default();
        let (its, others) =
            if is_first { (&mut share.0, &mut share.1) } else { (&mut share.1, &mut share.0) };
        *its += 1;
        let (its, others) = (*its, *others);
        let (weight, other_weight) = (u64::from(one.1), u64::from(other.1));
        let apart = (its * other_weight).abs_diff(others * weight);
        (apart > weight + other_weight).then(|| {
            format!(
                "{:?} of weight {weight} has started {its} jobs, {:?} of weight {other_weight} {others}",
                one.0, other.0
            )
        })
    }
}
