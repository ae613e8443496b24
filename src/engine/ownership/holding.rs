//! What an engine knows of its right to one partition.

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::partition::MonoTime;
use crate::store::{Grant, StoreError};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// The lease of one partition. Each is proved, found behind and lost by itself.
pub(super) struct Holding {
    pub(super) grant: Mutex<Option<Grant>>,
    /// The first epoch under which this engine has had it; 0 before that.
    pub(super) first_epoch: AtomicU64,
    /// The lease is proved up to here, by the monotonic clock. `u64::MAX`: needs no proof.
    pub(super) proved_until_us: AtomicU64,
    /// Found out by whoever wanted to start a job too late; wiped off by the next proof.
    pub(super) has_lapsed: AtomicBool,
    /// When that was found out.
    pub(super) lapsed_at_us: AtomicU64,
    /// Whether the store was found to have less than it acknowledged, or something else in its place; and why it is so.
    pub(super) is_behind: AtomicBool,
    pub(super) behind_since: Mutex<Option<StoreError>>,
    /// Whether a claim is under way, or has been and its answer was lost: what the store says of the grant from before it
    /// means nothing.
    pub(super) is_claiming: AtomicBool,
    /// Whether another engine owns the partition; for good.
    is_lost: AtomicBool,
    lost: watch::Sender<Option<StoreError>>,
}

impl Holding {
    pub(super) fn new() -> Self {
        Holding {
            grant: Mutex::new(None),
            first_epoch: AtomicU64::new(0),
            proved_until_us: AtomicU64::new(0),
            has_lapsed: AtomicBool::new(false),
            lapsed_at_us: AtomicU64::new(0),
            is_behind: AtomicBool::new(false),
            behind_since: Mutex::new(None),
            is_claiming: AtomicBool::new(false),
            is_lost: AtomicBool::new(false),
            lost: watch::channel(None).0,
        }
    }

    /// Found to have run out at `now`. Returns whether that is news.
    pub(super) fn lapses(&self, now: MonoTime) -> bool {
        let is_news = !self.has_lapsed.load(SeqCst);
        if is_news {
            self.lapsed_at_us.store(now.as_micros(), SeqCst);
        }
        !self.has_lapsed.swap(true, SeqCst)
    }

    /// Another engine owns the partition. Returns whether that is news.
    pub(super) fn lose(&self, error: &StoreError) -> bool {
        // In this order: whoever proves the lease meanwhile looks whether it is lost after that.
        let is_news = !self.is_lost.swap(true, SeqCst);
        self.proved_until_us.store(0, SeqCst);
        if is_news {
            self.lost.send_replace(Some(error.clone()));
        }
        is_news
    }

    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(SeqCst)
    }

    /// Why it is lost, if it is.
    pub(super) fn lost(&self) -> Option<StoreError> {
        self.lost.borrow().clone()
    }

    /// Resolves when it is lost.
    pub(super) async fn until_lost(&self) {
        // It cannot be closed: the sender is right here.
        let _ = self.lost.subscribe().wait_for(Option::is_some).await;
    }
}
