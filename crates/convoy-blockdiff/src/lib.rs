//! Which blocks changed: the difference of two thin devices in time proportional to the change.
//!
//! A snapshot shares with its origin every subtree of the mapping tree that nobody has written to since, and
//! inside one state of the metadata the same node number means the same mappings. So the two trees are
//! compared as sets of nodes, level by level from the roots down: what both have is left unread, and only the leaves
//! that one side has alone are read and merged. Splits, merges, growth and collapse cannot mislead
//! this; they only make fewer nodes common. The result equals the difference of the two full maps.
//!
//! ```
//! use convoy_blockdiff::{Change, changes};
//! use convoy_thin_metadata::{MemorySource, View};
//! use convoy_units::DevId;
//!
//! let image = include_bytes!("../../convoy-thin-metadata/tests/fixtures/kernel-6.1.img").to_vec();
//! let view = View::live(MemorySource::new(image))?;
//! let (base, new) = (DevId::new(1).unwrap(), DevId::new(2).unwrap());
//! for change in changes(&view, Some(base), new)?.iter() {
//!     match change {
//!         Change::Copy(range) => println!("{range} are to be copied"),
//!         Change::Hole(range) => println!("{range} are unmapped now"),
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The same sharing tells what deleting a snapshot would free ([`usage()`]): one pass over the pool's
//! nodes, for as many snapshots as are asked about.
//!
//! ```
//! use convoy_blockdiff::usage;
//! use convoy_thin_metadata::{MemorySource, View};
//!
//! let image = include_bytes!("../../convoy-thin-metadata/tests/fixtures/kernel-6.1.img").to_vec();
//! let view = View::live(MemorySource::new(image))?;
//! for device in usage(&view, None)? {
//!     println!("device {} maps {}, {} alone", device.dev_id, device.mapped, device.exclusive);
//!     assert!(device.exclusive <= device.mapped);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod changes;
mod delta;
mod descend;
mod diff;
mod error;
mod usage;

pub use changes::{Change, ChangeList, Changes, changes};
pub use delta::{Delta, DeltaKind};
pub use diff::{Diff, Options, Summary, diff};
pub use error::Error;
pub use usage::{Usage, usage};
