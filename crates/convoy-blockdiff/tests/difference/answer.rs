//! What the tests of the difference share: the naive answer, ours in the same form, and a source that counts.

use convoy_blockdiff::{Delta, DeltaKind, Options, diff};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{Block, BlockSource, MemorySource, View};
use convoy_units::{DevId, MetadataBlock};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A device's plain map, as the model keeps it.
pub(crate) type Map = BTreeMap<u64, (u64, u32)>;

/// An answer block by block, ascending: thin block; kind, left and right data block.
pub(crate) type Answer = Vec<(u64, (DeltaKind, Option<u64>, Option<u64>))>;

/// The difference of two plain maps, block by block.
pub(crate) fn naive(left: Option<&Map>, right: &Map, include_same: bool) -> Answer {
    let empty = Map::new();
    let left = left.unwrap_or(&empty);
    let mut keys: Vec<u64> = left.keys().chain(right.keys()).copied().collect();
    keys.sort_unstable();
    keys.dedup();
    let answer = keys.into_iter().map(|key| {
        let (a, b) = (left.get(&key).map(|v| v.0), right.get(&key).map(|v| v.0));
        let kind = match (a, b) {
            (_, None) => DeltaKind::LeftOnly,
            (None, _) => DeltaKind::RightOnly,
            (a, b) if a == b => DeltaKind::Same,
            _ => DeltaKind::Differ,
        };
        (key, (kind, a, b))
    });
    answer
        .filter(|(_, (kind, ..))| include_same || *kind != DeltaKind::Same)
        .collect()
}

/// Our answer, taken apart into blocks after checking that its ranges ascend and are joined.
#[track_caller]
pub(crate) fn ours<S: BlockSource>(
    view: &View<S>,
    left: Option<u32>,
    right: u32,
    include_same: bool,
) -> Answer {
    let id = |n: u32| DevId::new(u64::from(n)).unwrap();
    let mut diff = diff(view, left.map(id), id(right), Options { include_same }).unwrap();
    let mut answer = Answer::new();
    let mut before: Option<Delta> = None;
    for delta in diff.by_ref() {
        let delta = delta.unwrap();
        assert!(!delta.range.is_empty());
        assert!(
            before.is_none_or(|before| before.range.end <= delta.range.begin),
            "ascending"
        );
        for offset in 0..delta.range.len() {
            let at = |first: Option<convoy_units::DataBlock>| first.map(|first| first.0 + offset);
            let block = delta.range.begin.0 + offset;
            answer.push((block, (delta.kind, at(delta.left), at(delta.right))));
        }
        before = Some(delta);
    }
    diff.finish().unwrap();
    answer
}

/// One pair of devices in both modes.
#[track_caller]
pub(crate) fn check_pair<S: BlockSource>(
    view: &View<S>,
    left: Option<(u32, &Map)>,
    right: (u32, &Map),
) {
    check_mode(view, left, right, false);
    check_mode(view, left, right, true);
}

#[track_caller]
pub(crate) fn check_mode<S: BlockSource>(
    view: &View<S>,
    left: Option<(u32, &Map)>,
    right: (u32, &Map),
    include_same: bool,
) {
    let found = ours(view, left.map(|left| left.0), right.0, include_same);
    assert_eq!(found, naive(left.map(|left| left.1), right.1, include_same));
}

/// Every pair of a pool's devices.
#[track_caller]
pub(crate) fn run_all(pool: &PoolModel) {
    let image = pool.image(ImageOptions::fitting(pool));
    let view = View::live(MemorySource::new(image.bytes)).unwrap();
    for right in pool.ids() {
        check_pair(&view, None, (right, pool.device(right).map()));
        for left in pool.ids() {
            check_pair(
                &view,
                Some((left, pool.device(left).map())),
                (right, pool.device(right).map()),
            );
        }
    }
}

/// Counts blocks read.
pub(crate) struct Counting {
    image: MemorySource,
    reads: Arc<AtomicU64>,
}

impl Counting {
    pub(crate) fn new(image: Vec<u8>) -> (Self, Arc<AtomicU64>) {
        let reads = Arc::new(AtomicU64::new(0));
        (
            Self {
                image: MemorySource::new(image),
                reads: Arc::clone(&reads),
            },
            reads,
        )
    }
}

impl BlockSource for Counting {
    fn nr_blocks(&self) -> u64 {
        self.image.nr_blocks()
    }

    fn read(&self, block: MetadataBlock, into: &mut Block) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.image.read(block, into)
    }
}
