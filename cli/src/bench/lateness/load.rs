//! Threads that are busy with something else.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

/// Busy until dropped.
#[derive(Debug)]
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    pub(super) fn of(threads: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let threads = (0..threads).map(|seed| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed.into());
                while !is_over.load(Relaxed) {
                    black_box(random.u64(..));
                }
            })
        });
        Load { threads: threads.collect(), is_over }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
