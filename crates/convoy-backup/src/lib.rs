//! Carry blocks there and back: the create, restore and verify pipelines.
//!
//! A backup reads the chunks that changed since its base, each byte once, stores those the repository
//! does not know, and publishes the whole as one entry. A restore writes only bytes that verified.
//! Memory is bounded by queues, whatever the volume's size.

mod create;
mod error;
mod file;
mod io;
mod observer;
mod original;
mod pipeline;
mod restore;
mod select;
mod shelf;
mod verify;

pub use create::{CreateOptions, Summary, create};
pub use error::Error;
pub use file::{FileReader, FileWriter};
pub use io::{BlockReader, BlockWriter, MemoryDevice};
pub use observer::{Observer, Phase};
pub use original::{restore_original, verify_original};
pub use restore::{RestoreSummary, restore};
pub use select::{Selection, Work, select};
pub use verify::{Problem, VerifyOptions, VerifyReport, verify};

#[cfg(test)]
mod tests;
