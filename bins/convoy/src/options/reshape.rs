//! Reshaping volumes: names by their rule, sizes in bytes, and a yes where one is asked for.

use super::{Action, labels, name};
use crate::failure::Failure;
use convoy_api::{CreateSnapshot, CreateSnapshots, LabelVolume, RenameVolume, ResizeVolume};
use convoy_fault::Kind;
use convoy_names::{SnapshotName, SnapshotRef, VolumeName};
use convoy_units::Bytes;

/// How a volume is reshaped; each is called by name.
#[derive(Debug)]
pub(crate) enum Reshape {
    Resize(String, ResizeVolume),
    Rename(String, RenameVolume),
    Label(String, LabelVolume),
    RollBack(String),
    Together(CreateSnapshots),
}

pub(super) fn resize(volume: &str, size: &str) -> Result<Action, Failure> {
    let volume = name::<VolumeName>(volume)?;
    let hint = format!("write for example convoy resize {volume} 20G");
    let size = size
        .parse::<Bytes>()
        .map_err(|error| Failure::new(Kind::Invalid, error.to_string(), &hint))?;
    let request = ResizeVolume { size: size.0 };
    Ok(Action::Reshape(Reshape::Resize(volume, request)))
}

pub(super) fn rename(volume: &str, new: &str) -> Result<Action, Failure> {
    let request = RenameVolume {
        name: name::<VolumeName>(new)?,
    };
    let volume = name::<VolumeName>(volume)?;
    Ok(Action::Reshape(Reshape::Rename(volume, request)))
}

pub(super) fn label(volume: &str, set: &[String], remove: Vec<String>) -> Result<Action, Failure> {
    if set.is_empty() && remove.is_empty() {
        return Err(Failure::new(
            Kind::Invalid,
            "no label to set or to remove",
            "write for example convoy label data tier=gold",
        ));
    }
    let request = LabelVolume {
        set: labels(set)?,
        remove,
    };
    let volume = name::<VolumeName>(volume)?;
    Ok(Action::Reshape(Reshape::Label(volume, request)))
}

pub(super) fn rollback(snapshot: &str, yes: bool) -> Result<Action, Failure> {
    let snapshot = name::<SnapshotRef>(snapshot)?;
    if !yes {
        return Err(Failure::new(
            Kind::Invalid,
            "the volume becomes what it was at the snapshot, and nobody said yes to that",
            "add --yes: what the volume is now is kept in a snapshot; or make another volume of it: convoy create NAME --snapshot SNAPSHOT",
        ));
    }
    Ok(Action::Reshape(Reshape::RollBack(snapshot)))
}

/// One volume's, as the original took it, or several volumes' at one instant.
pub(super) fn snapshots(volumes: &[String], called: Option<&str>) -> Result<Action, Failure> {
    let called = called.map(name::<SnapshotName>).transpose()?;
    let volumes = volumes.iter().map(|volume| name::<VolumeName>(volume));
    let mut volumes = volumes.collect::<Result<Vec<String>, _>>()?;
    if volumes.len() == 1 {
        let volume = volumes.remove(0);
        let request = CreateSnapshot {
            volume,
            name: called,
        };
        return Ok(Action::CreateSnapshot(request));
    }
    let request = CreateSnapshots {
        volumes,
        name: called,
    };
    Ok(Action::Reshape(Reshape::Together(request)))
}
