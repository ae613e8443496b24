//! How far the morning is: a bar on a terminal, on standard error, because standard output is for the result.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use crate::complain;

/// A bar that follows the ledger until it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    watching: JoinHandle<()>,
}

impl Progress {
    pub(super) fn start(ledger: Arc<Ledger>, jobs: u32) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr_with_hz(20)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(u64::from(jobs)), target);
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {pos} of {len} settled, {msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        let watching = tokio::spawn(watch(ledger, bar.clone()));
        Progress { bar, watching }
    }

    /// Says something above the bar, or without a terminal in its place.
    pub(super) fn say(&self, message: impl Display) {
        self.bar.suspend(|| complain(message));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.watching.abort();
        self.bar.finish_and_clear();
    }
}

async fn watch(ledger: Arc<Ledger>, bar: ProgressBar) {
    loop {
        let (settled, pending) = {
            let book = ledger.book();
            (book.settled(), book.pending())
        };
        bar.set_position(settled);
        bar.set_message(format!("{pending} pending"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
