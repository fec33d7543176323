//! How much each device maps, and how much of that nobody else does, in one pass over the shared metadata.
//!
//! Trees share subtrees, so the pool's nodes are gathered once, each with the one device that reaches it or the
//! note that several do; then every leaf is read once and its data blocks are claimed in the same way. What one
//! device alone has claimed in the end is exclusive to it.

mod forest;
mod owners;

use crate::error::Error;
use convoy_thin_metadata::{BlockSource, DeviceDetails, Error as MetadataError, Rule, Tree, View};
use convoy_units::{Bytes, DevId};
use forest::Forest;
use owners::{Owner, Owners};
use std::collections::BTreeMap;

/// What a thin device takes up of its pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The device.
    pub dev_id: DevId,
    /// Size of the data blocks that it maps, shared or not: one block for each mapped thin block.
    pub mapped: Bytes,
    /// Size of the data blocks that it maps and no other device of the pool does: what deleting it would free.
    /// A data block counts once, however often the device maps it.
    pub exclusive: Bytes,
}

/// What `devices` take up, in the order given, or (`None`) all devices of the pool by ascending id.
///
/// "The pool" is the state that `view` shows: in a metadata snapshot, a block counts as exclusive if one device
/// alone mapped it at that moment. Devices that were not asked about are read all the same, since what they map is
/// not exclusive to another.
///
/// Every node of the mapping trees is read once, however many devices share it, and a second time on the way down to
/// the first leaf of each tree whose root no earlier tree contains; finding the roots takes one path of the
/// device tree for each device. Memory: about 100 bytes a node, a bit for each metadata block, and for each
/// data block 1 byte if at most 253 devices are asked about, 2 up to 65 533, 4 beyond, in pages of 4096 blocks
/// that come into being when the first of their blocks is found mapped: never more than the size
/// of the data device in blocks, rounded up, times that width.
///
/// # Errors
/// A device the pool does not have, damage anywhere in the pool's trees, a device whose mappings are not as many
/// as its details say, and a pool that changed meanwhile. Whatever the error, there is no answer.
pub fn usage<S: BlockSource>(
    view: &View<S>,
    devices: Option<&[DevId]>,
) -> Result<Vec<Usage>, Error> {
    measure(view, devices).map_err(|source| Error::Usage { source })
}

fn measure<S: BlockSource>(
    view: &View<S>,
    asked: Option<&[DevId]>,
) -> Result<Vec<Usage>, MetadataError> {
    let details = view.devices()?;
    let labels = Labels::new(asked, &details)?;
    let mut forest = Forest::new(view);
    for device in &details {
        let dev_id = device.dev_id;
        let root = view
            .mapping_root(dev_id)?
            .ok_or(MetadataError::NoDevice { dev_id })?;
        forest.plant(dev_id, root, labels.of(dev_id))?;
    }
    let mut owners = Owners::new(labels.count());
    let entries = forest.harvest(&mut owners)?;
    for (device, tree) in details.iter().zip(&entries) {
        let (recorded, found) = (device.mapped_blocks, tree.entries);
        if recorded != found {
            let rule = Rule::MappedCount { recorded, found };
            return Err(rule.at(Tree::Mappings(device.dev_id), None, tree.root));
        }
    }
    view.check_unchanged()?;
    let exclusive = owners.totals();
    let block = view.superblock().data_block_size.bytes().0;
    // 2^30 entries fit the largest metadata, and a block is at most 2^30 bytes.
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(block));
    let answer = |device: &DeviceDetails| Usage {
        dev_id: device.dev_id,
        mapped: bytes(device.mapped_blocks),
        exclusive: bytes(
            exclusive
                .get(&labels.of(device.dev_id))
                .copied()
                .unwrap_or(0),
        ),
    };
    let all: BTreeMap<DevId, Usage> = details.iter().map(|d| (d.dev_id, answer(d))).collect();
    Ok(match asked {
        None => all.into_values().collect(),
        Some(ids) => ids.iter().filter_map(|id| all.get(id).copied()).collect(),
    })
}

/// Which owner stands for which device; those that nobody asked about share one.
struct Labels(BTreeMap<DevId, Owner>);

impl Labels {
    fn new(asked: Option<&[DevId]>, details: &[DeviceDetails]) -> Result<Self, MetadataError> {
        let all: Vec<DevId> = details.iter().map(|device| device.dev_id).collect();
        let asked = asked.unwrap_or(&all);
        if let Some(dev_id) = asked.iter().find(|id| all.binary_search(id).is_err()) {
            return Err(MetadataError::NoDevice { dev_id: *dev_id });
        }
        let mut labels = BTreeMap::new();
        for dev_id in asked {
            let next = Owner::device(labels.len());
            labels.entry(*dev_id).or_insert(next);
        }
        Ok(Self(labels))
    }

    fn of(&self, dev_id: DevId) -> Owner {
        self.0.get(&dev_id).copied().unwrap_or(Owner::OTHERS)
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}
