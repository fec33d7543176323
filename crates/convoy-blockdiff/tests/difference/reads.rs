//! Which blocks a difference reads: those that differ once, and the ways to them; each counted from the model's trees.

use convoy_blockdiff::{Options, Summary, diff};
use convoy_testkit::thin::random::{history, play};
use convoy_testkit::thin::{Image, ImageOptions, PoolModel};
use convoy_thin_metadata::{Block, BlockSource, MemorySource, View};
use convoy_units::{DevId, MetadataBlock};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Mutex;

/// How often each block was read.
type Reads = BTreeMap<u64, u32>;

/// Counts reads by block.
struct Ledger(MemorySource, Mutex<Reads>);

impl Ledger {
    fn take(&self) -> Reads {
        std::mem::take(&mut self.1.lock().unwrap())
    }
}

impl BlockSource for Ledger {
    fn nr_blocks(&self) -> u64 {
        self.0.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        *self.1.lock().unwrap().entry(block.0).or_default() += 1;
        self.0.read(block, into)
    }
}

fn id(n: u32) -> DevId {
    DevId::new(u64::from(n)).unwrap()
}

fn add(reads: &mut Reads, blocks: impl IntoIterator<Item = u64>) {
    for block in blocks {
        *reads.entry(block).or_default() += 1;
    }
}

/// Blocks from `root` down to the leaf where `key` would be, by the bytes that the model wrote.
fn path(image: &Image, root: u64, key: u64) -> Vec<u64> {
    let mut path = vec![root];
    loop {
        let node = path[path.len() - 1];
        if image.peek_u32(node, 4) == 2 {
            return path;
        }
        let entries = image.peek_u32(node, 16) as usize;
        let keys = (0..entries).map(|index| image.peek_u64(node, Image::key_offset(index)));
        let after = keys.take_while(|low| *low <= key).count();
        path.push(image.peek_u64(node, image.value_offset(node, after.max(1) - 1)));
    }
}

/// Nodes by height, leaves first.
fn heights(pool: &PoolModel, n: u32) -> Vec<BTreeSet<u64>> {
    let mut levels = pool.levels(n);
    levels.reverse();
    levels
}

/// Nodes of either tree that the other does not have at the same height.
fn nodes_apart(left: &[BTreeSet<u64>], right: &[BTreeSet<u64>]) -> Vec<u64> {
    let empty = BTreeSet::new();
    let at = |levels: &[BTreeSet<u64>], height: usize| levels.get(height).unwrap_or(&empty).clone();
    (0..left.len().max(right.len()))
        .flat_map(|height| {
            let (left, right) = (at(left, height), at(right, height));
            left.symmetric_difference(&right)
                .copied()
                .collect::<Vec<_>>()
        })
        .collect()
}

/// What must be read, and no more: the paths to both devices' rows, the way down to each tree's first leaf (which
/// tells its height), the nodes that differ, and the superblock once more at the end.
fn expected(pool: &PoolModel, image: &Image, left: Option<u32>, right: u32, same: bool) -> Reads {
    let mut reads = Reads::new();
    let tree = |n: u32| heights(pool, n);
    let root = |n: u32| pool.device(n).root();
    for n in left.into_iter().chain([right]) {
        add(&mut reads, path(image, image.devices_root, u64::from(n)));
        add(&mut reads, path(image, image.details_root, u64::from(n)));
    }
    let one_root = left.is_some_and(|left| root(left) == root(right));
    if same || !one_root {
        for n in left.into_iter().chain([right]) {
            add(&mut reads, path(image, root(n), 0));
        }
    }
    match left {
        Some(left) if same => add(
            &mut reads,
            tree(left).into_iter().chain(tree(right)).flatten(),
        ),
        Some(left) => add(&mut reads, nodes_apart(&tree(left), &tree(right))),
        None => add(&mut reads, tree(right).into_iter().flatten()),
    }
    add(&mut reads, [0]);
    reads
}

fn run(view: &View<&Ledger>, left: Option<u32>, right: u32, include_same: bool) -> Summary {
    let mut diff = diff(view, left.map(id), id(right), Options { include_same }).unwrap();
    assert!(diff.by_ref().all(|delta| delta.is_ok()));
    diff.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn exactly_the_nodes_that_differ_and_the_ways_to_them(
        history in history(30, 300),
        fanout in prop_oneof![Just(3_usize), Just(6), Just(12), Just(252)],
        // Enough devices for a device tree and a details tree of two levels, now and then.
        others in prop_oneof![19 => Just(0_u32), 1 => Just(300)],
    ) {
        let mut pool = PoolModel::new(20_000, fanout);
        (0..others).for_each(|n| assert!(pool.create_thin(1000 + n)));
        pool.create_thin(1);
        play(&mut pool, &history, 300);
        let image = pool.image(ImageOptions::fitting(&pool));
        let ids = pool.ids();
        let (left, right) = (ids[0], ids[ids.len() - 1]);
        let ledger = Ledger(MemorySource::new(image.bytes.clone()), Mutex::default());
        let view = View::live(&ledger).unwrap();
        ledger.take();
        for (left, same) in [(Some(left), false), (Some(left), true), (None, false)] {
            let summary = run(&view, left, right, same);
            let wanted = expected(&pool, &image, left, right, same);
            prop_assert_eq!(ledger.take(), wanted.clone());
            // The summary counts the nodes of the mapping trees alone.
            let total: u32 = wanted.values().sum();
            let rows = left.into_iter().chain([right]).map(|n| {
                path(&image, image.devices_root, u64::from(n)).len()
                    + path(&image, image.details_root, u64::from(n)).len()
            });
            let beside = rows.sum::<usize>() as u64 + 1;
            prop_assert_eq!(summary.nodes_read, u64::from(total) - beside);
        }
    }
}
