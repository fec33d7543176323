//! Volumes' filesystems on a real kernel: xfs beside ext4, made and mounted as asked, checked when they ask for it,
//! and trimmed.

mod asked;
mod checked;
mod trimmed;
mod xfs;

use convoy_engine::CreateVolume;
use convoy_mount::MountEntry;
use convoy_units::Bytes;
use std::path::Path;

use crate::verbs::volume_request;

/// The least an xfs is made on, in whole blocks of the pool.
const XFS: Bytes = Bytes::mib(300);

/// What asks for a volume with this filesystem.
fn with(filesystem: &str, volume: &str, size: Bytes) -> CreateVolume {
    CreateVolume {
        filesystem: Some(filesystem.to_owned()),
        ..volume_request(volume, size)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// What is mounted at this place, by the kernel's table.
#[track_caller]
fn entry(target: &Path) -> MountEntry {
    convoy_mount::mounted_at(target).unwrap().unwrap()
}
