//! One random history of a few thin devices, done to a pool and to a model at the same time.

use super::answer::Answer;
use convoy_blockdiff::DeltaKind;
use convoy_thinpool::{Pool, ThinSpec, blockdev};
use convoy_units::{ByteRange, DevId, Sectors};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use uuid::Uuid;

/// The pool's block.
pub(super) const BLOCK: u64 = 64 << 10;
/// The sizes of devices, in blocks, at first and at most. One leaf of a mapping tree holds 252 mappings: the
/// trees get several levels.
const SIZES: (u64, u64) = (600, 2400);
/// The longest run written or discarded at once, in blocks.
const RUN: u64 = 240;
/// Devices a history keeps.
const DEVICES: std::ops::Range<usize> = 2..7;
/// Ids of the devices of one history, among those of its pool.
const IDS: u64 = 1000;

pub(super) fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

pub(super) fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

/// A device as the model has it: for each block the write it holds, 0 where none is mapped.
type Model = Vec<u64>;

/// What was done to a pool, and what it should have.
pub(super) struct History {
    /// What all its choices come from.
    pub(super) seed: u64,
    devices: BTreeMap<u64, Model>,
    choice: Choice,
    last_id: u64,
    writes: u64,
}

impl History {
    /// A device with something on it, and a snapshot.
    pub(super) fn begin(pool: &Pool, place: u64, seed: u64) -> Self {
        let mut history = Self {
            seed,
            devices: BTreeMap::new(),
            choice: Choice(seed),
            last_id: place * IDS,
            writes: 0,
        };
        let first = history.create(pool);
        history.change(pool, first);
        history.snapshot(pool, first);
        history
    }

    /// One more step of any kind.
    pub(super) fn step(&mut self, pool: &Pool) {
        let n = self.pick();
        match self.choice.below(16) {
            0 | 1 if self.devices.len() > DEVICES.start => {
                pool.delete(id(n)).unwrap();
                self.devices.remove(&n);
            }
            2 if self.devices.len() < DEVICES.end => {
                let new = self.create(pool);
                self.change(pool, new);
            }
            3 => self.grow(n),
            4..=9 if self.devices.len() < DEVICES.end => {
                let new = self.snapshot(pool, n);
                let changed = if self.choice.one_in(2) { n } else { new };
                self.change(pool, changed);
            }
            _ => self.change(pool, n),
        }
    }

    fn create(&mut self, pool: &Pool) -> u64 {
        self.last_id += 1;
        pool.create_thin(id(self.last_id)).unwrap();
        self.devices.insert(self.last_id, vec![0; size(SIZES.0)]);
        self.last_id
    }

    /// A snapshot, perhaps of a snapshot.
    fn snapshot(&mut self, pool: &Pool, of: u64) -> u64 {
        self.last_id += 1;
        pool.create_snapshot(id(self.last_id), id(of)).unwrap();
        self.devices.insert(self.last_id, self.devices[&of].clone());
        self.last_id
    }

    /// The next table of the device is longer: that is all a thin device's size is.
    fn grow(&mut self, n: u64) {
        let more = self.choice.below(SIZES.0) + 1;
        let model = self.devices.get_mut(&n).expect("it was picked");
        let end = (model.len() + size(more)).min(size(SIZES.1));
        model.resize(end, 0);
    }

    /// Writes, overwrites and discards on one device: runs and scattered blocks.
    fn change(&mut self, pool: &Pool, n: u64) {
        let blocks = self.devices[&n].len() as u64;
        let spec = ThinSpec {
            uuid: uuid(n),
            dev_id: id(n),
            size: Sectors(blocks * BLOCK / 512),
            read_only: false,
        };
        let node = pool.activate_thin(&spec).unwrap().node;
        let device = Device::open(&node);
        for _ in 0..=self.choice.below(12) {
            let begin = self.choice.below(blocks);
            let len = if self.choice.one_in(3) {
                self.choice.below(RUN) + 1
            } else {
                1
            };
            let end = (begin + len).min(blocks);
            let discarded = self.choice.one_in(4);
            if discarded {
                let (begin, end) = (begin * BLOCK, end * BLOCK);
                blockdev::discard(&node, ByteRange { begin, end }).unwrap();
            } else {
                device.write(begin, end);
            }
            let model = self.devices.get_mut(&n).expect("it was picked");
            for block in &mut model[size(begin)..size(end)] {
                self.writes += 1;
                *block = if discarded { 0 } else { self.writes };
            }
        }
        drop(device);
        pool.deactivate_thin(uuid(n)).unwrap();
    }

    /// The ids of its devices, the newest last.
    pub(super) fn devices(&self) -> Vec<u64> {
        self.devices.keys().copied().collect()
    }

    /// Mappings of all its devices.
    pub(super) fn mappings(&self) -> usize {
        let blocks = self.devices.values().flatten();
        blocks.filter(|write| **write != 0).count()
    }

    pub(super) fn is_empty(&self, n: u64) -> bool {
        self.devices[&n].iter().all(|write| *write == 0)
    }

    /// Any of its devices.
    pub(super) fn pick(&mut self) -> u64 {
        let ids = self.devices();
        ids[size(self.choice.below(ids.len() as u64))]
    }

    /// Any of its devices but one.
    pub(super) fn pick_other_than(&mut self, n: u64) -> u64 {
        loop {
            let other = self.pick();
            if other != n {
                return other;
            }
        }
    }

    /// How two of its devices differ.
    pub(super) fn expected(&self, left: u64, right: u64) -> Answer {
        let (left, right) = (&self.devices[&left], &self.devices[&right]);
        let mut answer = Answer::default();
        for block in 0..left.len().max(right.len()) {
            let of = |model: &Model| model.get(block).copied().unwrap_or(0);
            let kind = match (of(left), of(right)) {
                (0, 0) => continue,
                (_, 0) => DeltaKind::LeftOnly,
                (0, _) => DeltaKind::RightOnly,
                (a, b) if a == b => DeltaKind::Same,
                _ => DeltaKind::Differ,
            };
            answer.push(block as u64, block as u64 + 1, kind);
        }
        answer
    }
}

/// A number of blocks or devices as an index: they are few.
fn size(n: u64) -> usize {
    usize::try_from(n).expect("it is far below 2^32")
}

/// A thin device written past the page cache in whole blocks: the kernel then neither zeroes nor copies any.
struct Device {
    file: File,
    memory: Vec<u8>,
    begin: usize,
}

impl Device {
    /// Blocks written by one call.
    const PIECE: u64 = 16;

    fn open(node: &std::path::Path) -> Self {
        let direct = nix::fcntl::OFlag::O_DIRECT.bits();
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(direct)
            .open(node);
        let memory = vec![0; size(Self::PIECE * BLOCK) + 4096];
        let begin = memory.as_ptr().align_offset(4096);
        Self {
            file: file.unwrap(),
            memory,
            begin,
        }
    }

    fn write(&self, begin: u64, end: u64) {
        for at in (begin..end).step_by(size(Self::PIECE)) {
            let len = size((end - at).min(Self::PIECE) * BLOCK);
            let bytes = &self.memory[self.begin..self.begin + len];
            self.file.write_all_at(bytes, at * BLOCK).unwrap();
        }
    }
}

/// A source of choices that is the same for the same seed (splitmix64).
struct Choice(u64);

impl Choice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
