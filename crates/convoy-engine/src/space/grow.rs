//! The verb that makes a pool larger while it is used.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::PoolInfo;
use crate::operation::Operation;
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_thinpool::{Grown, loopdev};
use convoy_units::Bytes;
use std::path::Path;
use std::sync::PoisonError;

/// How large a pool is to become.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GrowPool {
    /// The size of a loop-backed pool's data; a device's size is what it is.
    pub data: Option<Bytes>,
    /// The size of a loop-backed pool's metadata.
    pub metadata: Option<Bytes>,
}

/// Blocks left when the kernel raises an event: a tenth of the pool.
pub(crate) fn low_water(blocks: u64) -> u64 {
    blocks / 10
}

impl Engine {
    /// Makes the pool larger while it is used: a loop-backed one to the sizes asked for, one over devices to
    /// whatever these have grown to. A pool that had run out of what grew goes on at once: writers that wait
    /// are let go without an error. Every volume is held for the length of a suspend and resume.
    ///
    /// Killed in the middle, the files are longer and the next call, or the next activation, takes them over.
    ///
    /// # Errors
    /// `Invalid` for a size below the present one, or any size for a pool over devices; `PoolFull` when the
    /// filesystem below has no room; `PoolUnhealthy` and `PoolNeedsCheck` when the kernel refuses.
    pub fn grow_pool(&self, request: &GrowPool, op: &Operation<'_>) -> Result<PoolInfo, Error> {
        self.refuse_read_only()?;
        let _span = tracing::info_span!("grow", operation = %op.id).entered();
        let _one_at_a_time = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.pool_record()?;
        let asked = [
            (&record.data, request.data),
            (&record.metadata, request.metadata),
        ];
        for (file, size) in asked {
            let Some(size) = size else { continue };
            if !record.loop_backed {
                let what = "the pool is over devices of their own sizes";
                return Err(Error::new(Kind::Invalid, what).hinting(
                    "make the device larger (lvextend), then grow the pool without a size",
                ));
            }
            check_size(file, size)?;
            self.extend(file, size)?;
        }
        let grown = self.take_over(record)?;
        tracing::info!(data = ?grown.data, metadata = ?grown.metadata, held = ?grown.held, "pool grown");
        *self.health.reserve() = self.take_reserve();
        Ok(self.info()?.pool)
    }

    pub(super) fn record_sizes(
        &self,
        mut record: catalog::Pool,
        grown: &Grown,
    ) -> Result<(), Error> {
        let block = record.block_size.bytes().0;
        let (data, metadata) = (
            Bytes(grown.data.1 * block).max(record.data_size),
            Bytes(grown.metadata.1 * 4096).max(record.metadata_size),
        );
        if (record.data_size, record.metadata_size) == (data, metadata) {
            return Ok(());
        }
        (record.data_size, record.metadata_size) = (data, metadata);
        self.catalog
            .apply(&[Change::PutPool(record)])
            .doing(|| "recording the pool's new size")
    }
}

/// A file grows, and not beyond what its filesystem can hold.
fn check_size(file: &Path, size: Bytes) -> Result<(), Error> {
    let doing = || format!("looking at {}", file.display());
    let now = std::fs::metadata(file).map_err(|error| Error::of(doing(), error))?;
    let Some(more) = size.0.checked_sub(now.len()) else {
        let (file, now) = (file.display(), Bytes(now.len()));
        let what = format!("{file} has {now} and cannot become {size}: a pool only grows");
        return Err(Error::new(Kind::Invalid, what));
    };
    let stat = nix::sys::statvfs::statvfs(file)
        .map_err(std::io::Error::from)
        .doing(doing)?;
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    if more > free {
        let what = format!(
            "{} cannot grow by {}: its filesystem has {} free",
            file.display(),
            Bytes(more),
            Bytes(free)
        );
        return Err(Error::new(Kind::PoolFull, what));
    }
    // Only to tell early: the loop device is looked for again when the file has grown.
    loopdev::find(file).doing(doing)?;
    Ok(())
}
