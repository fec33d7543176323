//! A pool of another moment, and thin devices that nobody knows.

use super::*;
use crate::verbs::{SIZE, thin_ids, unmount, volume_names};
use crate::world::sweep;
use convoy_tests::command::tool as run;

const POOL: &str = "convoy-pool";

#[test]
fn a_pool_rolled_back_is_refused_and_taken_only_when_the_loss_is_accepted() {
    let (world, engine) = World::opened("rolled-back");
    filled(&engine, "old", "old");
    unmount(&engine, "old");
    engine.stop().unwrap();
    let metadata = files(&world)[1].clone();
    let saved = head(&metadata).unwrap();
    let mut newer = 0;
    for many in [1, 3] {
        let engine = world.open(&[]);
        for _ in 0..many {
            newer += 1;
            volume(&engine, &format!("new-{newer}"), SIZE);
        }
        engine.stop().unwrap();
        put_back(&metadata, &saved);
        both_refuse(
            &world,
            &[Code::PoolBehind, Code::DevicesMissing],
            "its metadata was rolled back",
        );
        drop(looks(&world));
        let before = state(&world);
        let refused = doctor::fix(
            &patient(&world),
            &Remedy::default(),
            &Instruments::host().unwrap(),
        );
        let (kind, words) = crate::verbs::refusal(refused);
        assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
        assert!(
            words.contains("would be given up") && words.contains(&format!("new-{newer}")),
            "{words}"
        );
        assert!(state(&world) == before, "a refused fix changed something");

        assert!(fix(&world, &accepting()).is_well());

        let engine = works(&world);
        assert_eq!(volume_names(&engine), ["old"]);
        // Its filesystem is checked first.
        holds(&engine, "old", "old");
        engine.stop().unwrap();
    }
}

/// Made by hand, with a filesystem on it: named, left alone, taken in only when asked, never deleted.
#[test]
fn a_foreign_thin_device_is_told_and_adopted_on_request() {
    let (world, engine) = World::opened("foreign-thin");
    filled(&engine, "v", "mine");
    unmount(&engine, "v");
    drop(engine);
    mapper::message(POOL, "create_thin 4711");
    mapper::message(POOL, "create_thin 4712");
    let table = format!("0 {} thin {} 4711", SIZE.0 / 512, mapper::number(POOL));
    run("dmsetup", &["create", "by-hand", "--table", &table]);
    run("mkfs.ext4", &["-q", "-L", "theirs", "/dev/mapper/by-hand"]);
    run("dmsetup", &["remove", "by-hand"]);
    let engine = world.open(&[]);
    let diagnosis = engine.diagnose().unwrap();
    assert!(diagnosis.is_well());
    let finding = &diagnosis.findings[0];
    assert_eq!(finding.code, Code::DevicesUnknown);
    assert!(finding.what.contains("4711, 4712"), "{finding:?}");
    assert_eq!(volume_names(&engine), ["v"]);
    engine.stop().unwrap();

    let fixed = fix(&world, &Remedy::default());

    assert!(
        fixed
            .fixed
            .iter()
            .any(|line| line.contains("volume theirs")),
        "{:?}",
        fixed.fixed
    );
    let engine = works(&world);
    assert_eq!(volume_names(&engine), ["theirs", "v"]);
    holds(&engine, "v", "mine");
    crate::verbs::mount(&engine, "theirs");
    assert_eq!(thin_ids(&engine).len(), 4, "nothing was deleted");
    unmount(&engine, "theirs");
    engine.stop().unwrap();
    sweep();
}

/// Under a running pool nothing is fixed.
#[test]
fn a_pool_that_is_up_is_looked_at_and_not_fixed() {
    let (world, engine) = World::opened("up");
    filled(&engine, "v", "text");
    let record = engine.info().unwrap().pool;
    drop(engine);
    let held = mapper::held_root(POOL);
    let diagnosis = diagnose_up(&world);
    assert!(diagnosis.is_well(), "{:?}", diagnosis.findings);
    assert!(diagnosis.pool.as_ref().unwrap().up);
    assert_eq!(
        diagnosis.pool.unwrap().transaction,
        Some(record.transaction)
    );
    assert_eq!(mapper::held_root(POOL), held);
    let (kind, words) = crate::verbs::refusal(doctor::fix(
        &patient(&world),
        &accepting(),
        &Instruments::host().unwrap(),
    ));
    assert_eq!(kind, Kind::Busy, "{words}");
    let engine = world.open(&[]);
    unmount(&engine, "v");
    engine.stop().unwrap();
}

/// A pool that is up moves: its file is not compared.
fn diagnose_up(world: &World) -> Diagnosis {
    doctor::diagnose(&patient(world), &Instruments::host().unwrap()).unwrap()
}
