//! Status lines of the targets `thin-pool` and `thin`, read tolerantly into types.
//!
//! After the kernel's `Documentation/admin-guide/device-mapper/thin-provisioning.rst` and
//! `drivers/md/dm-thin.c` (`pool_status`, `thin_status`) as observed on 6.1: a trailing space, the last
//! two fields missing on old kernels, the whole line `Fail` or `Error`.

use convoy_units::{MetadataBlock, Sectors, TransactionId};
use std::fmt;

/// Blocks in use of blocks there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// In use.
    pub used: u64,
    /// There are.
    pub total: u64,
}

/// Whether the pool takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    Writable,
    /// It does until a new block is needed.
    OutOfDataSpace,
    /// Its metadata cannot change: read-only, or out of metadata space. No message is taken.
    ReadOnly,
}

/// What becomes of discards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discards {
    /// They unmap, and go on to the data device.
    PassedDown,
    /// They unmap.
    NotPassedDown,
    /// They do nothing.
    Ignored,
}

/// What becomes of a write that finds no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSpace {
    /// It waits.
    Queue,
    /// It fails.
    Error,
}

/// A pool's status line in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolUsage {
    /// The manager's counter.
    pub transaction_id: TransactionId,
    /// 4 KiB metadata blocks. `used` includes an internal reserve of a tenth, 4096 blocks at most:
    /// full means the reserve is reached.
    pub metadata: Usage,
    /// Data blocks of the pool's size.
    pub data: Usage,
    /// The root that a metadata snapshot holds.
    pub held_root: Option<MetadataBlock>,
    /// Whether it takes writes.
    pub mode: Mode,
    /// The setting in effect, not the one asked for.
    pub discards: Discards,
    /// The setting in effect: it flips to error after the kernel's time limit.
    pub no_space: NoSpace,
    /// Whether the metadata must be checked before the pool works again.
    pub needs_check: bool,
    /// Free metadata blocks at which an event fires; old kernels do not tell.
    pub metadata_low_water: Option<u64>,
}

/// What a pool says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolStatus {
    /// It works, perhaps not fully: see its mode.
    Working(PoolUsage),
    /// A counter could not be read.
    Error,
    /// Unusable: only its removal works.
    Failed,
}

/// What a thin device says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThinStatus {
    /// It works.
    Working {
        /// How much is mapped; may be more than the device's size after it was made smaller.
        mapped: Sectors,
        /// The last mapped sector.
        highest: Option<Sectors>,
    },
    /// A counter could not be read.
    Error,
    /// Its pool failed.
    Failed,
}

/// A status line we cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read the status line {0:?}")]
pub struct StatusError(String);

impl PoolStatus {
    /// Reads what follows `thin-pool ` in a status line.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        match text.trim() {
            "Fail" => Ok(Self::Failed),
            "Error" => Ok(Self::Error),
            line => working(line).map(Self::Working).ok_or_else(|| error(text)),
        }
    }

    /// The line in full; `None` if the pool failed or could not be read.
    pub const fn usage(&self) -> Option<&PoolUsage> {
        match self {
            Self::Working(usage) => Some(usage),
            _ => None,
        }
    }

    /// Whether its metadata must be checked before it changes again.
    pub const fn needs_check(&self) -> bool {
        matches!(self, Self::Working(usage) if usage.needs_check)
    }

    /// Whether it takes messages: neither read-only nor failed nor waiting for a check.
    pub const fn takes_messages(&self) -> bool {
        match self {
            Self::Working(usage) => !matches!(usage.mode, Mode::ReadOnly) && !usage.needs_check,
            _ => false,
        }
    }
}

/// In words, for messages: `read-only, needs a check`.
impl fmt::Display for PoolStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usage = match self {
            Self::Failed => return f.write_str("failed"),
            Self::Error => return f.write_str("unreadable"),
            Self::Working(usage) => usage,
        };
        f.write_str(match usage.mode {
            Mode::Writable => "writable",
            Mode::OutOfDataSpace => "out of data space",
            Mode::ReadOnly => "read-only",
        })?;
        if usage.needs_check {
            f.write_str(", its metadata needs a check")?;
        }
        Ok(())
    }
}

impl ThinStatus {
    /// Reads what follows `thin ` in a status line.
    pub fn parse(text: &str) -> Result<Self, StatusError> {
        match text.trim() {
            "Fail" => Ok(Self::Failed),
            "Error" => Ok(Self::Error),
            // Not bound to its pool yet: nothing is known, and nothing can be mapped through it.
            "-" => Ok(Self::Working {
                mapped: Sectors(0),
                highest: None,
            }),
            line => thin(line).ok_or_else(|| error(text)),
        }
    }
}

fn error(text: &str) -> StatusError {
    StatusError(text.chars().take(200).collect())
}

fn usage(text: &str) -> Option<Usage> {
    let (used, total) = text.split_once('/')?;
    Some(Usage {
        used: used.parse().ok()?,
        total: total.parse().ok()?,
    })
}

fn working(line: &str) -> Option<PoolUsage> {
    let mut words = line.split_ascii_whitespace();
    Some(PoolUsage {
        transaction_id: TransactionId(words.next()?.parse().ok()?),
        metadata: usage(words.next()?)?,
        data: usage(words.next()?)?,
        held_root: match words.next()? {
            "-" => None,
            block => Some(MetadataBlock(block.parse().ok()?)),
        },
        mode: match words.next()? {
            "rw" => Mode::Writable,
            "ro" => Mode::ReadOnly,
            "out_of_data_space" => Mode::OutOfDataSpace,
            _ => return None,
        },
        discards: match words.next()? {
            "discard_passdown" => Discards::PassedDown,
            "no_discard_passdown" => Discards::NotPassedDown,
            "ignore_discard" => Discards::Ignored,
            _ => return None,
        },
        no_space: match words.next() {
            None | Some("queue_if_no_space") => NoSpace::Queue,
            Some("error_if_no_space") => NoSpace::Error,
            Some(_) => return None,
        },
        needs_check: match words.next() {
            None | Some("-") => false,
            Some("needs_check") => true,
            Some(_) => return None,
        },
        metadata_low_water: match words.next() {
            None => None,
            Some(blocks) => Some(blocks.parse().ok()?),
        },
    })
}

fn thin(line: &str) -> Option<ThinStatus> {
    let mut words = line.split_ascii_whitespace();
    Some(ThinStatus::Working {
        mapped: Sectors(words.next()?.parse().ok()?),
        highest: match words.next()? {
            "-" => None,
            sector => Some(Sectors(sector.parse().ok()?)),
        },
    })
}

#[cfg(test)]
mod tests;
