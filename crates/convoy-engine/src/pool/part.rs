//! How much of a metadata device that was given to us its pool gets at first; the rest is its reserve.

use super::devices::device_size;
use crate::error::{Doing, Error};
use crate::machine::Machine;
use convoy_catalog as catalog;
use convoy_thin_metadata::{SuperblockState, read_superblock};
use convoy_units::Bytes;
use std::path::Path;

/// The part of a metadata device that is held back.
const HELD_BACK: u64 = 5;
/// But no more than this.
const MOST: Bytes = Bytes::gib(1);
/// A smaller device is too small to be shared out.
const LEAST: Bytes = Bytes::mib(4);
/// 255 index entries of 16,320 blocks of 4 KiB: more the kernel does not use.
pub(crate) const KERNEL_MOST: Bytes = Bytes(255 * 16_320 * 4096);

/// What a pool is given of a metadata device of this size, in whole blocks.
pub(crate) fn part_of(device: Bytes) -> Bytes {
    if device < LEAST {
        return device;
    }
    let usable = device.0.min(KERNEL_MOST.0) / 4096 * 4096;
    let back = (usable / HELD_BACK).min(MOST.0) / 4096 * 4096;
    Bytes(usable - back)
}

/// What a pool that is down is brought up with: what it has taken over already, or its part where that is more. All of
/// the device (`None`) is what a pool over files has, whose reserve lies behind their end.
pub(super) fn given(
    record: &catalog::Pool,
    metadata: &Path,
    machine: &dyn Machine,
) -> Result<Option<Bytes>, Error> {
    if record.loop_backed {
        return Ok(None);
    }
    let part = part_of(device_size(machine, metadata)?);
    let doing = || format!("reading the pool's metadata on {}", metadata.display());
    let source = machine.metadata(metadata).doing(doing)?;
    let has = match read_superblock(&source).doing(doing)? {
        SuperblockState::Valid(superblock) => superblock
            .metadata_space_map
            .map_or(0, |map| map.nr_blocks.saturating_mul(4096)),
        SuperblockState::Zeroed => 0,
    };
    Ok(Some(part.max(Bytes(has))))
}

#[cfg(test)]
mod tests {
    //! How a device is shared out.

    use super::*;

    #[test]
    fn a_fifth_within_bounds_and_never_past_what_the_kernel_can_use() {
        assert_eq!(part_of(Bytes::mib(2)), Bytes::mib(2));
        assert_eq!(part_of(Bytes::mib(5)), Bytes::mib(4));
        assert_eq!(part_of(Bytes::mib(20)), Bytes::mib(16));
        assert_eq!(part_of(Bytes::gib(10)), Bytes::gib(9));
        assert_eq!(
            part_of(Bytes::gib(100)),
            Bytes(KERNEL_MOST.0 - Bytes::gib(1).0)
        );
        assert_eq!(part_of(Bytes(Bytes::mib(20).0 + 4095)).0 % 4096, 0);
    }
}
