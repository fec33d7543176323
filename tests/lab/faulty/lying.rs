//! Disks that acknowledge and forget, below the pool's data and below the state directory: what nobody can promise,
//! and what holds all the same.

use super::Stage;
use super::device::Kind as Fault;
use crate::verbs::{
    SIZE, back_up, delete_volume, is_sound, mount, name, refusal, restore, silent, snapshot,
    unmount, volume, volume_names, volume_request,
};
use crate::world::{read_device, write_device};
use convoy_engine::doctor::{self, Code, Instruments, Patient, Remedy};
use convoy_engine::{Engine, Seams};
use convoy_fault::Kind;
use convoy_tests::command::{run, tool};
use convoy_tests::noise::noise;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

/// Where the tests' bytes are on a volume, behind its filesystem's first ones.
const AT: u64 = 32 << 20;
const LEN: usize = 4 << 20;

#[track_caller]
fn holds(device: &Path, bytes: &[u8], what: &str) {
    let found = read_device(device, AT, bytes.len());
    assert!(found == bytes, "{what} holds something else");
}

/// Below data: what was durable before stays as it was, in volumes nobody writes to, in snapshots, and in their
/// backups; what was written meanwhile is gone, and nobody can know. The pool is well, and every verb works.
#[test]
fn data_that_was_never_written_is_nobody_elses() {
    let stage = Stage::new("data-lies");
    let engine = stage.open();
    let old = [1, 2].map(|seed| noise(seed, LEN));
    let v = volume(&engine, "v", SIZE);
    let idle = volume(&engine, "idle", SIZE);
    write_device(&v.device, AT, &old[0]);
    write_device(&idle.device, AT, &old[1]);
    snapshot(&engine, "v", "before");
    let dest = stage.world.dest();

    stage.data.becomes(Fault::WritesVanish);
    write_device(&v.device, AT, &noise(3, LEN));
    snapshot(&engine, "v", "meanwhile");
    // Of what was there before, under the very fault.
    let sound = back_up(&engine, "before", &dest).backup.url;
    let hollow = back_up(&engine, "meanwhile", &dest).backup.url;
    stage.data.becomes(Fault::Sound);

    for url in [&sound, &hollow] {
        is_sound(&engine, url);
    }
    let back = restore(&engine, "back", &sound);
    holds(&back.device, &old[0], "the backup of before");
    assert_eq!(engine.info().unwrap().pool.mode, "rw");
    engine.stop().unwrap();
    let engine = stage.open();
    assert!(engine.diagnose().unwrap().is_well());
    let idle = engine.volume(&name("idle")).unwrap();
    holds(&idle.device, &old[1], "the volume nobody wrote to");
    let back = engine.volume(&name("back")).unwrap();
    holds(&back.device, &old[0], "what was restored");
    // The next backup of the volume is of what it holds now, whatever that is.
    snapshot(&engine, "v", "after");
    let after = back_up(&engine, "after", &dest).backup.url;
    is_sound(&engine, &after);
    let again = restore(&engine, "again", &after);
    let v = engine.volume(&name("v")).unwrap();
    let now = read_device(&v.device, AT, LEN);
    holds(&again.device, &now, "the backup of after");
    assert!(now != noise(3, LEN), "the disk did not lie");
    engine.stop().unwrap();
}

/// A filesystem over data that was thrown away: it is mounted and whole, or refused in words; never a panic, and
/// what came before it in a snapshot is whole.
#[test]
fn a_filesystem_that_was_lied_to_is_mounted_whole_or_refused() {
    let stage = Stage::new("data-lies-ext4");
    let engine = stage.open();
    volume(&engine, "v", SIZE);
    let target = mount(&engine, "v");
    let write = |file: &str, bytes: &[u8]| {
        let mut file = File::create(target.join(file)).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
        file.sync_all().unwrap();
    };
    write("before", &noise(1, LEN));
    snapshot(&engine, "v", "s");
    let dest = stage.world.dest();
    let url = back_up(&engine, "s", &dest).backup.url;
    stage.data.becomes(Fault::WritesVanish);
    for n in 0..8 {
        write(&format!("during-{n}"), &noise(10 + n, LEN / 4));
    }
    fs::remove_file(target.join("before")).unwrap();
    nix::unistd::sync();
    stage.data.becomes(Fault::Sound);
    write("after", b"after");
    unmount(&engine, "v");
    let checked = run(Command::new("e2fsck").args([
        "-fn",
        engine.volume(&name("v")).unwrap().device.to_str().unwrap(),
    ]));
    println!("e2fsck says {:?}", checked.code);
    match engine.mount_volume(&name("v"), None, &silent()) {
        Ok(_) => {
            println!("mounted");
            unmount(&engine, "v");
        }
        Err(error) => println!("refused: {}", convoy_fault::chain(&error)),
    }
    assert_eq!(engine.info().unwrap().pool.mode, "rw");
    // The way back is the one that people have: the backup of before.
    restore(&engine, "back", &url);
    let back = mount(&engine, "back");
    assert!(fs::read(back.join("before")).unwrap() == noise(1, LEN));
    unmount(&engine, "back");
    delete_volume(&engine, "v");
    engine.stop().unwrap();
    stage.open().stop().unwrap();
}

