//! A part of the metadata that is held back, and given to the pool when it gets tight.
//!
//! Exhausted metadata makes the pool read-only: writes fail, and no message is taken any more, not even a
//! deletion. More metadata is the only cure, so that is what the reserve is. For a loop-backed pool: disk space behind
//! the end of its metadata file, taken in advance. The file is made longer, the pool takes it over in use, and the next
//! reserve is taken. For one over a metadata device: the end of that, which the pool is not given at first
//! (`pool/part.rs`). Whoever makes the device larger has that taken over by the same step, and a new part of it held back.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::pool::{KERNEL_MOST, part_of};
use convoy_catalog as catalog;
use convoy_thinpool::{Grown, MetadataPart, loopdev};
use convoy_units::Bytes;
use std::path::Path;

/// The part of the metadata that its reserve is.
const PART: u64 = 4;
/// The least that is worth a suspension of the pool.
const LEAST: Bytes = Bytes::mib(16);
/// The most that is taken at once.
const MOST: Bytes = Bytes::gib(1);
/// What is held back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Reserve {
    /// Nothing: the device that was given to us is small or given out, or the kernel could not use more.
    #[default]
    None,
    /// So many bytes.
    Held(Bytes),
    /// Nothing, since it could not be taken.
    Lacking(String),
}

/// How much is held back beside metadata of this size.
fn size(metadata: Bytes) -> Bytes {
    let wanted = (metadata.0 / PART)
        .clamp(LEAST.0, MOST.0)
        .next_multiple_of(4096);
    Bytes(wanted.min(KERNEL_MOST.0.saturating_sub(metadata.0)))
}

impl Engine {
    /// Takes the reserve, again or for the first time. Whether that works changes nothing else.
    pub(crate) fn take_reserve(&self) -> Reserve {
        match self.try_take_reserve() {
            Ok(reserve) => reserve,
            Err(error) => {
                let error = convoy_fault::chain(&error);
                tracing::warn!("the pool's metadata has no reserve: {error}");
                Reserve::Lacking(error)
            }
        }
    }

    fn try_take_reserve(&self) -> Result<Reserve, Error> {
        let record = self.pool_record()?;
        if !record.loop_backed {
            let part = self.metadata_part()?;
            let held = part.map_or(0, |part| usable(part.device).0.saturating_sub(part.given.0));
            return Ok(match held {
                0 => Reserve::None,
                held => Reserve::Held(Bytes(held)),
            });
        }
        let now = length(&record.metadata)?;
        let reserve = size(now);
        if reserve.0 == 0 {
            return Ok(Reserve::None);
        }
        self.steps.run("loop.reserve", || {
            loopdev::reserve(&record.metadata, Bytes(now.0 + reserve.0))
                .doing(|| format!("taking a reserve for {}", record.metadata.display()))
        })?;
        Ok(Reserve::Held(reserve))
    }

    /// Gives the pool more metadata: the reserve where there is one, and whatever its device has grown by.
    pub(crate) fn drop_reserve(&self) -> Result<Grown, Error> {
        let record = self.pool_record()?;
        if !record.loop_backed {
            if let Some(part) = self.metadata_part()?
                && part_of(part.device) <= part.given
            {
                self.give(part.device)?;
            }
            return self.take_over(record);
        }
        // Taken first, if it was not: metadata whose disk space is not there is worse than none.
        if let Reserve::Held(reserve) = self.try_take_reserve()? {
            let now = length(&record.metadata)?;
            self.extend(&record.metadata, Bytes(now.0 + reserve.0))?;
        }
        self.take_over(record)
    }

    /// Makes a loop-backed pool's file longer, and its loop device.
    pub(super) fn extend(&self, file: &Path, size: Bytes) -> Result<(), Error> {
        let doing = || format!("making {} {size} long", file.display());
        let Some(attached) = loopdev::find(file).doing(doing)? else {
            let what = format!("{} is not attached as a loop device", file.display());
            return Err(Error::new(convoy_fault::Kind::Failed, what));
        };
        self.steps.run("loop.extend", || {
            loopdev::extend(file, &attached.node, size).doing(doing)
        })
    }

    fn metadata_part(&self) -> Result<Option<MetadataPart>, Error> {
        self.pool
            .metadata_part()
            .doing(|| "asking for the pool's part of its metadata device")
    }

    fn give(&self, wanted: Bytes) -> Result<(), Error> {
        self.pool
            .widen_metadata(wanted)
            .doing(|| "giving the pool more of its metadata device")
    }

    /// Has the pool take over what its devices have grown by, and records it.
    pub(super) fn take_over(&self, record: catalog::Pool) -> Result<Grown, Error> {
        if let Some(part) = self.metadata_part()? {
            self.give(part_of(part.device))?;
        }
        let grown = self
            .pool
            .grow(super::grow::low_water)
            .doing(|| format!("growing pool {}", record.name))?;
        // A kill in between leaves a record of the sizes before, and devices may be larger than that.
        self.record_sizes(record, &grown)?;
        Ok(grown)
    }
}

/// What the kernel can use of a metadata device, in whole blocks.
fn usable(device: Bytes) -> Bytes {
    Bytes(device.0.min(KERNEL_MOST.0) / 4096 * 4096)
}

fn length(file: &Path) -> Result<Bytes, Error> {
    std::fs::metadata(file)
        .map(|metadata| Bytes(metadata.len()))
        .map_err(|error| Error::of(format!("looking at {}", file.display()), error))
}

#[cfg(test)]
mod tests {
    //! How much is held back.

    use super::*;

    #[test]
    fn a_quarter_within_bounds_and_never_past_what_the_kernel_can_use() {
        assert_eq!(size(Bytes::mib(8)), Bytes::mib(16));
        assert_eq!(size(Bytes::mib(400)), Bytes::mib(100));
        assert_eq!(size(Bytes::gib(10)), Bytes::gib(1));
        assert_eq!(size(KERNEL_MOST), Bytes(0));
        assert_eq!(size(Bytes(KERNEL_MOST.0 - 4096)), Bytes(4096));
    }
}
