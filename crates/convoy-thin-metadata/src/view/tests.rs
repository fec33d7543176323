//! Views: bounds on grown devices, metadata snapshots and their lifetime, a pool that changes under the reader.

use super::*;
use crate::MemorySource;
use crate::runs::Run;
use convoy_testkit::thin::{BlockType, Image, ImageOptions, PoolModel};
use std::io;
use std::sync::Mutex;

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

fn source(image: &Image) -> MemorySource {
    MemorySource::new(image.bytes.clone())
}

fn write(pool: &mut PoolModel, blocks: u64) {
    for thin in 0..blocks {
        assert!(pool.write(1, thin));
    }
}

fn kernel_made() -> MemorySource {
    MemorySource::new(include_bytes!("../../tests/fixtures/kernel-6.1.img").to_vec())
}

fn mapped<S: BlockSource>(view: &View<S>, dev_id: u64) -> Vec<(u64, u64)> {
    let runs: Result<Vec<Run>, Error> = view.mappings(id(dev_id)).unwrap().collect();
    runs.unwrap()
        .iter()
        .map(|run| (run.thin.0, run.len))
        .collect()
}

#[test]
fn kernel_made_metadata_live_and_held() {
    let live = View::live(kernel_made()).unwrap();
    let ids: Vec<u32> = live
        .devices()
        .unwrap()
        .iter()
        .map(|device| device.dev_id.get())
        .collect();
    assert_eq!(ids, [1, 2, 3, 5]);
    assert_eq!(mapped(&live, 1), [(0, 700), (1000, 3)]);
    assert_eq!(mapped(&live, 5), []);
    let device = live.device(id(2)).unwrap().unwrap();
    assert_eq!((device.mapped_blocks, device.transaction.0), (712, 7));
    assert_eq!((device.creation_time, device.snapshotted_time), (1, 2));
    assert_eq!(live.device(id(4)).unwrap(), None);
    assert!(matches!(live.mappings(id(4)), Err(Error::NoDevice { .. })));

    let root = live.superblock().held_root.unwrap();
    let held = View::held(kernel_made(), root).unwrap();
    assert_eq!(mapped(&held, 1), [(0, 700)]);
    assert_eq!(held.superblock().nr_data_blocks, None);
    assert_eq!((held.data_blocks(), held.metadata_blocks()), (4096, 64));
    held.devices().unwrap();
}

#[test]
fn bounds_of_a_grown_device_come_from_the_space_map() {
    let mut pool = PoolModel::new(100, 6);
    pool.create_thin(1);
    write(&mut pool, 90);
    let options = ImageOptions {
        metadata_blocks_at_format: 4,
        ..ImageOptions::fitting(&pool)
    };
    let image = pool.image(options);
    assert_eq!(mapped(&View::live(source(&image)).unwrap(), 1), [(0, 90)]);
}

#[test]
fn a_metadata_snapshot_is_read_while_it_is_held() {
    let mut pool = PoolModel::new(100, 6);
    pool.create_thin(1);
    write(&mut pool, 30);
    assert!(pool.reserve());
    pool.discard(1, 0, 10);
    pool.create_thin(2);
    let image = pool.image(ImageOptions::fitting(&pool));
    let root = MetadataBlock(image.held_root.unwrap());
    let held = View::held(source(&image), root).unwrap();
    assert_eq!(mapped(&held, 1), [(0, 30)]);
    assert_eq!(held.devices().unwrap().len(), 1);
    let live = View::live(source(&image)).unwrap();
    assert_eq!(mapped(&live, 1), [(10, 20)]);
    assert_eq!(live.devices().unwrap().len(), 2);

    for wrong in [0, 1, root.0 + 1, 1 << 50] {
        let error = View::held(source(&image), MetadataBlock(wrong)).unwrap_err();
        assert!(
            matches!(error, Error::NotHeld { found: Some(found), .. } if found == root),
            "{error}"
        );
    }
    pool.release();
    let released = pool.image(ImageOptions::fitting(&pool));
    let error = View::held(source(&released), root).unwrap_err();
    assert!(
        matches!(error, Error::NotHeld { found: None, .. }),
        "{error}"
    );
}