/// Below the state directory: the catalog comes up older than its pool. The start is refused and changes nothing,
/// the doctor says why, and takes in again what the pool has. A lie that ended before the engine did leaves nothing:
/// the log is written out whole when it is closed.
#[test]
fn a_catalog_that_was_never_written_is_explained_and_mended() {
    let stage = Stage::new("state-lies");
    let engine = stage.open();
    volume(&engine, "keep", SIZE);
    volume(&engine, "spare", SIZE);
    snapshot(&engine, "keep", "s");
    // All of it was a lie.
    stage.state.becomes(Fault::WritesVanish);
    volume(&engine, "w", SIZE);
    snapshot(&engine, "keep", "t");
    delete_volume(&engine, "spare");
    drop(engine);
    let engine = explained(&stage, &["keep"]);
    // Some of it was, and the disk was well again in time.
    stage.state.becomes(Fault::WritesVanish);
    volume(&engine, "x", SIZE);
    stage.state.becomes(Fault::Sound);
    volume(&engine, "y", SIZE);
    snapshot(&engine, "keep", "u");
    drop(engine);
    forgotten(&stage);
    let before = thin_devices(&stage);
    let engine = stage.open();
    assert_eq!(rows(&engine), before);
    for name in ["keep", "x", "y"] {
        assert!(volume_names(&engine).iter().any(|there| there == name));
    }
    volume(&engine, "z", SIZE);
    delete_volume(&engine, "z");
    engine.stop().unwrap();
}

/// The kernel forgets what it keeps of the state directory's disk, as in a power cut, and of the pool.
#[track_caller]
fn forgotten(stage: &Stage) {
    let root = stage.world.root();
    nix::mount::umount(&root).unwrap();
    stage.state.becomes(Fault::Sound);
    let checked = run(Command::new("e2fsck").args(["-fy", stage.state.word()]));
    assert!(matches!(checked.code, Some(0 | 1)), "{checked:?}");
    tool("mount", &[stage.state.word(), root.to_str().unwrap()]);
    crate::world::sweep_pool("");
}

/// After a start on what the disk has: refused, explained, mended.
#[track_caller]
fn explained(stage: &Stage, known: &[&str]) -> Engine {
    forgotten(stage);
    let config = stage.world.config(&stage.options());
    let before = thin_devices(stage);
    let (kind, words) = refusal(Engine::open(&config));
    println!("{kind}: {words}");
    assert!(
        matches!(kind, Kind::PoolUnhealthy | Kind::Integrity),
        "{kind}: {words}"
    );
    assert_eq!(
        thin_devices(stage),
        before,
        "a refused start changed the pool"
    );
    // Served to be read as far as it goes.
    if let Ok(looking) = Engine::open_or_look(&config, Seams::kernel().unwrap()) {
        let listed: Vec<String> = volume_names(&looking);
        println!("it lists {listed:?}");
        let made = looking.create_volume(&volume_request("no", SIZE), &silent());
        let (_, words) = refusal(made);
        assert!(words.contains("convoy doctor"), "{words}");
    }
    let patient = Patient {
        root: stage.world.root(),
        pool: config.pool.clone(),
    };
    let instruments = Instruments::host().unwrap();
    let diagnosis = doctor::diagnose(&patient, &instruments).unwrap();
    let codes: Vec<Code> = diagnosis.findings.iter().map(|f| f.code).collect();
    println!("the doctor says {codes:?}");
    assert!(!diagnosis.is_well());
    let fixed = doctor::fix(&patient, &Remedy::default(), &instruments);
    let fixed = fixed.unwrap_or_else(|error| panic!("{}", convoy_fault::chain(&error)));
    println!("{:#?}", fixed.fixed);
    assert!(fixed.is_well(), "{:?}", fixed.findings);
    assert_eq!(thin_devices(stage), before, "the doctor changed the pool");
    let engine = stage.open();
    assert_eq!(rows(&engine), before, "each thin device has its row again");
    for name in known {
        assert!(volume_names(&engine).iter().any(|there| there == name));
    }
    engine
}

/// The thin devices that the catalog has.
#[track_caller]
fn rows(engine: &Engine) -> BTreeSet<String> {
    let volumes = engine.volumes().unwrap().into_iter();
    let snapshots = engine.snapshots(None).unwrap().into_iter();
    volumes
        .map(|volume| volume.dev_id)
        .chain(snapshots.map(|snapshot| snapshot.dev_id))
        .map(|id| id.to_string())
        .collect()
}

/// What the pool has, by Debian's tool over its metadata, while it is down.
#[track_caller]
fn thin_devices(stage: &Stage) -> BTreeSet<String> {
    let words = ["--no-headers", "-o", "DEV", stage.metadata.word()];
    let listed = tool("thin_ls", &words);
    listed.split_whitespace().map(str::to_owned).collect()
}
