//! The look at everything after a cut: devices as they were left, then the engine, then every block.

use super::actor::Actor;
use super::{Devices, FILE, POOL, SIZE};
use crate::agreement::all_agree;
use crate::probe::look_at;
use crate::verbs::{is_sound, unmount};
use convoy_tests::command::{run, tool, word};
use convoy_tests::mapper::SCRATCH;
use convoy_tests::story::{Contents, Seen};
use convoy_thin_metadata::{FileSource, Mended};
use convoy_thinpool::blockdev;
use convoy_units::DevId;
use nix::mount::{MsFlags, mount, umount};
use std::fs;
use std::path::Path;
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
    all_agree(
        actor.engine(),
        &actor.control,
        POOL,
        &actor.devices.metadata,
    );
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
    look_at(&actor.control, POOL, dev_id, SIZE, |node| {
        let found = read_mounted(node, Some("noload"));
        if judge {
            tool("e2fsck", &["-fn", word(node)]);
        }
        found
    })
}
