//! What a model pool holds: its devices and their mappings, and the bytes of its data blocks.
//!
//! The rules are those of `drivers/md/dm-thin.c` as they were seen from outside: a write provisions a block, lands in
//! place, or goes to a block of its own where a snapshot may share the old one; a block that is given free is not
//! given out before the next commit; a commit makes data durable first.

use convoy_units::DevId;
use nix::errno::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Thin block → data block and pool time.
pub type Mappings = BTreeMap<u64, (u64, u32)>;

/// One thin device as the pool's metadata tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thin {
    /// What it was taken of.
    pub origin: Option<DevId>,
    /// The pool's transaction id when it was made.
    pub transaction_id: u64,
    /// The pool's time when it was made.
    pub creation_time: u32,
    /// The pool's time when it was last part of a snapshot: older mappings may be shared.
    pub snapshotted_time: u32,
    /// Its blocks.
    pub mappings: Arc<Mappings>,
}

/// A pool as its metadata tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// What userspace counts.
    pub transaction_id: u64,
    /// Counts snapshots.
    pub time: u32,
    /// Its devices.
    pub thins: BTreeMap<DevId, Thin>,
    /// The metadata snapshot, if one is reserved.
    pub held: Option<Arc<Self>>,
}

impl Content {
    pub(super) fn create_thin(&mut self, id: DevId) -> Result<(), Errno> {
        if self.thins.contains_key(&id) {
            return Err(Errno::EEXIST);
        }
        let thin = Thin {
            origin: None,
            transaction_id: self.transaction_id,
            creation_time: self.time,
            snapshotted_time: self.time,
            mappings: Arc::default(),
        };
        self.thins.insert(id, thin);
        Ok(())
    }

    pub(super) fn create_snap(&mut self, id: DevId, of: DevId) -> Result<(), Errno> {
        if self.thins.contains_key(&id) {
            return Err(Errno::EEXIST);
        }
        let origin = self.thins.get_mut(&of).ok_or(Errno::ENODATA)?;
        self.time += 1;
        origin.snapshotted_time = self.time;
        let thin = Thin {
            origin: Some(of),
            transaction_id: self.transaction_id,
            creation_time: self.time,
            ..origin.clone()
        };
        self.thins.insert(id, thin);
        Ok(())
    }

    pub(super) fn delete(&mut self, id: DevId) -> Result<(), Errno> {
        self.thins.remove(&id).map(drop).ok_or(Errno::ENODATA)
    }

    pub(super) fn hold(&mut self) -> Result<(), Errno> {
        if self.held.is_some() {
            return Err(Errno::EBUSY);
        }
        self.held = Some(Arc::new(self.clone()));
        Ok(())
    }

    pub(super) fn release(&mut self) -> Result<(), Errno> {
        self.held.take().map(drop).ok_or(Errno::EINVAL)
    }

    /// The data blocks that something refers to.
    pub(super) fn used(&self) -> BTreeSet<u64> {
        let held = self.held.iter().flat_map(|held| held.thins.values());
        let thins = self.thins.values().chain(held);
        let mappings = thins.flat_map(|thin| thin.mappings.values());
        mappings.map(|(data, _)| *data).collect()
    }

    /// Where a write to this block of a device lands: the block it may write in place.
    fn in_place(&self, id: DevId, block: u64) -> Option<u64> {
        let thin = self.thins.get(&id)?;
        let (data, time) = *thin.mappings.get(&block)?;
        (time >= thin.snapshotted_time).then_some(data)
    }

    fn map(&mut self, id: DevId, block: u64, data: u64) -> Result<(), Errno> {
        let time = self.time;
        let thin = self.thins.get_mut(&id).ok_or(Errno::ENODATA)?;
        Arc::make_mut(&mut thin.mappings).insert(block, (data, time));
        Ok(())
    }
}

/// Bytes of a data block: as a read finds them, and as a power cut would leave them.
#[derive(Clone)]
struct Cell {
    now: Arc<[u8]>,
    durable: Arc<[u8]>,
}

/// A pool's content now and at its last commit, and its data.
pub(super) struct Store {
    pub(super) now: Content,
    pub(super) committed: Content,
    /// How many data blocks there are.
    pub(super) blocks: u64,
    /// Bytes of a block.
    block: usize,
    cells: BTreeMap<u64, Cell>,
}

impl Store {
    pub(super) fn new(blocks: u64, block: usize) -> Self {
        Self {
            now: Content::default(),
            committed: Content::default(),
            blocks,
            block,
            cells: BTreeMap::new(),
        }
    }

    /// What the metadata refers to becomes what a power cut leaves.
    pub(super) fn commit(&mut self) {
        for cell in self.cells.values_mut() {
            cell.durable = Arc::clone(&cell.now);
        }
        if self.committed != self.now {
            self.committed = self.now.clone();
            let used = self.now.used();
            self.cells.retain(|block, _| used.contains(block));
        }
    }

    /// What was not committed is gone; of data written in place since then, `keeps` says for each block.
    pub(super) fn cut_power(&mut self, keeps: &mut dyn FnMut() -> bool) {
        self.now = self.committed.clone();
        for cell in self.cells.values_mut() {
            if !Arc::ptr_eq(&cell.now, &cell.durable) && !keeps() {
                cell.now = Arc::clone(&cell.durable);
            }
            cell.durable = Arc::clone(&cell.now);
        }
        let used = self.now.used();
        self.cells.retain(|block, _| used.contains(block));
    }

    /// Data blocks in use: what was given free counts until the commit.
    pub(super) fn used(&self) -> u64 {
        let mut used = self.now.used();
        used.append(&mut self.committed.used());
        used.len() as u64
    }

    /// The bytes of a data block; zeros where nothing was written.
    pub(super) fn data(&self, data: u64) -> Arc<[u8]> {
        self.cells
            .get(&data)
            .map_or_else(|| vec![0; self.block].into(), |cell| Arc::clone(&cell.now))
    }

    /// A block of a thin device; `None` if it is not mapped, which reads as zeros.
    pub(super) fn block(&self, id: DevId, block: u64) -> Option<Arc<[u8]>> {
        let thin = self.now.thins.get(&id)?;
        let (data, _) = thin.mappings.get(&block)?;
        Some(self.data(*data))
    }

    /// Writes a block of a thin device: all of it, or, with `None`, as a write that leaves zeros.
    pub(super) fn write(
        &mut self,
        id: DevId,
        block: u64,
        bytes: Option<&[u8]>,
    ) -> Result<(), Errno> {
        let data = if let Some(data) = self.now.in_place(id, block) {
            data
        } else {
            let free = self.free().ok_or(Errno::ENOSPC)?;
            self.now.map(id, block, free)?;
            free
        };
        let now: Arc<[u8]> = match bytes {
            Some(bytes) => bytes.into(),
            None => vec![0; self.block].into(),
        };
        if let Some(cell) = self.cells.get_mut(&data) {
            cell.now = now;
        } else {
            let durable = vec![0; self.block].into();
            self.cells.insert(data, Cell { now, durable });
        }
        Ok(())
    }

    /// Unmaps whole blocks of a thin device.
    pub(super) fn discard(&mut self, id: DevId, begin: u64, end: u64) -> Result<(), Errno> {
        let thin = self.now.thins.get_mut(&id).ok_or(Errno::ENODATA)?;
        Arc::make_mut(&mut thin.mappings).retain(|block, _| !(begin..end).contains(block));
        Ok(())
    }

    fn free(&self) -> Option<u64> {
        let (now, committed) = (self.now.used(), self.committed.used());
        (0..self.blocks).find(|block| !now.contains(block) && !committed.contains(block))
    }
}
