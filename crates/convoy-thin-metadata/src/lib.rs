//! What does the pool's metadata say: a strict, read-only reader of dm-thin metadata.
//!
//! The kernel keeps the mappings of all thin devices of a pool in copy-on-write B+ trees on a metadata
//! device of 4 KiB blocks. This crate reads them: offline from block 0 ([`View::live`]) or, while the
//! pool is in use, from a reserved metadata snapshot ([`View::held`]). It never writes, and it never
//! guesses: every block's checksum, own number, shape and key range is checked, and any breach is an
//! [`Error`] that names the block, the tree, the level and the [`Rule`]. [`check()`] goes on after a breach and judges the
//! whole, space maps included. The rules are in `docs/formats/thin-metadata.md`.
//!
//! ```
//! use convoy_thin_metadata::{MemorySource, View};
//! use convoy_units::DevId;
//!
//! // Metadata that a 6.1 kernel made; `FileSource::open` reads a file or a block device instead.
//! let image = include_bytes!("../tests/fixtures/kernel-6.1.img").to_vec();
//! let view = View::live(MemorySource::new(image))?;
//! for device in view.devices()? {
//!     println!("device {} maps {} blocks", device.dev_id, device.mapped_blocks);
//! }
//! for run in view.mappings(DevId::new(1).unwrap())? {
//!     let run = run?;
//!     println!("{} blocks from {} lie at data block {}", run.len, run.thin, run.data);
//! }
//! # Ok::<(), convoy_thin_metadata::Error>(())
//! ```

mod bitmap;
pub mod check;
mod checksum;
mod details;
mod error;
mod mended;
mod node;
mod runs;
pub mod sizing;
mod source;
mod space_map;
mod superblock;
mod view;
mod walk;

pub use bitmap::Bitmap;
pub use check::{CheckOptions, CheckReport, Finding, Severity, check};
pub use details::DeviceDetails;
pub use error::{Damage, Error, Foreign, Role, Rule, Space, Tree};
pub use mended::Mended;
pub use node::{MAX_HEIGHT, NodeRef};
pub use runs::{Mappings, Run, Runs};
pub use source::{Block, BlockSource, FileSource, MemorySource};
pub use space_map::{CountRun, RefCounts};
pub use superblock::{
    SpaceMapRoot, Superblock, SuperblockState, has_superblock_magic, read_superblock,
};
pub use view::View;
pub use walk::Walk;

/// Bytes in a metadata block, whatever the size of the pool's data blocks.
pub const BLOCK_SIZE: usize = 4096;

/// The most metadata blocks a pool can use: 255 index entries of 16 320 blocks each (15.875 GiB).
/// A larger device is accepted by the kernel and its excess unused.
pub const MAX_METADATA_BLOCKS: u64 = 255 * 16_320;
