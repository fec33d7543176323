//! Catalog, pool and devices that disagree, on a real pool: what can be served is served, everything that changes
//! is refused, nothing is written; the doctor tells why and puts right what can be.

use crate::verbs::{silent, snapshot, volume};
use crate::world::World;
use convoy_engine::doctor::{self, Code, Diagnosis, Gravity, Instruments, Patient, Remedy};
use convoy_engine::{Engine, PoolConfig, Seams};
use convoy_fault::Kind;
use convoy_tests::mapper;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

mod copies;
mod doors;
mod metadata;
mod moments;
mod two;

/// The files of a loop-backed pool.
fn files(world: &World) -> [PathBuf; 2] {
    ["data.img", "metadata.img"].map(|name| world.root().join("devicemapper").join(name))
}

/// Everything a small pool's metadata is in: the kernel begins with the lowest blocks, and no commit is without
/// block 0. The rest of the file is never written.
const IN_USE: u64 = 2 << 20;

fn head(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(file).ok()?;
    file.take(IN_USE).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// Puts the begin of a file back.
fn put_back(file: &Path, bytes: &[u8]) {
    crate::world::write_device(file, 0, bytes);
}

/// What must stay as it is: the metadata, and the catalog with its log.
fn state(world: &World) -> Vec<Option<Vec<u8>>> {
    let catalog = ["catalog.db", "catalog.db-wal"].map(|name| world.root().join(name));
    let metadata = files(world)[1].clone();
    let all = catalog.into_iter().chain([metadata]);
    all.map(|file| head(&file)).collect()
}

fn patient(world: &World) -> Patient {
    Patient {
        root: world.root(),
        pool: PoolConfig::default(),
    }
}

#[track_caller]
fn diagnose(world: &World) -> Diagnosis {
    let before = state(world);
    let diagnosis = doctor::diagnose(&patient(world), &Instruments::host().unwrap()).unwrap();
    assert!(state(world) == before, "a look changed something");
    diagnosis
}

#[track_caller]
fn fix(world: &World, remedy: &Remedy) -> Diagnosis {
    match doctor::fix(&patient(world), remedy, &Instruments::host().unwrap()) {
        Ok(diagnosis) => diagnosis,
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

fn accepting() -> Remedy {
    Remedy {
        accept_loss: true,
        ..Remedy::default()
    }
}

fn fatal(diagnosis: &Diagnosis) -> Vec<Code> {
    let fatal = diagnosis
        .findings
        .iter()
        .filter(|f| f.gravity == Gravity::Fatal);
    fatal.map(|finding| finding.code).collect()
}

/// The engine refuses, and so does the doctor: with these words; nothing is touched and no pool is brought up.
#[track_caller]
fn both_refuse(world: &World, codes: &[Code], words: &str) {
    crate::world::sweep();
    let before = state(world);
    let (_, said) = world.refused(&[]);
    assert!(said.contains(words), "no {words:?} in {said:?}");
    assert!(
        state(world) == before,
        "a refused start changed something: {said}"
    );
    assert_eq!(
        mapper::devices(),
        [""; 0],
        "the kernel was given the pool: {said}"
    );
    assert_eq!(fatal(&diagnose(world)), codes);
}

/// An engine that only looks: it lists, and refuses to change.
#[track_caller]
fn looks(world: &World) -> Engine {
    let before = state(world);
    let engine = Engine::open_or_look(&world.config(&[]), Seams::kernel().unwrap()).unwrap();
    assert!(engine.read_only().is_some());
    let made = engine.create_volume(
        &crate::verbs::volume_request("no", crate::verbs::SIZE),
        &silent(),
    );
    let (kind, words) = crate::verbs::refusal(made);
    assert_eq!(kind, Kind::PoolUnhealthy, "{words}");
    assert!(words.contains("run convoy doctor"), "{words}");
    engine.volumes().unwrap();
    engine.snapshots(None).unwrap();
    assert_eq!(engine.info().unwrap().pool.mode, "down");
    assert!(!engine.diagnose().unwrap().is_well());
    assert!(state(world) == before, "looking changed something");
    engine
}

/// The engine opens and all is well.
#[track_caller]
fn works(world: &World) -> Engine {
    let diagnosis = diagnose(world);
    assert!(diagnosis.is_well(), "{:?}", diagnosis.findings);
    let engine = world.open(&[]);
    assert!(engine.diagnose().unwrap().is_well());
    engine
}

/// A volume with a file in it, and a snapshot of that.
fn filled(engine: &Engine, name: &str, text: &str) {
    volume(engine, name, crate::verbs::SIZE);
    let target = crate::verbs::mount(engine, name);
    let file = fs::File::create(target.join("file")).unwrap();
    std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    snapshot(engine, name, &format!("{name}-s"));
}

#[track_caller]
fn holds(engine: &Engine, name: &str, text: &str) {
    let target = crate::verbs::mount(engine, name);
    assert_eq!(fs::read_to_string(target.join("file")).unwrap(), text);
    crate::verbs::unmount(engine, name);
}
