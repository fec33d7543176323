//! A model pool: its messages and what it says of itself.

use super::Health;
use super::content::Store;
use crate::control::DeviceNumber;
use crate::table::PoolTable;
use convoy_units::{DataBlockSize, DevId};
use nix::errno::Errno;

/// A held root's block, unless somebody who writes the metadata out says where it is.
const HELD_ROOT: u64 = 34;

/// A metadata device's content, and the data that goes with it.
pub(super) struct Metadata {
    pub(super) block_size: DataBlockSize,
    pub(super) store: Store,
    pub(super) health: Health,
    /// The data device it was last used with.
    pub(super) data: DeviceNumber,
    pub(super) held_root: u64,
    /// The blocks of a metadata device of which the pool was given a part; a whole one has 1,024 whatever its size.
    pub(super) part: Option<u64>,
}

pub(super) fn parse_id(text: &str) -> Result<DevId, Errno> {
    let id = text.parse().map_err(|_| Errno::EINVAL)?;
    DevId::new(id).map_err(|_| Errno::EINVAL)
}

impl Metadata {
    /// As the kernel formats a blank device.
    pub(super) fn fresh(table: &PoolTable) -> Self {
        let bytes = usize::try_from(table.block_size.bytes().0).unwrap_or(usize::MAX);
        Self {
            block_size: table.block_size,
            store: Store::new(blocks(table), bytes),
            health: Health::default(),
            data: table.data,
            held_root: HELD_ROOT,
            part: None,
        }
    }

    /// Used with this table from now on.
    pub(super) fn bound(&mut self, table: &PoolTable) {
        self.data = table.data;
        self.store.blocks = blocks(table);
    }

    pub(super) fn message(&mut self, words: &[&str]) -> Result<(), Errno> {
        if matches!(
            self.health,
            Health::ReadOnly | Health::NeedsCheck | Health::Failed
        ) {
            return Err(Errno::EOPNOTSUPP);
        }
        let now = &mut self.store.now;
        match words {
            ["create_thin", id] => now.create_thin(parse_id(id)?)?,
            ["create_snap", id, origin] => now.create_snap(parse_id(id)?, parse_id(origin)?)?,
            ["delete", id] => now.delete(parse_id(id)?)?,
            ["set_transaction_id", from, to] => {
                let number = |text: &str| text.parse::<u64>().map_err(|_| Errno::EINVAL);
                if now.transaction_id != number(from)? {
                    return Err(Errno::EINVAL);
                }
                now.transaction_id = number(to)?;
            }
            // What is held is what was committed.
            ["reserve_metadata_snap"] => now.hold()?,
            ["release_metadata_snap"] => now.release()?,
            _ => return Err(Errno::EINVAL),
        }
        // Each message ends with its own commit.
        self.store.commit();
        Ok(())
    }

    pub(super) fn status(&self, error_if_no_space: bool) -> String {
        if self.health == Health::Failed {
            return "Fail".into();
        }
        let now = &self.store.now;
        let held = match now.held {
            Some(_) => self.held_root.to_string(),
            None => "-".into(),
        };
        let mode = match self.health {
            Health::OutOfDataSpace => "out_of_data_space",
            Health::ReadOnly | Health::NeedsCheck => "ro",
            Health::Writable | Health::Failed => "rw",
        };
        let check = if self.health == Health::NeedsCheck {
            "needs_check"
        } else {
            "-"
        };
        let no_space = if error_if_no_space {
            "error_if_no_space"
        } else {
            "queue_if_no_space"
        };
        let (used, total) = (self.store.used(), self.store.blocks);
        let metadata = self.part.unwrap_or(1024);
        format!(
            "{} 111/{metadata} {used}/{total} {held} {mode} discard_passdown {no_space} {check} 256 ",
            now.transaction_id
        )
    }

    pub(super) fn thin_status(&self, dev_id: DevId) -> String {
        if self.health == Health::Failed {
            return "Fail".into();
        }
        let Some(thin) = self.store.now.thins.get(&dev_id) else {
            return "Error".into();
        };
        let block = self.block_size.sectors().0;
        match thin.mappings.last_key_value() {
            None => "0 - ".into(),
            Some((highest, _)) => {
                let mapped = thin.mappings.len() as u64 * block;
                format!("{mapped} {} ", (highest + 1) * block - 1)
            }
        }
    }
}

fn blocks(table: &PoolTable) -> u64 {
    table.len.0 / table.block_size.sectors().0
}
