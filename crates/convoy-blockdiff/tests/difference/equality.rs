//! A hundred thousand pairs of devices: our difference equals that of their plain maps.
//!
//! The model writes the trees; the maps beside them know nothing of trees. Each case is an ordered pair of devices of a
//! history of its own; how often each shape of interest came up is counted, and a generator that stopped making
//! one fails the test.

use crate::answer::{Map, check_mode, check_pair};
use convoy_testkit::thin::random::{Step, history, play};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_thin_metadata::{MemorySource, View};
use convoy_units::MetadataBlock;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Histories played; each gives several pairs.
const HISTORIES: u32 = 8_500;
/// Pairs that must have been compared at the end.
const CASES: u64 = 100_000;
/// Devices of one history that are compared, each with each: the oldest and the newest.
const DEVICES: usize = 4;

/// Everything a case is made from.
#[derive(Debug, Clone)]
struct World {
    blocks: u64,
    fanout: usize,
    /// Blocks that the first device has when the first snapshot of it is taken.
    filled: u64,
    steps: Vec<Step>,
    /// Whether a metadata snapshot is reserved after two thirds of the steps.
    reserve: bool,
    /// Devices and blocks mapped anew to the same data at another time, as no kernel does.
    retimed: Vec<(usize, u64, u32)>,
    /// Blocks cut off the end of a device.
    cut: Option<(usize, u64)>,
}

fn worlds() -> impl Strategy<Value = World> {
    let blocks = prop_oneof![12 => Just(300_u64), 1 => Just(1500)];
    blocks.prop_flat_map(|blocks| {
        let fanout = prop_oneof![Just(3_usize), Just(6), Just(12), Just(252)];
        let retimed = proptest::collection::vec((0..8_usize, 0..blocks, 1..9_u32), 0..3);
        let cut = proptest::option::of((0..8_usize, 0..blocks));
        let shape = (fanout, 0..blocks, history(30, blocks));
        (shape, any::<bool>(), retimed, cut).prop_map(
            move |((fanout, filled, steps), reserve, retimed, cut)| World {
                blocks,
                fanout,
                filled,
                steps,
                reserve,
                retimed,
                cut,
            },
        )
    })
}

impl World {
    fn pool(&self) -> PoolModel {
        let mut pool = PoolModel::new(20_000, self.fanout);
        pool.create_thin(1);
        (0..self.filled).for_each(|thin| assert!(pool.write(1, thin)));
        pool.create_snap(2, 1);
        let (before, after) = self.steps.split_at(self.steps.len() * 2 / 3);
        play(&mut pool, before, self.blocks);
        if self.reserve {
            pool.reserve();
        }
        play(&mut pool, after, self.blocks);
        let ids = pool.ids();
        if let Some((device, begin)) = self.cut {
            pool.discard(ids[device % ids.len()], begin, self.blocks);
        }
        for (device, thin, later) in &self.retimed {
            let id = ids[device % ids.len()];
            let old = pool.device(id).map().range(thin..).next();
            if let Some((thin, (data, time))) = old.map(|(thin, old)| (*thin, *old)) {
                pool.map(id, thin, data, time + later);
            }
        }
        pool
    }
}

