//! Metadata devices to begin with, and a source that shows one of them with some blocks changed.
//!
//! Changed blocks get a valid checksum again unless the input says otherwise: the format is
//! written here a second time, as in the test kit.

use crate::input::Input;
use convoy_testkit::thin::{ImageOptions, PoolModel, crc32c};
use convoy_thin_metadata::{BLOCK_SIZE, Block, BlockSource};
use convoy_units::MetadataBlock;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Checksum salts: superblock, node, bitmap, index block.
pub(super) const SUPERBLOCK: u32 = 160_774;
pub(super) const NODE: u32 = 121_107;
const SALTS: [u32; 4] = [SUPERBLOCK, NODE, 240_779, 160_478];
/// Changes of one input at the most.
const MAX_CHANGES: usize = 64;
/// Kinds of changes.
pub(super) const KINDS: u8 = 14;

/// A healthy image.
#[derive(Debug)]
pub(super) struct Base {
    blocks: Vec<Block>,
    salts: Vec<u32>,
}

static BASES: LazyLock<Vec<Base>> =
    LazyLock::new(|| vec![high(), flat(), held(), many(), kernel()]);

/// The base that a byte chooses.
pub(super) fn base(choice: u8) -> &'static Base {
    &BASES[usize::from(choice) % BASES.len()]
}

/// How many there are.
pub(super) fn bases() -> u8 {
    u8::try_from(BASES.len()).expect("a handful")
}

/// Two devices with trees of 4 levels that share most leaves.
fn high() -> Base {
    let mut pool = PoolModel::new(300, 3);
    pool.create_thin(1);
    (0..24).for_each(|thin| assert!(pool.write(1, thin * 3)));
    pool.create_snap(2, 1);
    pool.write(2, 30);
    pool.discard(2, 45, 9);
    write(&pool)
}

/// Two devices of one leaf each, with nodes of the kernel's size, and one that is empty.
fn flat() -> Base {
    let mut pool = PoolModel::new(1000, 252);
    pool.create_thin(1);
    (10..40).for_each(|thin| assert!(pool.write(1, thin)));
    pool.create_snap(2, 1);
    (20..25).for_each(|thin| assert!(pool.write(2, thin)));
    pool.create_thin(3);
    write(&pool)
}

/// A metadata snapshot is held, and things went on since.
fn held() -> Base {
    let mut pool = PoolModel::new(300, 6);
    pool.create_thin(1);
    (0..30).for_each(|thin| assert!(pool.write(1, thin)));
    pool.create_snap(2, 1);
    pool.write(1, 7);
    pool.reserve();
    (0..9).for_each(|thin| assert!(pool.write(1, thin * 4)));
    pool.create_snap(3, 2);
    pool.discard(2, 5, 10);
    write(&pool)
}

/// Trees of different heights, of devices that share nothing.
fn many() -> Base {
    let mut pool = PoolModel::new(300, 3);
    pool.create_thin(1);
    (0..4).for_each(|thin| assert!(pool.write(1, thin)));
    pool.create_thin(2);
    (0..20).for_each(|thin| assert!(pool.write(2, thin * 5)));
    pool.create_snap(3, 1);
    (0..12).for_each(|thin| assert!(pool.write(3, 100 + thin)));
    write(&pool)
}

/// What a real 6.1 kernel wrote.
fn kernel() -> Base {
    let bytes =
        include_bytes!("../../../../crates/convoy-thin-metadata/tests/fixtures/kernel-6.1.img");
    Base::new(bytes)
}

fn write(pool: &PoolModel) -> Base {
    let options = ImageOptions::fitting(pool);
    let used = options.metadata_blocks - 40;
    let options = ImageOptions {
        metadata_blocks: used,
        metadata_blocks_at_format: used,
        ..options
    };
    Base::new(&pool.image(options).bytes)
}

impl Base {
    fn new(bytes: &[u8]) -> Self {
        let blocks = bytes.as_chunks::<BLOCK_SIZE>().0.to_vec();
        let salts = blocks.iter().map(salt).collect();
        Self { blocks, salts }
    }

    /// How many blocks it has.
    pub(super) fn len(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// One block.
    pub(super) fn block(&self, number: u64) -> &Block {
        &self.blocks[usize::try_from(number).expect("a small image")]
    }

    fn salt(&self, number: u64) -> u32 {
        self.salts[usize::try_from(number).expect("a small image")]
    }

    /// A field of the superblock.
    pub(super) fn field(&self, offset: usize) -> u64 {
        peek(self.block(0), offset)
    }
}

/// The type of a block, told by its checksum; a node for one that has none.
fn salt(block: &Block) -> u32 {
    let stored = u32::from_le_bytes(*block.first_chunk().expect("4096 bytes"));
    let found = crc32c(&block[4..]) ^ stored;
    SALTS
        .into_iter()
        .find(|salt| *salt == found)
        .unwrap_or(NODE)
}

/// Writes the checksum that a block of this type should have.
pub(super) fn seal(block: &mut Block, salt: u32) {
    let checksum = crc32c(&block[4..]) ^ salt;
    block[..4].copy_from_slice(&checksum.to_le_bytes());
}

/// The 64-bit number at `offset`.
pub(super) fn peek(block: &Block, offset: usize) -> u64 {
    u64::from_le_bytes(*block[offset..].first_chunk().expect("inside the block"))
}

/// The 32-bit number at `offset`.
pub(super) fn peek_u32(block: &Block, offset: usize) -> u32 {
    u32::from_le_bytes(*block[offset..].first_chunk().expect("inside the block"))
}

/// A base with some blocks changed; remembers which blocks were read, and how many reads there were.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) base: &'static Base,
    blocks: BTreeMap<u64, Block>,
    read: Mutex<(BTreeSet<u64>, u64)>,
}

