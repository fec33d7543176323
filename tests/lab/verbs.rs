//! The engine's verbs in a test's words: names as text, no options, and a panic with all the engine's words
//! when what must succeed does not.

use convoy_engine::{
    BackupOutcome, CreateVolume, Engine, Error, Operation, SnapshotInfo, VolumeInfo,
};
use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use convoy_units::Bytes;
use std::path::{Path, PathBuf};

/// The size of a volume that needs no particular one.
pub(crate) const SIZE: Bytes = Bytes::mib(64);

/// An operation that nobody watches.
pub(crate) fn silent() -> Operation<'static> {
    Operation::silent()
}

/// A name.
#[track_caller]
pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().unwrap()
}

/// What a verb that must succeed answered.
#[track_caller]
pub(crate) fn done<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(answer) => answer,
        Err(error) => panic!("{}", convoy_fault::chain(&error)),
    }
}

/// The kind and all the words of a failure.
#[track_caller]
pub(crate) fn refusal<T>(result: Result<T, Error>) -> (Kind, String) {
    let Err(error) = result else {
        panic!("it was not refused")
    };
    let hint = error
        .hint()
        .map(|hint| format!(" [{hint}]"))
        .unwrap_or_default();
    (error.kind(), convoy_fault::chain(&error) + &hint)
}

/// A volume, with its filesystem.
#[track_caller]
pub(crate) fn volume(engine: &Engine, volume: &str, size: Bytes) -> VolumeInfo {
    done(engine.create_volume(&volume_request(volume, size), &silent())).into_inner()
}

/// What asks for a volume.
pub(crate) fn volume_request(volume: &str, size: Bytes) -> CreateVolume {
    CreateVolume {
        name: Some(name(volume)),
        size: Some(size),
        ..CreateVolume::default()
    }
}

/// Deletes a volume.
#[track_caller]
pub(crate) fn delete_volume(engine: &Engine, volume: &str) {
    done(engine.delete_volume(&name(volume), &silent()));
}

/// Mounts a volume at its own place under the root; where.
#[track_caller]
pub(crate) fn mount(engine: &Engine, volume: &str) -> PathBuf {
    let mounted = done(engine.mount_volume(&name(volume), None, &silent()));
    mounted.mountpoint.unwrap()
}

/// Unmounts a volume.
#[track_caller]
pub(crate) fn unmount(engine: &Engine, volume: &str) {
    done(engine.unmount_volume(&name(volume), &silent()));
}

/// The names of all volumes, as listed.
#[track_caller]
pub(crate) fn volume_names(engine: &Engine) -> Vec<String> {
    let volumes = done(engine.volumes()).into_iter();
    volumes.map(|volume| volume.name.to_string()).collect()
}

/// A snapshot.
#[track_caller]
pub(crate) fn snapshot(engine: &Engine, volume: &str, snapshot: &str) -> SnapshotInfo {
    let (volume, snapshot) = (name::<VolumeName>(volume), name(snapshot));
    done(engine.create_snapshot(&volume, Some(&snapshot), &silent())).into_inner()
}

/// Deletes a snapshot.
#[track_caller]
pub(crate) fn delete_snapshot(engine: &Engine, snapshot: &str) {
    done(engine.delete_snapshot(&name(snapshot), &silent()));
}

/// Backs a snapshot up.
#[track_caller]
pub(crate) fn back_up(engine: &Engine, snapshot: &str, dest: &str) -> BackupOutcome {
    done(engine.create_backup(&name(snapshot), dest, &silent()))
}

/// Restores a backup to a new volume.
#[track_caller]
pub(crate) fn restore(engine: &Engine, volume: &str, url: &str) -> VolumeInfo {
    done(engine.create_volume(&restore_request(volume, url), &silent())).into_inner()
}

/// What asks for a volume out of a backup.
pub(crate) fn restore_request(volume: &str, url: &str) -> CreateVolume {
    CreateVolume {
        name: Some(name(volume)),
        backup: Some(url.to_owned()),
        ..CreateVolume::default()
    }
}

/// A backup that is there whole.
#[track_caller]
pub(crate) fn is_sound(engine: &Engine, url: &str) {
    let report = done(engine.verify_backup(url, &silent()));
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

/// What the last opening found to be done.
#[track_caller]
pub(crate) fn recovered(engine: &Engine) -> Vec<String> {
    done(engine.info()).recovered
}

/// A device's name in device-mapper.
pub(crate) fn dm_name(device: &Path) -> &str {
    let name = device.file_name().and_then(|name| name.to_str());
    name.expect("devices are called by names of ours")
}

/// Thin devices that the pool has, by the kernel's own listing through Debian's tools.
#[track_caller]
pub(crate) fn thin_ids(engine: &Engine) -> Vec<String> {
    let pool = done(engine.info()).pool;
    mapper::message(pool.name.as_str(), "reserve_metadata_snap");
    let metadata = mapper::metadata_device(pool.name.as_str());
    let words = [
        "--no-headers",
        "-m",
        "-o",
        "DEV",
        metadata.to_str().unwrap(),
    ];
    let listed = run("thin_ls", &words);
    mapper::message(pool.name.as_str(), "release_metadata_snap");
    listed.split_whitespace().map(str::to_owned).collect()
}
