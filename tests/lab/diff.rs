//! The difference of two devices after random histories on the real kernel: the model's, Debian's
//! `thin_delta`'s and ours are one, live through a metadata snapshot and offline.

use crate::world::World;
use convoy_blockdiff::{DeltaKind, Options, diff};
use convoy_tests::command::tool as run;
use convoy_tests::noise::noise;
use convoy_thin_metadata::{BlockSource, FileSource, View};
use convoy_thinpool::{KernelControl, Pool, PoolSpec, ThinSpec, blockdev};
use convoy_units::{ByteRange, Bytes, DataBlockSize, DevId, Sectors};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

const BLOCK: u64 = 64 << 10;
/// Enough for mapping trees of several leaves: one holds 252 mappings.
const BLOCKS: u64 = 2048;

/// The kind of each block that is mapped on either side.
type Answer = BTreeMap<u64, &'static str>;

/// A device as the model has it: for each mapped block, which write it holds.
type Model = BTreeMap<u64, u64>;

/// A source of choices that is the same for the same seed.
struct Choice(u64);

impl Choice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) % n
    }
}

/// What was done to a pool, and what it should have.
struct History {
    devices: BTreeMap<u64, Model>,
    choice: Choice,
    writes: u64,
}

fn id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(u128::from(n))
}

impl History {
    /// Writes and discards on one device: runs and scattered blocks.
    fn change(&mut self, pool: &Pool, n: u64) {
        let size = Sectors(BLOCKS * BLOCK / 512);
        let spec = ThinSpec {
            uuid: uuid(n),
            dev_id: id(n),
            size,
            read_only: false,
        };
        let node = pool.activate_thin(&spec).unwrap().node;
        let file = fs::OpenOptions::new().write(true).open(&node).unwrap();
        for _ in 0..self.choice.below(24) {
            let begin = self.choice.below(BLOCKS);
            let len = if self.choice.below(4) == 0 {
                self.choice.below(160) + 1
            } else {
                1
            };
            let end = (begin + len).min(BLOCKS);
            let model = self.devices.get_mut(&n).unwrap();
            if self.choice.below(4) == 0 {
                file.sync_all().unwrap();
                let range = ByteRange {
                    begin: begin * BLOCK,
                    end: end * BLOCK,
                };
                blockdev::discard(&node, range).unwrap();
                model.retain(|block, _| !(begin..end).contains(block));
                continue;
            }
            for block in begin..end {
                self.writes += 1;
                model.insert(block, self.writes);
                file.write_all_at(&noise(self.writes, 512), block * BLOCK)
                    .unwrap();
            }
        }
        file.sync_all().unwrap();
        drop(file);
        pool.deactivate_thin(uuid(n)).unwrap();
    }

    fn step(&mut self, pool: &Pool) {
        let ids: Vec<u64> = self.devices.keys().copied().collect();
        let n = ids[usize::try_from(self.choice.below(ids.len() as u64)).unwrap()];
        match self.choice.below(8) {
            0 if ids.len() > 3 => {
                pool.delete(id(n)).unwrap();
                self.devices.remove(&n);
            }
            0..4 => {
                let new = ids.last().unwrap() + 1;
                pool.create_snapshot(id(new), id(n)).unwrap();
                self.devices.insert(new, self.devices[&n].clone());
                self.change(pool, new);
            }
            _ => self.change(pool, n),
        }
    }

    fn expected(&self, left: u64, right: u64) -> Answer {
        let (left, right) = (&self.devices[&left], &self.devices[&right]);
        let blocks = left.keys().chain(right.keys());
        blocks
            .map(|block| {
                let kind = match (left.get(block), right.get(block)) {
                    (Some(a), Some(b)) if a == b => "same",
                    (Some(_), Some(_)) => "different",
                    (Some(_), None) => "left_only",
                    (None, _) => "right_only",
                };
                (*block, kind)
            })
            .collect()
    }
}

fn ours<S: BlockSource>(view: &View<S>, left: u64, right: u64, include_same: bool) -> Answer {
    let mut answer = Answer::new();
    let mut diff = diff(view, Some(id(left)), id(right), Options { include_same }).unwrap();
    for delta in diff.by_ref() {
        let delta = delta.unwrap();
        let kind = match delta.kind {
            DeltaKind::LeftOnly => "left_only",
            DeltaKind::RightOnly => "right_only",
            DeltaKind::Differ => "different",
            DeltaKind::Same => "same",
        };
        for block in delta.range.begin.0..delta.range.end.0 {
            assert_eq!(
                answer.insert(block, kind),
                None,
                "block {block} is told twice"
            );
        }
    }
    diff.finish().unwrap();
    answer
}

