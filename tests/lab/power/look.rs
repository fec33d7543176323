//! The look at everything after a cut: devices as they were left, then the engine, then every block.

use super::actor::Actor;
use super::{Devices, FILE, POOL, SIZE};
use crate::verbs::{is_sound, unmount};
use convoy_engine::VolumeState;
use convoy_tests::command::{run, tool, word};
use convoy_tests::mapper::SCRATCH;
use convoy_tests::story::{Contents, Seen};
use convoy_thin_metadata::{FileSource, Mended, View};
use convoy_thinpool::{Control, DeviceInfo, DmName, DmUuid, TableLine, blockdev};
use convoy_units::{DevId, MetadataBlock, Sectors};
use nix::mount::{MsFlags, mount, umount};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PROBE: &str = "/mnt/probe";

/// Whether the slow judges are asked about every volume and snapshot, or about one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thorough {
    All,
    One(u64),
}

impl Thorough {
    fn picks(self, index: usize, of: usize) -> bool {
        match self {
            Self::All => true,
            Self::One(number) => number % of.max(1) as u64 == index as u64,
        }
    }
}

/// What the cut left, before the engine sees it: the pool's metadata is consistent, and so is the filesystem
/// with the catalog once its journal is replayed. It is mounted then.
///
/// Returns whether the cut fell into the kernel's taking or releasing a metadata snapshot: block 0 and the space map
/// are of two states then, and the opening has to mend that ([`is_sound_now`]).
#[track_caller]
pub(crate) fn raw(devices: &Devices) -> bool {
    // The kernel formats a blank device: until it has, there is nothing to check.
    let torn = !blockdev::first_block_is_zero(&devices.metadata).unwrap() && is_torn(devices);
    fs::create_dir_all(SCRATCH).unwrap();
    mount_root(devices);
    umount(SCRATCH).unwrap();
    tool("e2fsck", &["-fn", word(&devices.root)]);
    mount_root(devices);
    torn
}

#[track_caller]
fn is_torn(devices: &Devices) -> bool {
    let checked = run(Command::new("thin_check").arg(&devices.metadata));
    if checked.code == Some(0) {
        return false;
    }
    let source = FileSource::open(&devices.metadata).unwrap();
    let mended = Mended::of(source).unwrap();
    assert!(mended.block_0().is_some(), "{}", checked.stderr);
    println!("torn: {}", checked.stderr.replace('\n', "; "));
    true
}

/// Takes everything down for the judge of metadata, and opens again.
#[track_caller]
pub(crate) fn is_sound_now(actor: &mut Actor) {
    actor.stop();
    tool("thin_check", &[word(&actor.devices.metadata)]);
    actor.open();
}

#[track_caller]
fn mount_root(devices: &Devices) {
    let options = Some("noinit_itable");
    let flags = MsFlags::empty();
    mount(Some(&devices.root), SCRATCH, Some("ext4"), flags, options).unwrap();
}

/// Reads everything, with the engine open: what there is, after the proof that catalog, pool, devices and mounts
/// say the same.
#[track_caller]
pub(crate) fn look(actor: &Actor, thorough: Thorough) -> Seen {
    nothing_is_left_over(actor);
    let engine = actor.engine();
    let mut seen = Seen::default();
    let volumes = engine.volumes().unwrap();
    let snapshots = engine.snapshots(None).unwrap();
    let judged = volumes.len() + snapshots.len();
    for (index, volume) in volumes.iter().enumerate() {
        let found = if let Some(target) = &volume.mountpoint {
            read(target)
        } else {
            let device = &volume.device;
            let found = read_mounted(device, None);
            if thorough.picks(index, judged) {
                tool("e2fsck", &["-fn", word(device)]);
            }
            found
        };
        let mounted = volume.mountpoint.is_some();
        seen.volumes
            .insert(volume.name.to_string(), (mounted, found));
    }
    for (index, snapshot) in snapshots.iter().enumerate() {
        let judge = thorough.picks(volumes.len() + index, judged);
        let found = read_snapshot(actor, snapshot.dev_id, judge);
        let of = snapshot.volume_name.to_string();
        seen.snapshots
            .insert(snapshot.name.to_string(), (of, found));
    }
    for backup in actor.backups() {
        is_sound(engine, &backup.url);
        let snapshot = backup.snapshot_name.clone();
        assert!(seen.backups.insert(snapshot), "twice: {backup:?}");
    }
    seen
}