/// How often each shape was compared.
#[derive(Debug, Default)]
struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// Shapes that 100,000 cases must contain, each this often at least.
    const WANTED: &[(&str, u64)] = &[
        ("pairs", CASES),
        ("held", 2_000),
        ("against nothing", 10_000),
        ("both empty", 200),
        ("one empty", 2_000),
        ("one root", 500),
        ("subtrees shared, roots not", 5_000),
        ("nothing shared", 5_000),
        ("higher than its base", 2_000),
        ("lower than its base", 2_000),
        ("two levels apart", 1_000),
        ("ends later than its base", 5_000),
        ("ends earlier than its base", 5_000),
        ("holes", 10_000),
        ("other data", 10_000),
        ("same data at another time", 1_000),
        ("three levels or more", 5_000),
    ];

    fn add(&mut self, shape: &'static str, is: bool) {
        *self.0.entry(shape).or_default() += u64::from(is);
    }

    /// What a pair of trees and their maps is an example of.
    fn note(&mut self, left: Option<(&Levels, &Map)>, right: (&Levels, &Map)) {
        self.add("pairs", true);
        self.add("against nothing", left.is_none());
        let Some(left) = left else { return };
        let (empty, last) = (
            |map: &Map| map.is_empty(),
            |map: &Map| map.keys().last().copied(),
        );
        self.add("both empty", empty(left.1) && empty(right.1));
        self.add("one empty", empty(left.1) != empty(right.1));
        let all = |levels: &Levels| -> BTreeSet<u64> { levels.iter().flatten().copied().collect() };
        let apart = all(left.0).is_disjoint(&all(right.0));
        let one_root = left.0[0] == right.0[0];
        self.add("one root", one_root);
        self.add("subtrees shared, roots not", !apart && !one_root);
        self.add("nothing shared", apart);
        let (a, b) = (left.0.len(), right.0.len());
        self.add("higher than its base", b > a);
        self.add("lower than its base", b < a);
        self.add("two levels apart", a.abs_diff(b) > 1);
        self.add("three levels or more", a.min(b) > 2);
        let both = last(left.1).zip(last(right.1));
        self.add("ends later than its base", both.is_some_and(|(a, b)| b > a));
        self.add(
            "ends earlier than its base",
            both.is_some_and(|(a, b)| b < a),
        );
        self.add("holes", left.1.keys().any(|key| !right.1.contains_key(key)));
        let pairs = || {
            left.1
                .iter()
                .filter_map(|(key, a)| Some((a, right.1.get(key)?)))
        };
        self.add("other data", pairs().any(|(a, b)| a.0 != b.0));
        self.add(
            "same data at another time",
            pairs().any(|(a, b)| a.0 == b.0 && a.1 != b.1),
        );
    }
}

/// A tree's blocks by level, the root first.
type Levels = Vec<BTreeSet<u64>>;

fn compare(world: &World, seen: &mut Seen) {
    let pool = world.pool();
    let image = pool.image(ImageOptions::fitting(&pool));
    let (held_root, source) = (image.held_root, MemorySource::new(image.bytes));
    let view = View::live(&source).unwrap();
    let mut ids = pool.ids();
    while ids.len() > DEVICES {
        ids.remove(DEVICES / 2);
    }
    let levels: Vec<Levels> = ids.iter().map(|id| pool.levels(*id)).collect();
    let trees = || ids.iter().zip(&levels);
    for (right, right_levels) in trees() {
        let right = (*right, pool.device(*right).map());
        seen.note(None, (right_levels, right.1));
        check_pair(&view, None, right);
        for (left, left_levels) in trees().filter(|(left, _)| **left != right.0) {
            let left = (*left, pool.device(*left).map());
            seen.note(Some((left_levels, left.1)), (right_levels, right.1));
            check_mode(&view, Some(left), right, false);
            // Reads both trees whole, so for one direction of the two.
            if left.0 < right.0 {
                check_mode(&view, Some(left), right, true);
            }
        }
    }
    if let (Some(root), Some(held)) = (held_root, pool.held()) {
        let view = View::held(&source, MetadataBlock(root)).unwrap();
        let map = |id: &u32| (*id, held[id].map());
        let ids: Vec<&u32> = held.keys().collect();
        let (left, right) = (map(ids[0]), map(ids[ids.len() - 1]));
        seen.add("pairs", true);
        seen.add("held", true);
        check_pair(&view, Some(left), right);
    }
}

#[test]
fn a_hundred_thousand_pairs_equal_their_maps() {
    let config = Config {
        cases: HISTORIES,
        source_file: Some(file!()),
        test_name: Some(concat!(
            module_path!(),
            "::a_hundred_thousand_pairs_equal_their_maps"
        )),
        ..Config::default()
    };
    let seen = RefCell::new(Seen::default());
    let outcome = TestRunner::new(config).run(&worlds(), |world| {
        compare(&world, &mut seen.borrow_mut());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let seen = seen.into_inner().0;
    println!("{seen:#?}");
    for (shape, wanted) in Seen::WANTED {
        let found = seen.get(shape).copied().unwrap_or(0);
        assert!(found >= *wanted, "{shape}: {found} of {wanted} cases");
    }
}
