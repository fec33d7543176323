//! The model of a pool: what the kernel would do to its metadata, with a naive map beside each tree.

use super::tree::{Forest, Mapping};
use std::collections::{BTreeMap, BTreeSet};

/// One thin device: its tree and, kept apart from it, the plain map that the tree stands for.
#[derive(Debug, Clone)]
pub struct DeviceModel {
    pub(super) root: u64,
    pub(super) transaction: u64,
    pub(super) creation_time: u32,
    pub(super) snapshotted_time: u32,
    map: BTreeMap<u64, Mapping>,
}

impl DeviceModel {
    /// Thin block → data block and pool time.
    pub fn map(&self) -> &BTreeMap<u64, (u64, u32)> {
        &self.map
    }

    /// Root block of the mapping tree.
    pub fn root(&self) -> u64 {
        self.root
    }
}

/// Devices, mappings, time and data blocks of a pool; everything is in memory.
#[derive(Debug, Clone)]
pub struct PoolModel {
    pub(super) forest: Forest,
    pub(super) devices: BTreeMap<u32, DeviceModel>,
    pub(super) held: Option<BTreeMap<u32, DeviceModel>>,
    pub(super) held_time: u32,
    pub(super) time: u32,
    /// The pool's transaction id, as the next image and the next device record it.
    pub transaction: u64,
    /// Size of the data device in blocks.
    pub data_blocks: u64,
    free_data: BTreeSet<u64>,
    next_data: u64,
}

impl PoolModel {
    /// A pool without devices. `fanout` is the number of entries that mapping-tree nodes have room for:
    /// 252 as the kernel makes them, or a smaller multiple of 3 for high trees of few mappings.
    pub fn new(data_blocks: u64, fanout: usize) -> Self {
        Self {
            forest: Forest::new(fanout, fanout != 252),
            devices: BTreeMap::new(),
            held: None,
            held_time: 0,
            time: 0,
            transaction: 0,
            data_blocks,
            free_data: BTreeSet::new(),
            next_data: 0,
        }
    }

    /// Device ids in use.
    pub fn ids(&self) -> Vec<u32> {
        self.devices.keys().copied().collect()
    }

    /// A device that exists.
    #[track_caller]
    pub fn device(&self, id: u32) -> &DeviceModel {
        self.devices
            .get(&id)
            .unwrap_or_else(|| panic!("there is no device {id}"))
    }

    /// The devices as the held metadata snapshot sees them.
    pub fn held(&self) -> Option<&BTreeMap<u32, DeviceModel>> {
        self.held.as_ref()
    }

    /// Block numbers of a device's tree by level, leaves last.
    #[track_caller]
    pub fn levels(&self, id: u32) -> Vec<BTreeSet<u64>> {
        self.forest.levels(self.device(id).root)
    }

    /// Makes an empty device; false if the id is taken.
    pub fn create_thin(&mut self, id: u32) -> bool {
        if self.devices.contains_key(&id) {
            return false;
        }
        let root = self.forest.new_tree();
        let device = DeviceModel {
            root,
            transaction: self.transaction,
            creation_time: self.time,
            snapshotted_time: self.time,
            map: BTreeMap::new(),
        };
        self.devices.insert(id, device);
        true
    }

    /// Makes `id` a snapshot of `origin`; false if the one exists or the other does not.
    pub fn create_snap(&mut self, id: u32, origin: u32) -> bool {
        if self.devices.contains_key(&id) || !self.devices.contains_key(&origin) {
            return false;
        }
        self.time += 1;
        let (time, transaction) = (self.time, self.transaction);
        let origin = self.devices.get_mut(&origin).expect("it was just seen");
        origin.snapshotted_time = time;
        let root = origin.root;
        let snap = DeviceModel {
            creation_time: time,
            transaction,
            ..origin.clone()
        };
        self.forest.hold(root);
        self.devices.insert(id, snap);
        true
    }

    /// Deletes a device; false if there is none.
    pub fn delete(&mut self, id: u32) -> bool {
        let Some(device) = self.devices.remove(&id) else {
            return false;
        };
        self.forest.release(device.root);
        self.collect_data(device.map.values().map(|(data, _)| *data).collect());
        true
    }

    /// A write: provisions, breaks sharing, or lands in place. False if the pool is full.
    pub fn write(&mut self, id: u32, thin: u64) -> bool {
        let device = self.device(id);
        let old = device.map.get(&thin).copied();
        if old.is_some_and(|(_, time)| time >= device.snapshotted_time) {
            return true;
        }
        let Some(data) = self.free_data.pop_first().or_else(|| self.fresh_data()) else {
            return false;
        };
        self.map(id, thin, data, self.time);
        true
    }

    /// Maps a block as told, whatever the kernel would do: for edges that no history reaches quickly.
    pub fn map(&mut self, id: u32, thin: u64, data: u64, time: u32) {
        let device = self.devices.get_mut(&id).expect("the device exists");
        device.root = self.forest.insert(device.root, thin, (data, time));
        let old = device.map.insert(thin, (data, time));
        self.collect_data(old.into_iter().map(|(data, _)| data).collect());
    }

    /// Unmaps every mapped block of `begin .. begin + len`.
    pub fn discard(&mut self, id: u32, begin: u64, len: u64) {
        let device = self.devices.get_mut(&id).expect("the device exists");
        let keys: Vec<u64> = device
            .map
            .range(begin..begin.saturating_add(len))
            .map(|(k, _)| *k)
            .collect();
        let mut freed = Vec::new();
        for key in keys {
            device.root = self.forest.remove(device.root, key);
            freed.extend(device.map.remove(&key).map(|(data, _)| data));
        }
        self.collect_data(freed);
    }

    /// Reserves a metadata snapshot; false if one is held.
    pub fn reserve(&mut self) -> bool {
        if self.held.is_some() {
            return false;
        }
        for device in self.devices.values() {
            self.forest.hold(device.root);
        }
        self.held = Some(self.devices.clone());
        self.held_time = self.time;
        true
    }

    /// Releases the metadata snapshot, if one is held.
    pub fn release(&mut self) {
        for device in self
            .held
            .take()
            .into_iter()
            .flatten()
            .map(|(_, device)| device)
        {
            self.forest.release(device.root);
            self.collect_data(device.map.values().map(|(data, _)| *data).collect());
        }
    }

    fn fresh_data(&mut self) -> Option<u64> {
        let next = self.next_data;
        (next < self.data_blocks).then(|| {
            self.next_data += 1;
            next
        })
    }

    /// Data blocks nobody points at any more may be given out again.
    fn collect_data(&mut self, candidates: Vec<u64>) {
        let next = self.next_data;
        let counts = self.forest.data_counts();
        let free = candidates
            .into_iter()
            .filter(|data| *data < next && !counts.contains_key(data));
        self.free_data.extend(free);
    }
}
