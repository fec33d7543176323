//! One consistent state of a pool's metadata: the committed one offline, or a metadata snapshot.

use crate::BLOCK_SIZE;
use crate::details::DeviceDetails;
use crate::error::{Error, Rule, Space, Tree};
use crate::node::{MAX_HEIGHT, Node, NodeRef, number};
use crate::runs::{Mappings, Runs};
use crate::source::{Block, BlockSource};
use crate::space_map::RefCounts;
use crate::superblock::{Superblock, check_pointers, parse_copy, read_live};
use crate::walk::{Walk, value_size};
use convoy_units::{DevId, MetadataBlock};
use std::collections::BTreeSet;

/// One state of the metadata, with everything needed to judge pointers found in it.
///
/// Reads go straight to the source, nothing is cached; several threads may use one view.
#[derive(Debug)]
pub struct View<S> {
    source: S,
    superblock: Superblock,
    live: Superblock,
    held: Option<MetadataBlock>,
    metadata_blocks: u64,
    data_blocks: u64,
}

impl<S: BlockSource> View<S> {
    /// The last committed state, from block 0. **Offline only**: the pool must not be active. On a pool
    /// in use nodes are freed and overwritten under the reader; that is noticed at the end
    /// ([`Error::Changed`]) or as damage, at the price of the whole read.
    ///
    /// ```
    /// use convoy_thin_metadata::{FileSource, View};
    /// use std::path::Path;
    ///
    /// // A file here; the path of the pool's metadata device is as good.
    /// let view = View::live(FileSource::open(Path::new("tests/fixtures/kernel-6.1.img"))?)?;
    /// let superblock = view.superblock();
    /// assert_eq!((superblock.time, superblock.transaction.0), (3, 7));
    /// assert_eq!((view.data_blocks(), view.metadata_blocks()), (4096, 64));
    /// # Ok::<(), convoy_thin_metadata::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Blank`], [`Error::Foreign`], [`Error::Unsupported`], [`Error::Damaged`], [`Error::Read`].
    pub fn live(source: S) -> Result<Self, Error> {
        let live = read_checked(&source)?;
        Self::new(source, live.clone(), live, None)
    }

    /// The state that the metadata snapshot at block `root` keeps; the pool may be in use.
    ///
    /// `root` comes from the pool's status line after `reserve_metadata_snap`, and the snapshot must stay
    /// reserved until the last read: a block may be overwritten right after the release.
    ///
    /// ```
    /// use convoy_thin_metadata::{FileSource, View};
    /// use convoy_units::{DevId, MetadataBlock};
    /// use std::path::Path;
    ///
    /// let source = FileSource::open(Path::new("tests/fixtures/kernel-6.1.img"))?;
    /// let view = View::held(&source, MetadataBlock(12))?;
    /// let held: u64 = view.devices()?.iter().map(|device| device.mapped_blocks).sum();
    /// let now: u64 = View::live(&source)?.devices()?.iter().map(|device| device.mapped_blocks).sum();
    /// assert!(held < now, "the pool was written to since");
    /// # Ok::<(), convoy_thin_metadata::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`View::live`], and [`Error::NotHeld`] when the live superblock names another root or none.
    pub fn held(source: S, root: MetadataBlock) -> Result<Self, Error> {
        let live = read_checked(&source)?;
        if live.held_root != Some(root) {
            return Err(Error::NotHeld {
                root,
                found: live.held_root,
            });
        }
        let mut block = [0; BLOCK_SIZE];
        source
            .read(root, &mut block)
            .map_err(|source| Error::Read {
                block: root,
                source,
            })?;
        let damaged = |rule: Rule| rule.at(Tree::Superblock, None, root);
        let superblock = parse_copy(&block, root, &live).map_err(damaged)?;
        Self::new(source, superblock, live, Some(root))
    }

    /// Bounds come from the live superblock's space maps: a held copy has none, and the size field at
    /// offset 344 is not updated when the device grows.
    fn new(
        source: S,
        superblock: Superblock,
        live: Superblock,
        held: Option<MetadataBlock>,
    ) -> Result<Self, Error> {
        let field = |field, found| {
            Rule::Field { field, found }.at(Tree::Superblock, None, MetadataBlock(0))
        };
        let metadata_blocks = live
            .nr_metadata_blocks
            .filter(|n| *n <= source.nr_blocks())
            .ok_or_else(|| {
                field(
                    "metadata space map's nr_blocks",
                    live.nr_metadata_blocks.unwrap_or(0),
                )
            })?;
        let data_blocks = live.nr_data_blocks.unwrap_or(0);
        let view = Self {
            source,
            superblock,
            live,
            held,
            metadata_blocks,
            data_blocks,
        };
        for root in [view.superblock.mapping_root, view.superblock.details_root] {
            view.check_pointer(root)
                .map_err(|rule| rule.at(Tree::Superblock, None, held.unwrap_or_default()))?;
        }
        Ok(view)
    }

