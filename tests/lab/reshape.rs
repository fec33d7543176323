//! Volumes reshaped on a real kernel: cloned, made larger, rolled back, renamed, and snapshotted together; and that
//! what was backed up before and after is right.

mod back;
mod clones;
mod doors;
mod sizes;
mod together;

use crate::verbs::{done, name, silent};
use convoy_engine::{CreateVolume, Engine, VolumeInfo};
use convoy_units::Bytes;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The pool's block, unless a test says otherwise.
const BLOCK: u64 = 2 << 20;

/// A volume of a snapshot.
#[track_caller]
fn clone(engine: &Engine, snapshot: &str, volume: &str, size: Option<Bytes>) -> VolumeInfo {
    let request = CreateVolume {
        name: Some(name(volume)),
        from_snapshot: Some(name(snapshot)),
        size,
        ..CreateVolume::default()
    };
    done(engine.create_volume(&request, &silent())).into_inner()
}

/// Writes a file durably.
#[track_caller]
fn write(path: &Path, bytes: &[u8]) {
    let mut file = File::create(path).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
}

/// The size of an ext4 by its superblock, and its UUID.
#[track_caller]
fn ext4(device: &Path) -> (u64, uuid::Uuid) {
    let mut head = [0; 4096];
    let device = File::open(device).unwrap();
    device.read_exact_at(&mut head, 0).unwrap();
    let le = |at: usize| u32::from_le_bytes(head[1024 + at..][..4].try_into().unwrap());
    assert_eq!(head[1024 + 0x38..][..2], [0x53, 0xef]);
    let uuid = uuid::Uuid::from_slice(&head[1024 + 0x68..][..16]).unwrap();
    (u64::from(le(4)) * (1024 << le(0x18)), uuid)
}
