//! What must hold after every opening, whatever came before.

use super::stage::{POOL, Stage, read_generation};
use crate::verbs::{is_sound, mount, name, unmount};
use convoy_engine::VolumeState;
use convoy_tests::command::{tool as run, word};
use convoy_thin_metadata::{FileSource, View};
use convoy_thinpool::{Control, DeviceInfo, DmName, DmUuid, TableLine};
use convoy_units::{DevId, MetadataBlock, Sectors};
use nix::mount::{MsFlags, umount};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PROBE: &str = "/mnt/probe";

/// Nothing waits, nothing leaked, and the catalog, the pool, the devices and the mounts say the same.
#[track_caller]
pub(crate) fn everything_holds(stage: &Stage) {
    let engine = stage.engine();
    let devices = devices(stage);
    let held: Vec<&DmName> = devices
        .iter()
        .filter(|d| d.suspended)
        .map(|d| &d.name)
        .collect();
    assert!(held.is_empty(), "held still: {held:?}");
    let volumes = engine.volumes().unwrap();
    for volume in &volumes {
        let (name, state) = (&volume.name, volume.state);
        assert_eq!(state, VolumeState::Ready, "{name}: {:?}", volume.problem);
    }
    // Pool and catalog.
    let snapshots = engine.snapshots(None).unwrap();
    let known = volumes.iter().map(|volume| volume.dev_id);
    let known: BTreeSet<DevId> = known.chain(snapshots.iter().map(|s| s.dev_id)).collect();
    let (transaction, found) = pool(stage);
    assert_eq!(found, known, "thin devices of the pool, and of the catalog");
    let recorded = engine.info().unwrap().pool.transaction;
    assert_eq!(
        transaction, recorded.0,
        "transaction ids of pool and catalog"
    );
    // Devices: the pool's and the volumes', no more and no less.
    let ours = devices.iter().filter(|device| is_ours(device)).count();
    assert_eq!(ours, volumes.len() + 1, "{devices:?}");
    // Nothing is kept from being deleted by who is dead.
    let target = engine.volume(&name("keep")).unwrap().mountpoint;
    let found = read_generation(&target.expect("it is mounted again"));
    assert_eq!(found, stage.generation(), "what was acknowledged");
}

/// The slow judges, once for each verb: damage stays.
#[track_caller]
pub(crate) fn judges(stage: &mut Stage) {
    is_sound(stage.engine(), &stage.url());
    let b1 = stage.engine().snapshot(&name("b1")).unwrap().dev_id;
    assert_eq!(generation_on(stage, b1), 1);
    let b2 = stage.engine().snapshot(&name("b2")).unwrap().dev_id;
    assert_eq!(generation_on(stage, b2), 2);
    unmount(stage.engine(), "keep");
    unmount(stage.engine(), "m");
    for volume in stage.engine().volumes().unwrap() {
        run("e2fsck", &["-fn", word(&volume.device)]);
    }
    mount(stage.engine(), "keep");
    stage.take().stop().unwrap();
    let left = devices(stage);
    assert!(left.iter().all(|device| !is_ours(device)), "{left:?}");
    run("thin_check", &[word(&metadata(stage))]);
    stage.open();
}

fn metadata(stage: &Stage) -> PathBuf {
    convoy_thinpool::loopdev::attach(&stage.world.path("metadata"))
        .unwrap()
        .node
}

fn is_ours(device: &DeviceInfo) -> bool {
    let uuid = device.uuid.as_ref();
    uuid.is_some_and(|uuid| uuid.as_str().starts_with("CONVOY-"))
}

fn devices(stage: &Stage) -> Vec<DeviceInfo> {
    let listed = stage.control.list().unwrap().into_iter();
    listed
        .filter_map(|listed| stage.control.info(&listed.name).unwrap())
        .collect()
}

/// The pool's transaction id and thin devices, from the kernel and its metadata.
fn pool(stage: &Stage) -> (u64, BTreeSet<DevId>) {
    let pool = DmName::new(POOL).unwrap();
    stage
        .control
        .message(&pool, "reserve_metadata_snap")
        .unwrap();
    let status = stage.control.status(&pool).unwrap().remove(0).text;
    let words: Vec<&str> = status.split_whitespace().collect();
    let root = MetadataBlock(words[3].parse().unwrap());
    let view = View::held(FileSource::open(&metadata(stage)).unwrap(), root).unwrap();
    let found = view.devices().unwrap();
    stage
        .control
        .message(&pool, "release_metadata_snap")
        .unwrap();
    let found = found.into_iter().map(|details| details.dev_id).collect();
    (words[0].parse().unwrap(), found)
}

/// The generation of the file on a thin device, which is mounted for it, read-only, under a device of our own.
#[track_caller]
pub(crate) fn generation_on(stage: &Stage, dev_id: DevId) -> u64 {
    let control = &stage.control;
    let pool = control.info(&DmName::new(POOL).unwrap()).unwrap().unwrap();
    let name = DmName::new("probe").unwrap();
    let made = control
        .create(&name, &DmUuid::new("PROBE").unwrap())
        .unwrap();
    let table = TableLine {
        start: Sectors(0),
        len: super::stage::SIZE.sectors_floor(),
        target: "thin".to_owned(),
        params: format!("{} {dev_id}", pool.number),
    };
    control.load(&name, &[table], true).unwrap();
    control.resume(&name).unwrap();
    let node = control.node(&name, made.number).unwrap();
    std::fs::create_dir_all(PROBE).unwrap();
    let (flags, options) = (MsFlags::MS_RDONLY, Some("noload"));
    nix::mount::mount(Some(&node), PROBE, Some("ext4"), flags, options).unwrap();
    let generation = read_generation(Path::new(PROBE));
    umount(PROBE).unwrap();
    control.remove(&name).unwrap();
    generation
}
