//! The log of a partition on its way to the store: what is pending, how far the store has come, and who waits for that.

mod buffer;
mod progress;
mod waiters;

pub(crate) use buffer::{LogBuffer, Pending};
pub(crate) use progress::LogProgress;
pub(crate) use waiters::Ticket;
