//! Two daemons: over one root, and over one pool.

use super::*;
use crate::verbs::{refusal, unmount};

/// A root is copied, as a backup of it is, and the copy is started: both describe the same pool.
#[test]
fn a_copied_root_does_not_get_the_pool_of_its_original() {
    let (world, engine) = World::opened("two");
    filled(&engine, "v", "mine");
    let beside = world.beside("copy");
    fs::create_dir(beside.root()).unwrap();
    drop(engine);
    for name in ["catalog.db", "catalog.db-wal", "catalog.guard"] {
        if let Ok(bytes) = fs::read(world.root().join(name)) {
            fs::write(beside.root().join(name), bytes).unwrap();
        }
    }
    let engine = world.open(&[]);
    let before = engine.info().unwrap().pool.transaction;
    for _ in 0..2 {
        let (kind, words) = refusal(Engine::open(&beside.config(&[])));
        assert_eq!(kind, Kind::Busy, "{words}");
        assert!(words.contains("served by another daemon"), "{words}");
    }
    // Nor the same root twice, for work or for a look.
    let (kind, _) = refusal(Engine::open(&world.config(&[])));
    assert_eq!(kind, Kind::Busy);
    let looked = Engine::open_or_look(&world.config(&[]), Seams::kernel().unwrap());
    assert_eq!(refusal(looked).0, Kind::Busy);
    let (kind, _) = refusal(doctor::diagnose(
        &patient(&world),
        &Instruments::host().unwrap(),
    ));
    assert_eq!(kind, Kind::Busy);
    assert_eq!(engine.info().unwrap().pool.transaction, before);
    // The original moves on; the copy is then of another moment.
    snapshot(&engine, "v", "later");
    unmount(&engine, "v");
    engine.stop().unwrap();
    let (kind, words) = refusal(Engine::open(&beside.config(&[])));
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    works(&world).stop().unwrap();
}
