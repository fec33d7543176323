//! Is this the pool's data device? Metadata says where each volume's first block lies; a filesystem of ours
//! found there is the proof.
//!
//! Nothing on a data device says whose it is, and paths move between boots: two disks of one size that
//! change places would be activated, served as garbage and overwritten. Volumes we format bear their own
//! UUID as their filesystem's, so their first block tells. A pool none of whose volumes can be asked
//! (none has been formatted by us, or none maps its first block) is taken on its size alone.

use crate::error::{Doing, Error};
use crate::machine::Machine;
use convoy_catalog as catalog;
use convoy_catalog::{Catalog, VolumeState};
use convoy_fault::Kind;
use convoy_thin_metadata::{BlockSource, View};
use convoy_units::{DataBlock, DevId, ThinBlock};
use std::path::Path;
use uuid::Uuid;

/// How many thin devices are asked, about: one that recognises its own decides, the others guard against a
/// volume that somebody wrote over.
const ASKED: usize = 16;

/// Refuses a data device that none of the pool's volumes recognises.
pub(super) fn check<S: BlockSource>(
    catalog: &Catalog,
    record: &catalog::Pool,
    view: &View<S>,
    data: &Path,
    machine: &dyn Machine,
) -> Result<(), Error> {
    let doing = || format!("reading the pool's data on {}", data.display());
    let mut strangers = Vec::new();
    for (volume, dev_id) in witnesses(catalog)? {
        let Some(block) = first_block(view, dev_id)? else {
            continue;
        };
        let mut head = [0; 4096];
        let offset = block.0.saturating_mul(record.block_size.bytes().0);
        machine.read_at(data, offset, &mut head).doing(doing)?;
        if filesystem_uuid(&head) == Some(volume.uuid) {
            return Ok(());
        }
        strangers.push(volume.name.to_string());
    }
    strangers.dedup();
    if strangers.is_empty() {
        return Ok(());
    }
    let what = format!(
        "the data device {} does not hold what pool {} has on it: the filesystem of {} is not where it should be",
        data.display(),
        record.name,
        strangers.join(", ")
    );
    Err(Error::new(Kind::PoolUnhealthy, what)
        .hinting("nothing was changed. Device paths may have moved: check dm.datadev. If those volumes were written over on purpose, start once with --driver-opts dm.trustdatadev=true"))
}

/// Volumes that we formatted, each with its own thin device and those of its snapshots: whoever wrote over
/// a volume's first block did not write over its snapshots'.
fn witnesses(catalog: &Catalog) -> Result<Vec<(catalog::Volume, DevId)>, Error> {
    let mut witnesses = Vec::new();
    for volume in catalog.volumes().doing(|| "reading volumes")? {
        if volume.state != VolumeState::Ready || volume.restored_from.is_some() {
            continue;
        }
        let snapshots = catalog
            .snapshots_of(volume.uuid)
            .doing(|| "reading snapshots")?;
        let ids = snapshots.iter().map(|snapshot| snapshot.dev_id).take(ASKED);
        let ids = std::iter::once(volume.dev_id).chain(ids);
        witnesses.extend(ids.map(|id| (volume.clone(), id)));
        if witnesses.len() >= ASKED {
            break;
        }
    }
    Ok(witnesses)
}

/// Where a thin device's first block lies, if it is mapped.
fn first_block<S: BlockSource>(view: &View<S>, id: DevId) -> Result<Option<DataBlock>, Error> {
    let doing = || format!("reading the mappings of thin device {id}");
    let first = view
        .mappings(id)
        .doing(doing)?
        .next()
        .transpose()
        .doing(doing)?;
    Ok(first
        .filter(|run| run.thin == ThinBlock(0))
        .map(|run| run.data))
}

/// The UUID of the ext4 or xfs that begins so: superblocks after the kernel's `fs/ext4/ext4.h` (at byte
/// 1024, magic 0xEF53 at 0x38, UUID at 0x68) and `fs/xfs/libxfs/xfs_format.h` (at byte 0, magic `XFSB`,
/// UUID at 32), as their public documentation has them.
fn filesystem_uuid(head: &[u8; 4096]) -> Option<Uuid> {
    let bytes = |at: usize, len: usize| head.get(at..at + len);
    let at = if bytes(1024 + 0x38, 2)? == [0x53, 0xef] {
        1024 + 0x68
    } else if bytes(0, 4)? == b"XFSB" {
        32
    } else {
        return None;
    };
    Uuid::from_slice(bytes(at, 16)?).ok()
}

#[cfg(test)]
mod tests {
    //! What mkfs makes is recognised; what is not a filesystem is nobody's.

    use super::*;

    #[test]
    fn a_filesystem_tells_its_uuid() {
        let uuid = Uuid::now_v7();
        let mut head = [0; 4096];
        assert_eq!(filesystem_uuid(&head), None);
        head[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        head[1024 + 0x68..1024 + 0x78].copy_from_slice(uuid.as_bytes());
        assert_eq!(filesystem_uuid(&head), Some(uuid));
        let mut head = [0; 4096];
        head[..4].copy_from_slice(b"XFSB");
        head[32..48].copy_from_slice(uuid.as_bytes());
        assert_eq!(filesystem_uuid(&head), Some(uuid));
    }
}
