//! The signals that ask a program to end: the first one stops it in order, the second ends the process at once.
//!
//! # Rules
//! - SIGINT, SIGTERM, SIGHUP and SIGQUIT all mean the same.
//! - SIGHUP and SIGQUIT stay ignored if they were ignored at the start, as under `nohup`.

use std::fmt;
use std::io;

use tokio::sync::oneshot;

/// A signal that asks the program to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(unix), expect(dead_code, reason = "only Unix has the others"))]
pub(crate) enum Signal {
    Hangup,
    Interrupt,
    Quit,
    Terminate,
}

impl Signal {
    /// What a shell shows as the exit status of a program that the signal ended: 128 plus its number.
    fn exit_status(self) -> i32 {
        match self {
            Signal::Hangup => 129,
            Signal::Interrupt => 130,
            Signal::Quit => 131,
            Signal::Terminate => 143,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Hangup => "SIGHUP",
            Signal::Interrupt => "SIGINT",
            Signal::Quit => "SIGQUIT",
            Signal::Terminate => "SIGTERM",
        })
    }
}

/// Listens from here on. The receiver gets the first signal.
pub(crate) fn listen() -> io::Result<oneshot::Receiver<Signal>> {
    let mut signals = Signals::new()?;
    let (first, receiver) = oneshot::channel();
    tokio::spawn(async move {
        // If the receiver is gone, the program is about to end by itself.
        let _ = first.send(signals.next().await);
        std::process::exit(signals.next().await.exit_status());
    });
    Ok(receiver)
}

/// From here on these signals do nothing: another process answers to them, and looks after this one.
pub(crate) fn hold_back() -> io::Result<()> {
    // What was listened for once does not end the process any more.
    Signals::new().map(drop)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
    quit: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let ignored = ignored();
        let unless_ignored = |kind: SignalKind| {
            let is_ignored = ignored & 1 << (kind.as_raw_value() - 1) != 0;
            if is_ignored { Ok(None) } else { signal(kind).map(Some) }
        };
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: unless_ignored(SignalKind::hangup())?,
            quit: unless_ignored(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            () = received(&mut self.hangup) => Signal::Hangup,
            () = received(&mut self.quit) => Signal::Quit,
        }
    }
}

#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The signals that the parent process has this one ignore, a bit for each; 0 if that is unknown.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        // Without a handler there is nothing to wait for, and the system ends the process on its own.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Signal::Interrupt
    }
}
