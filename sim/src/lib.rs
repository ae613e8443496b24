//! The whole engine under a simulator. One seed decides everything: the calls, the faults, the latency of each message, and
//! which task runs next. A run can be repeated exactly.
//!
//! ```text
//!  plan ──> calls, faults
//!             │
//!  processes: the shipped engine, committer, keeper, store client ──> network ──> server: the shipped scripts
//!             │                                         or store on disk ──> disk: files, names, what power takes
//!             │ answers, starts                                                     │ what was written
//!             ▼                                                                     ▼
//!  ledger: what users were told                                          shadow: what the store should hold
//! ```
//!
//! Time, tasks, the network and the data of a Redis are simulated, and the files below a store on disk. On them runs the library as it is shipped, through the
//! seam in `reveille::sim`: the driver is a task, and everything else is as in production, down to the bytes of the protocol
//! and the text of the scripts, which a Lua interpreter runs.

mod app;
mod calls;
mod disk;
mod ledger;
mod network;
mod plan;
mod process;
mod run;
mod server;
mod shadow;
mod shrink;
mod trace;
mod world;

pub use disk::Trouble;
pub use plan::{Fault, Item, Loss, Setting, StoreKind, What, draw};
pub use run::{Outcome, run, run_beside};
pub use server::{Asked, Held, Mode, Twin};
pub use shrink::shrink;
pub use world::{Violation, listen_to_panics};