    /// The superblock of this state: for a held root the copy, which knows no space maps.
    pub fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// Block 0 as it was when the view was opened.
    pub fn live_superblock(&self) -> &Superblock {
        &self.live
    }

    /// Blocks of the metadata device that pointers may name.
    pub fn metadata_blocks(&self) -> u64 {
        self.metadata_blocks
    }

    /// Data blocks that mappings may name.
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Whether what was read until now is one state: to be asked after the last read, before relying
    /// on the whole.
    ///
    /// # Errors
    /// [`Error::Changed`] when block 0 was rewritten under an offline view, [`Error::NotHeld`] when the
    /// metadata snapshot has been released.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        let now = read_checked(&self.source)?;
        match self.held {
            Some(root) if now.held_root != Some(root) => Err(Error::NotHeld {
                root,
                found: now.held_root,
            }),
            None if now != self.live => Err(Error::Changed),
            _ => Ok(()),
        }
    }

    /// One device's details, or `None` when the pool has no such device.
    ///
    /// # Errors
    /// Damage on the path to it, or a device that only one of the two trees has.
    pub fn device(&self, dev_id: DevId) -> Result<Option<DeviceDetails>, Error> {
        Ok(self.device_with_root(dev_id)?.map(|(details, _)| details))
    }

    /// The root block of one device's mapping tree, or `None` when the pool has no such device.
    ///
    /// # Errors
    /// Damage on the path to it.
    pub fn mapping_root(&self, dev_id: DevId) -> Result<Option<MetadataBlock>, Error> {
        let root = self.superblock.mapping_root;
        let leaf = |value: &[u8]| MetadataBlock(number(value));
        let found = self.lookup(Tree::Devices, root, u64::from(dev_id.get()), leaf)?;
        if let Some(block) = found {
            self.check_pointer(block)
                .map_err(|rule| rule.at(Tree::Mappings(dev_id), None, block))?;
        }
        Ok(found)
    }

    /// One device's details and the root of its mapping tree.
    ///
    /// # Errors
    /// As [`View::device`].
    pub fn device_with_root(
        &self,
        dev_id: DevId,
    ) -> Result<Option<(DeviceDetails, MetadataBlock)>, Error> {
        let details_root = self.superblock.details_root;
        let leaf = |value: &[u8]| DeviceDetails::parse(dev_id, value);
        let details = self.lookup(Tree::Details, details_root, u64::from(dev_id.get()), leaf)?;
        match (details, self.mapping_root(dev_id)?) {
            (Some(details), Some(root)) => Ok(Some((details, root))),
            (None, None) => Ok(None),
            (_, root) => Err(key_sets(dev_id, root.is_some(), details_root)),
        }
    }

    /// Every device of the pool, by ascending id.
    ///
    /// ```
    /// use convoy_thin_metadata::{MemorySource, View};
    ///
    /// let image = include_bytes!("../tests/fixtures/kernel-6.1.img").to_vec();
    /// let view = View::live(MemorySource::new(image))?;
    /// let second = view.devices()?[1];
    /// assert_eq!((second.dev_id.get(), second.mapped_blocks), (2, 712));
    /// assert_eq!((second.creation_time, second.snapshotted_time), (1, 2));
    /// assert_eq!(view.device(second.dev_id)?, Some(second));
    /// # Ok::<(), convoy_thin_metadata::Error>(())
    /// ```
    ///
    /// # Errors
    /// Any damage in the device tree or the details tree, such as a device that only one of them has.
    pub fn devices(&self) -> Result<Vec<DeviceDetails>, Error> {
        let devices_root = self.superblock.mapping_root;
        let roots = self.list(Tree::Devices, devices_root, |dev_id, _| dev_id)?;
        let roots = BTreeSet::from_iter(roots);
        let details_root = self.superblock.details_root;
        let details = self.list(Tree::Details, details_root, DeviceDetails::parse)?;
        let found: BTreeSet<DevId> = details.iter().map(|details| details.dev_id).collect();
        if let Some(dev_id) = roots.symmetric_difference(&found).next() {
            return Err(key_sets(*dev_id, roots.contains(dev_id), details_root));
        }
        self.check_unchanged()?;
        Ok(details)
    }

    /// All mappings of one device as runs, in ascending order. The iterator is whole when it has ended without an
    /// error: the last thing it does is to compare the number of mappings with the device's details.
    ///
    /// ```
    /// use convoy_thin_metadata::{MemorySource, View};
    /// use convoy_units::DevId;
    ///
    /// let image = include_bytes!("../tests/fixtures/kernel-6.1.img").to_vec();
    /// let view = View::live(MemorySource::new(image))?;
    /// let mut found = Vec::new();
    /// for run in view.mappings(DevId::new(1).unwrap())? {
    ///     let run = run?;
    ///     found.push((run.thin.0, run.len));
    /// }
    /// assert_eq!(found, [(0, 700), (1000, 3)]);
    /// # Ok::<(), convoy_thin_metadata::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoDevice`], and damage above the leaves; damage in leaves comes as an item.
    pub fn mappings(&self, dev_id: DevId) -> Result<Mappings<'_, S>, Error> {
        let (details, root) = self
            .device_with_root(dev_id)?
            .ok_or(Error::NoDevice { dev_id })?;
        let mut walk = Walk::new(self, Tree::Mappings(dev_id));
        let leaves = walk.leaves(root)?;
        Ok(Mappings::new(
            Runs::new(walk, leaves),
            root,
            details.mapped_blocks,
        ))
    }

    /// The reference counts of every block of the data device or of the metadata device; `None` in a metadata
    /// snapshot, which has none. They are read as they stand: [`check`](crate::check()) compares them with the trees.
    ///
    /// ```
    /// use convoy_thin_metadata::{MemorySource, Space, View};
    ///
    /// let image = include_bytes!("../tests/fixtures/kernel-6.1.img").to_vec();
    /// let view = View::live(MemorySource::new(image))?;
    /// let mut used = 0;
    /// for run in view.ref_counts(Space::Data)?.expect("this is no metadata snapshot") {
    ///     let run = run?;
    ///     used += if run.count > 0 { run.len } else { 0 };
    /// }
    /// assert_eq!(Some(used), view.superblock().allocated_data_blocks);
    /// # Ok::<(), convoy_thin_metadata::Error>(())
    /// ```
    ///
    /// # Errors
    /// Damage in the index of the space map or in its tree of counts; damage in a bitmap comes as an item.
    pub fn ref_counts(&self, space: Space) -> Result<Option<RefCounts<'_, S>>, Error> {
        let root = match space {
            Space::Data => self.superblock.data_space_map,
            Space::Metadata => self.superblock.metadata_space_map,
        };
        root.map(|root| RefCounts::new(self, space, root))
            .transpose()
    }

    /// Whether a tree may point at `block`.
    pub(crate) fn check_pointer(&self, block: MetadataBlock) -> Result<(), Rule> {
        if block.0 == 0 {
            return Err(Rule::PointsAtSuperblock);
        }
        if block.0 >= self.metadata_blocks {
            return Err(Rule::BlockRange {
                limit: self.metadata_blocks,
            });
        }
        Ok(())
    }

    pub(crate) fn read_node(
        &self,
        tree: Tree,
        block: MetadataBlock,
        into: &mut Block,
    ) -> Result<(), Error> {
        self.check_pointer(block)
            .map_err(|rule| rule.at(tree, None, block))?;
        self.source
            .read(block, into)
            .map_err(|source| Error::Read { block, source })
    }

    /// A batch; when it fails, one by one, to name the block that does.
    pub(crate) fn read_nodes(
        &self,
        tree: Tree,
        blocks: &[MetadataBlock],
        into: &mut [Block],
    ) -> Result<(), Error> {
        if self.source.read_many(blocks, into).is_ok() {
            return Ok(());
        }
        blocks
            .iter()
            .zip(into)
            .try_for_each(|(block, into)| self.read_node(tree, *block, into))
    }

    /// Descends to `key`, checking each node on the path.
    fn lookup<T>(
        &self,
        tree: Tree,
        root: MetadataBlock,
        key: u64,
        leaf: impl Fn(&[u8]) -> T,
    ) -> Result<Option<T>, Error> {
        let mut node = NodeRef {
            block: root,
            low: 0,
            last: u64::MAX,
        };
        for _ in 0..MAX_HEIGHT {
            let mut block = [0; BLOCK_SIZE];
            self.read_node(tree, node.block, &mut block)?;
            let parsed = Node::parse(&block, node, value_size(tree))
                .map_err(|rule| rule.at(tree, None, node.block))?;
            if parsed.is_leaf {
                return Ok(parsed.value_of(key).map(leaf));
            }
            match parsed.child_for(key) {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Err(Rule::TooDeep.at(tree, None, node.block))
    }

    /// Every entry of a tree whose keys are device ids.
    fn list<T>(
        &self,
        tree: Tree,
        root: MetadataBlock,
        entry: impl Fn(DevId, &[u8]) -> T,
    ) -> Result<Vec<T>, Error> {
        let mut walk = Walk::new(self, tree);
        let leaves = walk.leaves(root)?;
        let mut list = Vec::new();
        walk.read_leaves(&leaves, |key, value| {
            let dev_id = DevId::new(key).map_err(|_| Rule::DevIdRange { id: key })?;
            list.push(entry(dev_id, value));
            Ok(())
        })?;
        Ok(list)
    }
}

fn key_sets(dev_id: DevId, in_devices: bool, details_root: MetadataBlock) -> Error {
    Rule::KeySets { dev_id, in_devices }.at(Tree::Details, None, details_root)
}

/// Block 0, with what it points at inside the device.
fn read_checked<S: BlockSource>(source: &S) -> Result<Superblock, Error> {
    let live = read_live(source)?;
    check_pointers(&live).map_err(|rule| rule.at(Tree::Superblock, None, MetadataBlock(0)))?;
    Ok(live)
}

#[cfg(test)]
mod tests;
