//! What the process of the long-lived engine holds, and its Redis: looked at after each storm, when all is quiet.

use std::time::Duration;

use crate::faults::command;
use crate::handlers::{NAMESPACE, PARTITIONS, SNAPSHOT_RECORDS};
use crate::heap::in_use_kib;
use testkit::redis::RedisServer;

/// By how much resident memory may grow from the first third of a run to the last, beside a twelfth of it. Coarse: what an
/// allocator keeps for later creeps up by some MiB with the threads that come and go.
const SLACK_KIB: u64 = 8 * 1024;

/// What is allocated is exact; what is under way at the moment is not always the same.
const HEAP_SLACK_KIB: u64 = 512;

/// Redis has its own allocator, and buffers that come and go with its connections.
const REDIS_SLACK_KIB: u64 = 8 * 1024;

/// Entries of all logs: none has fewer records than one, and a snapshot that a storm prevents is taken in the calm.
const LOG_ENTRIES_MAX: u64 = PARTITIONS as u64 * SNAPSHOT_RECORDS * 3;

/// What a partition has at a time, with room: two keys, a snapshot, another that is being written or removed.
const REDIS_KEYS_MAX: u64 = PARTITIONS as u64 * 24;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) memory_kib: u64,
    pub(crate) heap_kib: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) redis_kib: u64,
    pub(crate) log_entries: u64,
    pub(crate) redis_keys: u64,
}

impl Sample {
    pub(crate) fn take(server: &RedisServer) -> Self {
        let entry = |n| command(server, &["XLEN", &format!("{{rv:{NAMESPACE}:{n}}}:l")]);
        cut_connections(server);
        let sample = Sample {
            memory_kib: resident_kib(),
            heap_kib: in_use_kib(),
            descriptors: fewest("/proc/self/fd"),
            threads: fewest("/proc/self/task"),
            redis_kib: used_memory(server) / 1024,
            log_entries: (0..PARTITIONS).map(|n| integer(entry(n))).sum(),
            redis_keys: integer(command(server, &["DBSIZE"])),
        };
        println!("{sample:?}");
        sample
    }
}

/// The samples after the warm-up, in thirds.
pub(crate) struct Compared {
    pub(crate) first: Sample,
    pub(crate) last: Sample,
    pub(crate) memory_kib: (u64, u64),
    pub(crate) heap_kib: (u64, u64),
    pub(crate) redis_kib: (u64, u64),
    pub(crate) log_entries_most: u64,
    pub(crate) redis_keys_most: u64,
}

/// How many storms are the warm-up: memory fills what it may fill.
pub(crate) fn warm_up(storms: usize) -> usize {
    (storms / 4).max(1)
}

impl Compared {
    pub(crate) fn of(samples: &[Sample]) -> Self {
        let warm = &samples[warm_up(samples.len())..];
        let third = warm.len().div_ceil(3);
        let medians = |value: fn(&Sample) -> u64| {
            (median(&warm[..third], value), median(&warm[warm.len() - third..], value))
        };
        Compared {
            first: warm[0],
            last: warm[warm.len() - 1],
            memory_kib: medians(|sample| sample.memory_kib),
            heap_kib: medians(|sample| sample.heap_kib),
            redis_kib: medians(|sample| sample.redis_kib),
            log_entries_most: samples.iter().map(|sample| sample.log_entries).max().unwrap_or(0),
            redis_keys_most: samples.iter().map(|sample| sample.redis_keys).max().unwrap_or(0),
        }
    }

    /// What has grown that must not.
    pub(crate) fn grown(&self) -> Vec<String> {
        let mut grown = Vec::new();
        let mut bounded = |what: &str, (was, is): (u64, u64), slack: u64| {
            if is > was + was / 12 + slack {
                grown.push(format!("{what} grew from {was} to {is}"));
            }
        };
        let (first, last) = (&self.first, &self.last);
        bounded("memory, in KiB,", self.memory_kib, SLACK_KIB);
        bounded("what is allocated, in KiB,", self.heap_kib, HEAP_SLACK_KIB);
        bounded("memory of Redis, in KiB,", self.redis_kib, REDIS_SLACK_KIB);
        for (what, was, is) in [
            ("the number of descriptors", first.descriptors, last.descriptors),
            ("the number of threads", first.threads, last.threads),
        ] {
            if is > was {
                grown.push(format!("{what} grew from {was} to {is}"));
            }
        }
        for (what, is, most) in [
            ("the logs", self.log_entries_most, LOG_ENTRIES_MAX),
            ("the keys in Redis", self.redis_keys_most, REDIS_KEYS_MAX),
        ] {
            if is > most {
                grown.push(format!("{what} were {is}, {most} are the most"));
            }
        }
        grown
    }
}

fn median(samples: &[Sample], value: fn(&Sample) -> u64) -> u64 {
    let mut values: Vec<u64> = samples.iter().map(value).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The connection for syncs is there if one was needed lately. So that it makes no difference, all connections are cut, and
/// those that are always there are waited for.
fn cut_connections(server: &RedisServer) {
    command(server, &["CLIENT", "KILL", "TYPE", "normal"]);
    let are_back = |_| {
        std::thread::sleep(Duration::from_millis(100));
        let clients: String = redis::from_redis_value(command(server, &["CLIENT", "LIST"])).unwrap();
        ["log", "control"].iter().all(|name| clients.contains(&format!("name=reveille:{NAMESPACE}:{name}")))
    };
    assert!((0..200).any(are_back), "the engine does not connect again");
}

/// How many entries a directory has, at the least in half a second: connections that were given up take a moment to end.
fn fewest(directory: &str) -> usize {
    let count = |_| {
        std::thread::sleep(Duration::from_millis(20));
        std::fs::read_dir(directory).unwrap().count()
    };
    (0..25).map(count).min().unwrap_or(0)
}

fn used_memory(server: &RedisServer) -> u64 {
    let info: String = redis::from_redis_value(command(server, &["INFO", "memory"])).unwrap();
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    line.trim().parse().unwrap()
}

fn integer(value: redis::Value) -> u64 {
    redis::from_redis_value(value).unwrap()
}
