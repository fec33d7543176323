//! Growing a pool in use: it takes over what its devices have more than before.
//!
//! After the kernel's `Documentation/admin-guide/device-mapper/thin-provisioning.rst`, and as seen on 6.1: a longer
//! table grows the data, a suspend and resume with an unchanged one grows the metadata. Both bring a pool
//! back to work that had run out of what grew; with `needs_check`, or failed, the kernel refuses.

use crate::error::Error;
use crate::pool::{Pool, backing, read_status, table_in_force};
use crate::status::{PoolStatus, Usage};
use crate::table::PoolTable;
use convoy_units::{Bytes, Sectors};
use std::time::Duration;

/// What growing did. Blocks are data blocks and 4 KiB metadata blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// Data blocks before and now.
    pub data: (u64, u64),
    /// Metadata blocks before and now; the kernel makes use of 4,161,600 at most.
    pub metadata: (u64, u64),
    /// How long every volume of the pool was held.
    pub held: Duration,
}

impl Pool {
    /// Gives the pool all that its devices have now. Every thin device of it is held meanwhile, with IO in
    /// flight done. Nothing is suspended when neither device has grown. `low_water` is told the pool's new
    /// size in data blocks and gives the free blocks at which the kernel raises an event.
    ///
    /// A device that has become smaller is refused ([`Error::Unfit`]) and nothing is changed: the kernel
    /// would leave the pool suspended. One call at a time, please. What was grown is durable in the pool's
    /// metadata with its next commit, and grown again at the next activation otherwise.
    pub fn grow(&self, low_water: impl FnOnce(u64) -> u64) -> Result<Grown, Error> {
        let before = self.sizes()?;
        let block = self.spec.block_size;
        let data = backing(self.control.as_ref(), &self.spec.data)?.size.0 / block.bytes().0;
        let metadata = self.metadata_size()?;
        for (what, now, had) in [
            ("data", data, before.data.total),
            (
                "metadata",
                metadata.0 / METADATA_BLOCK.0,
                before.metadata.total,
            ),
        ] {
            if now < had {
                let reason =
                    format!("the {what} device has room for {now} blocks now, the pool has {had}");
                return Err(Error::Unfit { reason });
            }
        }
        let grows = data > before.data.total || metadata_blocks(metadata) > before.metadata.total;
        let held = if grows {
            self.load_length(data, low_water(data))?;
            self.cycle()?
        } else {
            Duration::ZERO
        };
        let now = self.sizes()?;
        Ok(Grown {
            data: (before.data.total, now.data.total),
            metadata: (before.metadata.total, now.metadata.total),
            held,
        })
    }

    /// Loads the table in force with another length.
    fn load_length(&self, blocks: u64, low_water: u64) -> Result<(), Error> {
        let (control, name) = (self.control.as_ref(), &self.name);
        let what = || Error::control(format!("growing pool {name}"));
        let table = table_in_force(control, name, what())?;
        let table = PoolTable {
            len: Sectors(blocks * self.spec.block_size.sectors().0),
            low_water,
            ..table
        };
        control.load(name, &[table.line()], false).map_err(what())
    }

    fn sizes(&self) -> Result<Sizes, Error> {
        match read_status(self.control.as_ref(), &self.name)? {
            PoolStatus::Working(usage) => Ok(Sizes {
                data: usage.data,
                metadata: usage.metadata,
            }),
            status => Err(Error::Unhealthy {
                name: self.name.clone(),
                status: status.to_string(),
            }),
        }
    }
}

struct Sizes {
    data: Usage,
    metadata: Usage,
}

const METADATA_BLOCK: Bytes = Bytes::kib(4);
/// 255 index entries of 16,320 blocks: what the kernel's space map can describe.
const METADATA_MOST: u64 = 255 * 16_320;

/// The blocks of a metadata device that the kernel can use.
fn metadata_blocks(size: Bytes) -> u64 {
    (size.0 / METADATA_BLOCK.0).min(METADATA_MOST)
}

#[cfg(test)]
mod tests {
    //! On the model: only forward, never left suspended, whatever fails.

    use super::*;
    use crate::PoolSpec;
    use crate::fake::{FakeKernel, Fault};
    use convoy_units::{DataBlockSize, DevId};
    use nix::errno::Errno;
    use std::fs::File;
    use std::sync::Arc;
    use tempfile::TempDir;
    use uuid::Uuid;

    fn resize(directory: &TempDir, name: &str, size: Bytes) {
        let path = directory.path().join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        file.unwrap().set_len(size.0).unwrap();
    }

    /// A pool of 32 data blocks.
    fn pool() -> (TempDir, FakeKernel, Pool) {
        let directory = TempDir::new().unwrap();
        resize(&directory, "data", Bytes::mib(64));
        resize(&directory, "metadata", Bytes::mib(4));
        let kernel = FakeKernel::new();
        let spec = PoolSpec {
            name: "convoy-pool".parse().unwrap(),
            uuid: Uuid::from_u128(1),
            metadata: directory.path().join("metadata"),
            metadata_len: None,
            data: directory.path().join("data"),
            block_size: DataBlockSize::DEFAULT,
            low_water: 3,
            error_if_no_space: false,
        };
        let pool = Pool::activate(Arc::new(kernel.clone()), &spec).unwrap();
        (directory, kernel, pool)
    }

    fn total(pool: &Pool) -> u64 {
        pool.status().unwrap().usage().unwrap().data.total
    }

    fn suspended(pool: &Pool) -> bool {
        pool.control.info(&pool.name).unwrap().unwrap().suspended
    }

    #[test]
    fn a_longer_device_is_taken_over_with_its_low_water_mark() {
        let (directory, _, pool) = pool();
        pool.create_thin(DevId::new(1).unwrap()).unwrap();
        let same = pool.grow(|_| unreachable!("nothing grew")).unwrap();
        assert_eq!((same.data, same.held), ((32, 32), Duration::ZERO));
        resize(&directory, "data", Bytes::mib(100));
        let grown = pool.grow(|blocks| blocks / 10).unwrap();
        assert_eq!(grown.data, (32, 50));
        let line = &pool.control.table(&pool.name).unwrap()[0];
        assert_eq!(PoolTable::parse(line).unwrap().low_water, 5);
        assert!(!suspended(&pool));
        pool.delete(DevId::new(1).unwrap()).unwrap();
    }

    #[test]
    fn a_shorter_device_is_refused_before_anything_is_suspended() {
        let (directory, kernel, pool) = pool();
        resize(&directory, "data", Bytes::mib(32));
        let before = kernel.operations();
        let error = pool.grow(|_| 0).unwrap_err();
        assert!(matches!(error, Error::Unfit { .. }), "{error}");
        assert!(kernel.operations() <= before + 4, "it only looked");
        assert_eq!(total(&pool), 32);
    }

    #[test]
    fn whatever_step_fails_the_pool_runs() {
        for step in 0..12 {
            let (directory, kernel, pool) = pool();
            resize(&directory, "data", Bytes::mib(128));
            kernel.inject(step, Fault::Fail(Errno::ENOMEM));
            drop(pool.grow(|_| 1));
            kernel.restart_process();
            assert!(!suspended(&pool), "step {step}");
            pool.grow(|_| 1).unwrap();
            assert_eq!(total(&pool), 64);
        }
    }
}