/// The filesystems of mounted volumes, each unmounted for the judge and mounted again.
#[track_caller]
pub(crate) fn mounted_are_sound(actor: &Actor, thorough: Thorough) {
    let mut volumes = actor.engine().volumes().unwrap();
    volumes.retain(|volume| volume.mountpoint.is_some());
    for (index, volume) in volumes.iter().enumerate() {
        if thorough.picks(index, volumes.len()) {
            unmount(actor.engine(), volume.name.as_str());
            tool("e2fsck", &["-fn", word(&volume.device)]);
            crate::verbs::mount(actor.engine(), volume.name.as_str());
        }
    }
}

/// Nothing is held, and catalog, pool and devices say the same.
#[track_caller]
fn nothing_is_left_over(actor: &Actor) {
    let engine = actor.engine();
    let devices = devices(actor);
    let held: Vec<&DmName> = devices
        .iter()
        .filter(|device| device.suspended)
        .map(|device| &device.name)
        .collect();
    assert!(held.is_empty(), "held still: {held:?}");
    let volumes = engine.volumes().unwrap();
    for volume in &volumes {
        let (name, state) = (&volume.name, volume.state);
        assert_eq!(state, VolumeState::Ready, "{name}: {:?}", volume.problem);
    }
    let snapshots = engine.snapshots(None).unwrap();
    let known = volumes.iter().map(|volume| volume.dev_id);
    let known: BTreeSet<DevId> = known.chain(snapshots.iter().map(|s| s.dev_id)).collect();
    let (transaction, found) = pool(actor);
    assert_eq!(found, known, "thin devices of the pool, and of the catalog");
    let recorded = engine.info().unwrap().pool.transaction;
    assert_eq!(
        transaction, recorded.0,
        "transaction ids of pool and catalog"
    );
    let ours = devices.iter().filter(|device| is_ours(device)).count();
    assert_eq!(ours, volumes.len() + 1, "{devices:?}");
}

fn is_ours(device: &DeviceInfo) -> bool {
    let uuid = device.uuid.as_ref();
    uuid.is_some_and(|uuid| uuid.as_str().starts_with("CONVOY-"))
}

fn devices(actor: &Actor) -> Vec<DeviceInfo> {
    let listed = actor.control.list().unwrap().into_iter();
    listed
        .filter_map(|listed| actor.control.info(&listed.name).unwrap())
        .collect()
}

/// The pool's transaction id and thin devices, from the kernel and its metadata.
fn pool(actor: &Actor) -> (u64, BTreeSet<DevId>) {
    let (control, pool) = (&actor.control, DmName::new(POOL).unwrap());
    control.message(&pool, "reserve_metadata_snap").unwrap();
    let status = control.status(&pool).unwrap().remove(0).text;
    let words: Vec<&str> = status.split_whitespace().collect();
    let root = MetadataBlock(words[3].parse().unwrap());
    let source = FileSource::open(&actor.devices.metadata).unwrap();
    let found = View::held(source, root).unwrap().devices().unwrap();
    control.message(&pool, "release_metadata_snap").unwrap();
    let found = found.into_iter().map(|details| details.dev_id).collect();
    (words[0].parse().unwrap(), found)
}

#[track_caller]
fn read(target: &Path) -> Contents {
    match fs::read(target.join(FILE)) {
        Ok(bytes) => Seen::contents(&bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Seen::contents(&[]),
        Err(error) => panic!("{}: {error}", target.display()),
    }
}

#[track_caller]
fn read_mounted(device: &Path, options: Option<&str>) -> Contents {
    fs::create_dir_all(PROBE).unwrap();
    let flags = MsFlags::MS_RDONLY;
    mount(Some(device), PROBE, Some("ext4"), flags, options).unwrap();
    let found = read(Path::new(PROBE));
    umount(PROBE).unwrap();
    found
}

/// A snapshot through a device of our own, read-only. It was taken of a filesystem that was held, so there is
/// nothing to replay.
#[track_caller]
fn read_snapshot(actor: &Actor, dev_id: DevId, judge: bool) -> Contents {
    let control = &actor.control;
    let pool = control.info(&DmName::new(POOL).unwrap()).unwrap().unwrap();
    let name = DmName::new("probe").unwrap();
    let made = control
        .create(&name, &DmUuid::new("PROBE").unwrap())
        .unwrap();
    let table = TableLine {
        start: Sectors(0),
        len: SIZE.sectors_floor(),
        target: "thin".to_owned(),
        params: format!("{} {dev_id}", pool.number),
    };
    control.load(&name, &[table], true).unwrap();
    control.resume(&name).unwrap();
    let node: PathBuf = control.node(&name, made.number).unwrap();
    let found = read_mounted(&node, Some("noload"));
    if judge {
        tool("e2fsck", &["-fn", word(&node)]);
    }
    control.remove(&name).unwrap();
    found
}
