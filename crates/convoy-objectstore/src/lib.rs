//! Keep bytes under a key: object stores with one strong primitive, create-if-absent.
//!
//! Everything above relies on what `ObjectStore` promises and on nothing else: of all creators of a
//! key one wins and the object is whole; a `put` that returned survives a power cut; listings may be
//! stale. `conformance` says the same as tests, and runs on every store, fake or real.
//!
//! ```
//! use convoy_objectstore::{Key, MemoryStore, ObjectStore, Put, PutMode};
//!
//! let store = MemoryStore::new();
//! let key: Key = "log/0/0".parse()?;
//! assert_eq!(store.put(&key, b"first", PutMode::Create)?, Put::Stored);
//! assert_eq!(store.put(&key, b"second", PutMode::Create)?, Put::Exists);
//! assert_eq!(store.get(&key)?, b"first");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod conformance;

mod backup_url;
mod cloud;
mod counters;
mod error;
mod fault;
mod folder;
mod key;
mod location;
mod memory;
mod probe;
mod read_only;
mod store;
mod vfs;

pub use backup_url::{BackupUrl, InvalidBackupUrl};
pub use cloud::{Addressing, CloudStore, Encryption, Keys, Limits, S3Options, endpoint};
pub use counters::Counters;
pub use error::{Error, ErrorKind};
pub use fault::{Fault, FaultStore, Operation, Rule};
pub use key::{InvalidKey, Key};
pub use location::{InvalidLocation, Location, open};
pub use memory::MemoryStore;
pub use probe::{Capabilities, probe};
pub use read_only::{ReadOnlyStore, open_original};
pub use store::{Deletion, Entry, MAX_OBJECT, ObjectStore, Page, Put, PutMode, Verb};
pub use vfs::VfsStore;
