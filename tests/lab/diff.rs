//! The difference of two devices after random histories on the real kernel: the model's, Debian's
//! `thin_delta`'s and ours are one, live through a metadata snapshot and offline.
//!
//! `CONVOY_DIFF_HISTORIES` sets how many histories, `CONVOY_DIFF_SEED` repeats those of an earlier run: it
//! is printed, and named by every failure.

mod answer;
mod history;

use crate::world::World;
use answer::{Answer, ours, thin_delta};
use convoy_blockdiff::Options;
use convoy_tests::command::tool as run;
use convoy_tests::disk::disks;
use convoy_thin_metadata::{BlockSource, FileSource, View};
use convoy_thinpool::{KernelControl, Pool, PoolSpec, blockdev};
use convoy_units::{Bytes, DataBlockSize, Sectors};
use history::{BLOCK, History, id, uuid};
use std::path::PathBuf;
use std::sync::Arc;

/// Histories without a wish.
const HISTORIES: u64 = 50;
/// Histories that share a pool: their steps alternate, so that none finds its data blocks in a row.
const TOGETHER: u64 = 10;
/// Steps of a history before the metadata snapshot, and after it.
const STEPS: (u32, u32) = (8, 2);

/// A number from the environment.
fn told(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("it is set to a number"))
}

#[test]
fn ours_is_the_models_and_thin_deltas_after_random_histories() {
    let count = told("CONVOY_DIFF_HISTORIES").unwrap_or(HISTORIES);
    let seed =
        told("CONVOY_DIFF_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 16);
    println!("CONVOY_DIFF_SEED={seed} CONVOY_DIFF_HISTORIES={count}");
    let disks = Disks::new();
    let mut tally = Tally::default();
    let all: Vec<u64> = (seed..seed + count).collect();
    for seeds in all.chunks(usize::try_from(TOGETHER).unwrap()) {
        compare_together(&disks, seeds, &mut tally);
    }
    println!("MEASURED {count} histories: {tally:?}");
    assert!(tally.thin_delta >= 2 * count, "the tool was hardly asked");
}

/// Runs a few histories in one pool, and compares what they made: as it was when the metadata snapshot was
/// taken, while the pool goes on; and as it is in the end.
fn compare_together(disks: &Disks, seeds: &[u64], tally: &mut Tally) {
    blockdev::zero_first_block(&disks.metadata).unwrap();
    let pool = disks.pool(seeds[0]);
    let mut histories: Vec<History> = (0..)
        .zip(seeds)
        .map(|(place, seed)| History::begin(&pool, place, *seed))
        .collect();
    let go_on = |histories: &mut [History], steps| {
        for _ in 0..steps {
            for history in histories.iter_mut() {
                history.step(&pool);
            }
        }
    };
    go_on(&mut histories, STEPS.0);
    let held = pool.reserve_metadata_snapshot().unwrap();
    let kept: Vec<Comparison> = histories.iter_mut().flat_map(comparisons).collect();
    go_on(&mut histories, STEPS.1);
    let view = View::held(disks.source(), held.root()).unwrap();
    for comparison in &kept {
        comparison.check(&view, disks, true, tally);
    }
    held.release().unwrap();
    pool.deactivate().unwrap();
    let view = View::live(disks.source()).unwrap();
    for comparison in histories.iter_mut().flat_map(comparisons) {
        comparison.check(&view, disks, false, tally);
    }
    for history in &histories {
        tally.devices += history.devices().len();
        tally.mappings += history.mappings();
    }
}

/// The metadata device, and one for data that keeps nothing: what is compared is which blocks are mapped,
/// and a target that drops every write takes no time.
struct Disks {
    metadata: PathBuf,
}

impl Disks {
    const DATA: &str = "nothing";

    fn new() -> Self {
        let world = World::new("histories");
        let disk = &disks()[2];
        let sectors = blockdev::size(disk).unwrap().0 / 512;
        let (up, down) = (0, 60);
        let table = format!(
            "0 {sectors} flakey {} 0 {up} {down} 1 drop_writes",
            disk.display()
        );
        run("dmsetup", &["create", Self::DATA, "--table", &table]);
        Self {
            metadata: world.disk("metadata", Bytes::mib(32)).into(),
        }
    }

    fn pool(&self, number: u64) -> Pool {
        let spec = PoolSpec {
            name: "histories".parse().unwrap(),
            uuid: uuid(number),
            metadata: self.metadata.clone(),
            metadata_len: None,
            data: format!("/dev/mapper/{}", Self::DATA).into(),
            block_size: DataBlockSize::new(Sectors(BLOCK / 512)).unwrap(),
            low_water: 16,
            error_if_no_space: true,
        };
        Pool::activate(Arc::new(KernelControl::open().unwrap()), &spec).unwrap()
    }

    fn source(&self) -> FileSource {
        FileSource::open(&self.metadata).unwrap()
    }
}

/// What all comparisons came to.
#[derive(Debug, Default)]
struct Tally {
    ours: u64,
    thin_delta: u64,
    ranges: usize,
    devices: usize,
    mappings: usize,
}

/// Two devices at one moment, and how they differ by the model.
struct Comparison {
    seed: u64,
    left: u64,
    right: u64,
    expected: Answer,
    /// Debian's `thin_delta` 0.9.0 reads past the end of a device without mappings, and is not asked.
    one_is_empty: bool,
}

/// Two pairs of different devices of a history, one with its newest device.
fn comparisons(history: &mut History) -> [Comparison; 2] {
    let newest = *history
        .devices()
        .last()
        .expect("a history keeps two devices");
    [history.pick(), newest].map(|left| {
        let right = history.pick_other_than(left);
        Comparison {
            seed: history.seed,
            left,
            right,
            expected: history.expected(left, right),
            one_is_empty: history.is_empty(left) || history.is_empty(right),
        }
    })
}

impl Comparison {
    /// Asks everybody.
    fn check<S: BlockSource>(&self, view: &View<S>, disks: &Disks, held: bool, tally: &mut Tally) {
        let (left, right) = (self.left, self.right);
        let what = format!(
            "CONVOY_DIFF_SEED={}: {left} and {right}, held {held}",
            self.seed
        );
        let with_same = Options { include_same: true };
        assert_eq!(
            ours(view, Some(id(left)), id(right), with_same),
            self.expected,
            "{what}: ours and the model's"
        );
        assert_eq!(
            ours(view, Some(id(left)), id(right), Options::default()),
            self.expected.without_same(),
            "{what}: ours without the same, and the model's"
        );
        assert_eq!(
            ours(view, None, id(right), Options::default()),
            self.expected.of_right(),
            "{what}: ours against nothing, and the model's"
        );
        if !self.one_is_empty {
            assert_eq!(
                thin_delta(&disks.metadata, held, left, right),
                self.expected,
                "{what}: thin_delta's and the model's"
            );
            tally.thin_delta += 1;
        }
        tally.ours += 1;
        tally.ranges += self.expected.len();
    }
}
