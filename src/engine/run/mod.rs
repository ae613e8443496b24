//! From due to done: the driver, the queues' workers, and the attempt at a job.

mod asking;
mod attempt;
mod cancellation;
mod context;
pub(crate) mod driver;
mod fencing;
mod handler;
#[cfg(feature = "tower")]
mod layered;
#[cfg(feature = "tower")]
mod layers;
mod order;
mod progress;
mod recurs;
mod rehearsal;
mod release;
mod sequel;
mod spans;
mod starts;
mod turns;
pub(crate) mod worker;

pub use context::ContextTask;
pub(crate) use driver::InlineQueue;
pub use fencing::FencingToken;
pub use handler::{BoxError, IntoJobResult, Job, JobResult, Task};
pub(crate) use handler::{Ends, InlineFn, run_task};
#[cfg(feature = "tower")]
pub use layers::JobService;