#[test]
fn a_zeroed_copy_is_not_a_blank_pool() {
    let mut pool = PoolModel::new(100, 6);
    pool.create_thin(1);
    pool.reserve();
    let mut image = pool.image(ImageOptions::fitting(&pool));
    let root = image.held_root.unwrap();
    let at = usize::try_from(root).unwrap() * BLOCK_SIZE;
    image.bytes[at..at + BLOCK_SIZE].fill(0);
    let error = View::held(source(&image), MetadataBlock(root)).unwrap_err();
    let expected = format!(
        "thin metadata is damaged in the superblock, block {root}: the checksum is 0x00000000"
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
}

/// The block that was a metadata snapshot once and is something else now, or a copy that is none.
#[test]
fn a_metadata_snapshot_that_is_no_copy() {
    let mut pool = PoolModel::new(100, 6);
    pool.create_thin(1);
    pool.reserve();
    let image = pool.image(ImageOptions::fitting(&pool));
    let root = image.held_root.unwrap();
    let refused = |harm: &dyn Fn(&mut Image), expected: &dyn Fn(Rule) -> bool| {
        let mut image = image.clone();
        harm(&mut image);
        match View::held(source(&image), MetadataBlock(root)) {
            Err(Error::Damaged(damage)) => {
                assert_eq!((damage.tree, damage.block.0), (Tree::Superblock, root));
                assert!(expected(damage.rule), "{}", damage.rule);
            }
            other => panic!("{other:?}"),
        }
    };
    let copy = |offset: usize, value: u64| {
        move |image: &mut Image| image.poke_u64(root, BlockType::Superblock, offset, value)
    };
    let field = |name: &'static str| move |rule: Rule| matches!(rule, Rule::Field { field, .. } if field == name);
    refused(&|image| image.swap(root, image.devices_root), &|rule| {
        matches!(rule, Rule::Checksum { .. })
    });
    refused(&copy(32, 5), &|rule| rule == Rule::Magic { found: 5 });
    refused(&copy(8, 5), &|rule| rule == Rule::BlockNumber { found: 5 });
    refused(&copy(40, 3), &field("version"));
    refused(&copy(336, 8 << 32 | 256), &field("data_block_size"));
    refused(&copy(56, 5), &field("held_root"));
    refused(&copy(192, 5), &field("space map's nr_blocks"));
    refused(&copy(40, 9 << 32 | 2), &field("time"));
}

/// A device that becomes another one after so many reads of block 0.
struct Turning {
    before: MemorySource,
    after: MemorySource,
    left: Mutex<u32>,
}

impl BlockSource for Turning {
    fn nr_blocks(&self) -> u64 {
        self.before.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        let mut left = self.left.lock().unwrap();
        if *left == 0 && block.0 == 0 {
            return self.after.read(block, into);
        }
        *left -= u32::from(block.0 == 0);
        self.before.read(block, into)
    }
}

#[test]
fn a_commit_or_a_release_during_the_read_is_noticed_at_its_end() {
    let mut pool = PoolModel::new(100, 6);
    pool.create_thin(1);
    pool.write(1, 5);
    pool.reserve();
    let options = ImageOptions::fitting(&pool);
    let first = pool.image(options);
    pool.release();
    pool.transaction += 1;
    let second = pool.image(options);
    let turning = || Turning {
        before: source(&first),
        after: source(&second),
        left: Mutex::new(1),
    };

    let live = View::live(turning()).unwrap();
    let last = live.mappings(id(1)).unwrap().last().unwrap();
    assert!(matches!(last, Err(Error::Changed)), "{last:?}");

    let held = View::held(turning(), MetadataBlock(first.held_root.unwrap())).unwrap();
    let last = held.mappings(id(1)).unwrap().last().unwrap();
    assert!(matches!(last, Err(Error::NotHeld { .. })), "{last:?}");
}

#[test]
fn a_superblock_caught_half_written_is_read_again() {
    let mut pool = PoolModel::new(100, 6);
    pool.create_thin(1);
    pool.reserve();
    let whole = pool.image(ImageOptions::fitting(&pool));
    let mut torn = whole.clone();
    torn.flip_bit(0, 900);
    let turning = Turning {
        before: source(&torn),
        after: source(&whole),
        left: Mutex::new(3),
    };
    View::held(turning, MetadataBlock(whole.held_root.unwrap())).unwrap();
}

/// Fails to read one block.
struct Failing(MemorySource, u64);

impl BlockSource for Failing {
    fn nr_blocks(&self) -> u64 {
        self.0.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        if block.0 == self.1 {
            return Err(io::Error::other("the disk is ill"));
        }
        self.0.read(block, into)
    }
}

#[test]
fn a_read_error_in_a_batch_names_its_block() {
    let mut pool = PoolModel::new(200, 6);
    pool.create_thin(1);
    write(&mut pool, 100);
    let image = pool.image(ImageOptions::fitting(&pool));
    let ill = *pool.levels(1).last().unwrap().iter().nth(3).unwrap();
    let view = View::live(Failing(source(&image), ill)).unwrap();
    let items: Vec<_> = view.mappings(id(1)).unwrap().collect();
    assert!(
        matches!(items[..], [Err(Error::Read { block: MetadataBlock(found), .. })] if found == ill),
        "{items:?}"
    );
}

#[test]
fn runs_break_where_data_or_time_does() {
    let mut pool = PoolModel::new(1 << 40, 6);
    pool.create_thin(1);
    let far = (1 << 40) - 1;
    for (thin, data, time) in [
        (0, 5, 0),
        (1, 6, 0),
        (2, 7, 1),
        (3, 9, 1),
        (5, 10, 1),
        (1 << 40, far, 0xff_ffff),
    ] {
        pool.map(1, thin, data, time);
    }
    let image = pool.image(ImageOptions {
        data_space_map: false,
        metadata_blocks: 64,
        ..ImageOptions::default()
    });
    let view = View::live(source(&image)).unwrap();
    let runs: Vec<_> = view.mappings(id(1)).unwrap().map(Result::unwrap).collect();
    let found: Vec<_> = runs
        .iter()
        .map(|run| (run.thin.0, run.data.0, run.len, run.time))
        .collect();
    assert_eq!(
        found,
        [
            (0, 5, 2, 0),
            (2, 7, 1, 1),
            (3, 9, 1, 1),
            (5, 10, 1, 1),
            (1 << 40, far, 1, 0xff_ffff)
        ]
    );
}
