//! Make the kernel do it: thin pools, thin devices and snapshots through device-mapper.
//!
//! [`Pool`] is the way in. It speaks to the kernel through the trait [`Control`], the few ioctls we
//! need, which has two implementations: [`KernelControl`] and [`fake::FakeKernel`], a model pool
//! under the same rules. One suite (`conformance`, behind the feature of that name) runs on both:
//! that is what makes the fake trustworthy.
//!
//! Every function here blocks. Nothing here decides *whether* to do a thing: what exists and what it
//! is called is the catalog's business, and the write-ahead protocol around messages the engine's.

pub mod blockdev;
#[cfg(any(test, feature = "conformance"))]
#[expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a failed expectation of a test suite is a panic"
)]
pub mod conformance;
mod control;
mod error;
pub mod fake;
mod grow;
pub mod guard;
mod kernel;
pub mod loopdev;
mod metadata_snapshot;
mod names;
mod part;
mod pool;
pub mod signature;
mod status;
mod suspension;
mod table;
mod thin;

pub use control::{
    BackingDevice, Control, ControlError, DeviceInfo, DeviceNumber, Listed, Operation, Suspend,
    TargetStatus,
};
pub use error::Error;
pub use grow::Grown;
pub use kernel::KernelControl;
pub use metadata_snapshot::MetadataSnapshot;
pub use names::{DmName, DmUuid, InvalidDmName, pool_name, pool_uuid, thin_name, thin_uuid};
pub use part::{MetadataPart, remove_left_part};
pub use pool::{Deleted, OwnDevice, Pool, PoolSpec, resume_suspended};
pub use status::{Discards, Mode, NoSpace, PoolStatus, PoolUsage, StatusError, ThinStatus, Usage};
pub use suspension::HOLD_LIMIT;
pub use table::{PoolTable, TableError, TableLine, ThinTable};
pub use thin::{ThinDevice, ThinSpec};

#[cfg(test)]
mod tests;
