//! Names of owners, and what they prove: whether the process behind a name has ended.
//!
//! A name has host, process id and a random number. Where the system tells, it also has the place, as a hash of what makes
//! process ids comparable (this boot of this machine, its name, and the namespaces of process ids and of time), and when
//! the process began. An owner in another place is never called dead: its process id means nothing here.
//!
//! # Traps
//! - A container may have the host's name, a machine the name of another, and both the same process ids.
//! - `/proc` may belong to another namespace, and may hide the processes of others (`hidepid`). Finding nothing there proves
//!   nothing; a signal that finds no process does.
//! - Process ids are reused: a process that began at another time is another process.
//! - The number of a namespace of process ids may be reused, but only once all processes in it have ended.

use std::sync::OnceLock;

/// A unique name for an engine.
pub(crate) fn owner_name() -> String {
    let (host, pid, random) = (host_name(), std::process::id(), random());
    match place().zip(linux::start_of_self()) {
        Some((place, start)) => format!("{host}:{pid}:{random:016x}:{place:016x}:{start}"),
        None => format!("{host}:{pid}:{random:016x}"),
    }
}

/// Whether it is proved that this owner's process has ended. In doubt it has not.
#[cfg(any(feature = "redis", feature = "disk"))]
pub(crate) fn is_dead(owner: &str) -> bool {
    let mut parts = owner.rsplit(':');
    let mut next = || parts.next();
    let (Some(start), Some(of_place), Some(_random), Some(pid)) = (next(), next(), next(), next()) else {
        return false;
    };
    let (Ok(start), Ok(of_place), Ok(pid)) = (start.parse(), u64::from_str_radix(of_place, 16), pid.parse())
    else {
        return false;
    };
    place() == Some(of_place) && linux::has_ended(pid, start)
}

/// What process ids here are comparable with.
fn place() -> Option<u64> {
    static PLACE: OnceLock<Option<u64>> = OnceLock::new();
    *PLACE.get_or_init(|| {
        let parts = linux::place()?;
        Some(xxhash_rust::xxh3::xxh3_64(format!("{}\0{parts}", host_name()).as_bytes()))
    })
}

#[cfg(target_os = "linux")]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(target_os = "linux"))]
fn host_name() -> String {
    std::env::var("HOSTNAME").unwrap_or_else(|_| "host".to_owned())
}

/// The standard library seeds its hashers from the system's randomness.
#[allow(clippy::disallowed_methods, reason = "two owners must not have one name")]
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;

    /// This boot, and the namespaces that process ids and start times belong to; `None` if `/proc` is another namespace's.
    pub(super) fn place() -> Option<String> {
        let link = |path| Some(fs::read_link(path).ok()?.to_string_lossy().into_owned());
        if link("/proc/self")? != std::process::id().to_string() {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        // An old kernel has no namespaces of time.
        let time = link("/proc/self/ns/time").unwrap_or_default();
        Some(format!("{}\0{}\0{time}", boot.trim(), link("/proc/self/ns/pid")?))
    }

    /// When this process began.
    pub(super) fn start_of_self() -> Option<u64> {
        stat(std::process::id()).map(|stat| stat.start)
    }

    #[cfg(any(feature = "redis", feature = "disk"))]
    pub(super) fn has_ended(pid: u32, start: u64) -> bool {
        use rustix::io::Errno;
        let Some(raw) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
            return false;
        };
        if rustix::process::test_kill_process(raw) == Err(Errno::SRCH) {
            return true;
        }
        stat(pid).is_some_and(|stat| stat.start != start || stat.is_zombie)
    }

    struct Stat {
        /// In ticks of the system since it was booted.
        start: u64,
        /// It has ended, but its parent has not noticed.
        #[cfg_attr(
            not(any(feature = "redis", feature = "disk")),
            allow(dead_code, reason = "only of another process")
        )]
        is_zombie: bool,
    }

    fn stat(pid: u32) -> Option<Stat> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?;
        let threads: u64 = fields.nth(16)?.parse().ok()?;
        let start = fields.nth(1)?.parse().ok()?;
        // The first thread of a process can end before the others.
        Some(Stat { start, is_zombie: matches!(state, "Z" | "X") && threads <= 1 })
    }
}

#[cfg(not(target_os = "linux"))]
mod linux {
    pub(super) fn place() -> Option<String> {
        None
    }

    pub(super) fn start_of_self() -> Option<u64> {
        None
    }

    #[cfg(any(feature = "redis", feature = "disk"))]
    pub(super) fn has_ended(_pid: u32, _start: u64) -> bool {
        false
    }
}

#[cfg(all(test, any(feature = "redis", feature = "disk"), target_os = "linux"))]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn child() -> (Child, String) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(19).unwrap().to_owned();
        let name = format!("host:{}:{:016x}:{:016x}:{start}", child.id(), 7, place().unwrap());
        (child, name)
    }

    #[test]
    fn only_a_process_of_this_place_that_has_ended_is_dead() {
        assert!(!is_dead(&owner_name()), "{}", owner_name());
        let (mut child, name) = child();
        assert!(!is_dead(&name), "{name}");
        let (rest, start) = name.rsplit_once(':').unwrap();
        let later = start.parse::<u64>().unwrap() + 1;
        assert!(is_dead(&format!("{rest}:{later}")), "its id is another process's by now");
        child.kill().unwrap();
        // Its parent has not noticed yet.
        while !is_dead(&name) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_dead(&name));
        let elsewhere = name.replace(&format!("{:016x}", place().unwrap()), &format!("{:016x}", 1));
        assert!(!is_dead(&elsewhere), "a process of another place, with an id that is free here");
    }

    #[test]
    fn other_names_prove_nothing() {
        for name in ["", "me", "host:1:00", "process 0, life 1, engine 2", "host:99999999:7:zz:1", "::::"] {
            assert!(!is_dead(name), "{name}");
        }
    }
}