impl Changed {
    /// The base as it is.
    pub(super) fn new(base: &'static Base) -> Self {
        Self {
            base,
            blocks: BTreeMap::new(),
            read: Mutex::default(),
        }
    }

    /// The base with the changes that the input lists.
    pub(super) fn from_input(base: &'static Base, mut input: Input<'_>) -> Self {
        let mut changed = Self::new(base);
        for _ in 0..MAX_CHANGES {
            if input.is_empty() {
                break;
            }
            changed.apply(Change::read(&mut input));
        }
        changed
    }

    /// A block as it is now.
    pub(super) fn block(&self, number: u64) -> &Block {
        self.blocks
            .get(&number)
            .unwrap_or_else(|| self.base.block(number))
    }

    /// Replaces a block; its checksum is the caller's business.
    pub(super) fn put(&mut self, number: u64, block: &Block) {
        self.blocks.insert(number, *block);
    }

    /// Which blocks were read since the last call, and how many reads there were.
    pub(super) fn take_reads(&self) -> (BTreeSet<u64>, u64) {
        std::mem::take(&mut *self.read.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&mut self, change: Change) {
        let Change {
            kind,
            block,
            at,
            value,
        } = change;
        let number = match kind % KINDS {
            9 => 0,
            _ => u64::from(block) % self.base.len(),
        };
        let mut bytes = *self.block(number);
        let at = usize::from(at);
        let small = value.to_le_bytes();
        let (offset, field): (usize, &[u8]) = match kind % KINDS {
            0 => (at % BLOCK_SIZE, &small[..1]),
            1 => (at % (BLOCK_SIZE / 4) * 4, &small[..4]),
            2 => (at % (BLOCK_SIZE / 8) * 8, &small),
            // Flags, entries, room and value size of a node.
            3 => ([4, 16, 20, 24][at % 4], &small[..4]),
            // A key.
            4 => (32 + 8 * (at % 252), &small),
            // A pointer into the device, or just past it.
            5 => {
                let pointer = (value % (self.base.len() + 1)).to_le_bytes();
                self.overwrite(number, value_offset(&bytes, at), &pointer);
                return;
            }
            // A mapping into the data device, or just past it.
            6 => {
                let data = value % (self.base.field(64) + 1);
                let packed = (data << 24 | u64::from(small[7])).to_le_bytes();
                self.overwrite(number, value_offset(&bytes, at), &packed);
                return;
            }
            // Another block's content, with this one's number or with the other's.
            7 | 8 => {
                let from = value % self.base.len();
                bytes = *self.block(from);
                if kind % KINDS == 7 {
                    bytes[8..16].copy_from_slice(&number.to_le_bytes());
                }
                seal(&mut bytes, self.base.salt(from));
                self.put(number, &bytes);
                return;
            }
            // A field of the superblock.
            9 => (
                [48, 56, 64, 72, 80, 88, 192, 200, 208, 216, 320, 328][at % 12],
                &small,
            ),
            // A bit, under the old checksum.
            10 => {
                bytes[at % BLOCK_SIZE] ^= 1 << (value % 8);
                self.put(number, &bytes);
                return;
            }
            // A row of the details tree: which field of which entry.
            11 => {
                let room = peek_u32(&bytes, 20) as usize % 127;
                (32 + 8 * room + 24 * (at % 16) + 8 * (at / 16 % 3), &small)
            }
            // A count of a bitmap.
            12 => {
                let entry = at % 16_320;
                let byte = 16 + entry / 4;
                let bits = (small[0] % 4) << (entry % 4 * 2);
                let others = bytes[byte] & !(3 << (entry % 4 * 2));
                self.overwrite(number, byte, &[others | bits]);
                return;
            }
            // A pointer to a bitmap, in the index block or in the index tree.
            _ => {
                let pointer = (value % (self.base.len() + 1)).to_le_bytes();
                let first = if self.base.salt(number) == NODE {
                    32 + 8 * 168
                } else {
                    16
                };
                self.overwrite(number, first + 16 * (at % 4), &pointer);
                return;
            }
        };
        self.overwrite(number, offset, field);
    }

    fn overwrite(&mut self, number: u64, offset: usize, field: &[u8]) {
        let mut bytes = *self.block(number);
        let offset = offset.min(BLOCK_SIZE - field.len());
        bytes[offset..offset + field.len()].copy_from_slice(field);
        seal(&mut bytes, self.base.salt(number));
        self.put(number, &bytes);
    }
}

/// Where value `index` of a node with 8-byte values lies.
fn value_offset(block: &Block, index: usize) -> usize {
    let room = peek_u32(block, 20) as usize % 253;
    32 + 8 * room + 8 * (index % room.max(1))
}

/// One change: 12 bytes of the input.
#[derive(Debug, Clone, Copy)]
struct Change {
    kind: u8,
    block: u8,
    at: u16,
    value: u64,
}

impl Change {
    fn read(input: &mut Input<'_>) -> Self {
        Self {
            kind: input.u8(),
            block: input.u8(),
            at: input.u16(),
            value: input.u64(),
        }
    }
}

/// A change as bytes, for seeds.
pub(super) fn change(kind: u8, block: u8, at: u16, value: u64) -> Vec<u8> {
    [&[kind, block][..], &at.to_le_bytes(), &value.to_le_bytes()].concat()
}

impl BlockSource for Changed {
    fn nr_blocks(&self) -> u64 {
        self.base.len()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        if block.0 >= self.base.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.0.insert(block.0);
        read.1 += 1;
        into.copy_from_slice(self.block(block.0));
        Ok(())
    }
}