fn thin_delta(metadata: &Path, held: bool, left: u64, right: u64) -> Answer {
    let (left, right) = (left.to_string(), right.to_string());
    let mut words = vec!["--snap1", &left, "--snap2", &right];
    if held {
        words.push("--metadata-snap");
    }
    words.push(metadata.to_str().unwrap());
    let mut answer = Answer::new();
    for line in run("thin_delta", &words).lines() {
        let Some(element) = line.trim().strip_prefix('<') else {
            continue;
        };
        let kinds = ["same", "different", "left_only", "right_only"];
        let Some(kind) = kinds
            .into_iter()
            .find(|kind| element.starts_with(&format!("{kind} ")))
        else {
            continue;
        };
        let number = |key: &str| -> u64 {
            let (_, rest) = element.split_once(&format!("{key}=\"")).unwrap();
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        for block in number("begin")..number("begin") + number("length") {
            answer.insert(block, kind);
        }
    }
    answer
}

/// Some pairs, either way round, never the same device twice.
fn pairs(history: &mut History) -> Vec<(u64, u64)> {
    let ids: Vec<u64> = history.devices.keys().copied().collect();
    let all: Vec<(u64, u64)> = ids
        .iter()
        .flat_map(|a| ids.iter().map(|b| (*a, *b)))
        .filter(|(a, b)| a != b)
        .collect();
    (0..4)
        .map(|_| all[usize::try_from(history.choice.below(all.len() as u64)).unwrap()])
        .collect()
}

#[track_caller]
fn check<S: BlockSource>(
    history: &History,
    view: &View<S>,
    metadata: &Path,
    held: bool,
    seed: u64,
    pair: (u64, u64),
) {
    let (left, right) = pair;
    let expected = history.expected(left, right);
    let what = format!("seed {seed}, {left} and {right}, held {held}");
    assert!(
        thin_delta(metadata, held, left, right) == expected,
        "{what}: thin_delta and the model"
    );
    assert!(
        ours(view, left, right, true) == expected,
        "{what}: ours and the model"
    );
    let changed: Answer = expected
        .into_iter()
        .filter(|(_, kind)| *kind != "same")
        .collect();
    assert!(
        ours(view, left, right, false) == changed,
        "{what}: ours without the same, and the model"
    );
}

#[test]
fn ours_is_the_models_and_thin_deltas_after_random_histories() {
    let world = World::new("histories");
    let metadata = PathBuf::from(world.disk("metadata", Bytes::mib(16)));
    let data = PathBuf::from(world.disk("data", Bytes::gib(2)));
    let (mut compared, mut blocks) = (0, 0);
    for seed in 0..10 {
        blockdev::zero_first_block(&metadata).unwrap();
        let spec = PoolSpec {
            name: "histories".parse().unwrap(),
            uuid: uuid(1000 + seed),
            metadata: metadata.clone(),
            data: data.clone(),
            block_size: DataBlockSize::new(Sectors(BLOCK / 512)).unwrap(),
            low_water: 16,
            error_if_no_space: true,
        };
        let activate = || Pool::activate(Arc::new(KernelControl::open().unwrap()), &spec).unwrap();
        let pool = activate();
        pool.create_thin(id(1)).unwrap();
        let devices = BTreeMap::from([(1, Model::new())]);
        let mut history = History {
            devices,
            choice: Choice(seed),
            writes: 0,
        };
        history.change(&pool, 1);
        for _ in 0..10 {
            history.step(&pool);
        }
        while history.devices.len() < 2 {
            history.step(&pool);
        }
        let chosen = pairs(&mut history);
        let held = pool.reserve_metadata_snapshot().unwrap();
        // What happens from here on is not in the held state.
        let (late, of) = (999, chosen[0].0);
        pool.create_snapshot(id(late), id(of)).unwrap();
        let before = history.devices.clone();
        history.devices.insert(late, before[&of].clone());
        history.change(&pool, late);
        history.change(&pool, of);
        let after = std::mem::replace(&mut history.devices, before);
        let view = View::held(FileSource::open(&metadata).unwrap(), held.root()).unwrap();
        for pair in &chosen {
            check(&history, &view, &metadata, true, seed, *pair);
        }
        held.release().unwrap();
        pool.deactivate().unwrap();
        history.devices = after;
        let view = View::live(FileSource::open(&metadata).unwrap()).unwrap();
        for pair in chosen.iter().chain(&[(late, of)]) {
            check(&history, &view, &metadata, false, seed, *pair);
        }
        compared += 2 * chosen.len() + 1;
        blocks += history.devices.values().map(BTreeMap::len).sum::<usize>();
    }
    println!("{compared} pairs of devices compared, {blocks} mappings in all");
}
