//! The right to fire and to write: leases and who proves them, how the store does, and waiting for another owner to go.

mod health;
mod holding;
pub(crate) mod keeper;
mod leases;
mod meters;
mod policy;
mod standing;
mod store_state;

pub(crate) use health::Speaker;
pub(crate) use keeper::Keeper;
pub(crate) use leases::{Ownership, Promise, Tenant, new_owner};
pub(crate) use policy::OnLoss;
pub(crate) use standing::Standing;
pub use store_state::StoreState;
