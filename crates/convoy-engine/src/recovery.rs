//! What is done at every opening, after the pool is up: finish or undo what a kill left half done, bring
//! up every volume, mount those that should be.
//!
//! Each step may be killed and done again. A volume that fails one is reported as broken, and the others
//! go on.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::operation::Operation;
use crate::transaction::Settled;
use convoy_catalog::{Change, SnapshotState, Volume, VolumeState};
use std::collections::BTreeSet;
use std::sync::PoisonError;
use uuid::Uuid;

/// Recovers; the sentences say what there was to do.
pub(crate) fn recover(engine: &Engine) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    // A frozen volume holds everybody who writes to it: first of all, let them go.
    for name in engine
        .pool
        .resume_suspended()
        .doing(|| "resuming suspended devices")?
    {
        said.push(format!(
            "resumed device {name}, which a kill had left suspended"
        ));
    }
    if engine
        .pool
        .release_stale_metadata_snapshot()
        .doing(|| "releasing a stale metadata snapshot")?
    {
        said.push("released a metadata snapshot that a kill had left reserved".to_owned());
    }
    for intent in engine
        .catalog
        .pending_intents()
        .doing(|| "reading pending intents")?
    {
        let did = match engine.settle(&intent)? {
            Settled::Finished => "finished",
            Settled::Undone => "undid",
        };
        said.push(format!(
            "{did} an interrupted attempt to {} (operation {})",
            intent.verb, intent.op
        ));
    }
    unpin(engine)?;
    take_down_strays(engine, &mut said)?;
    finish_half_done(engine, &mut said)?;
    bring_up_volumes(engine)?;
    mount_wanted(engine, &mut said)?;
    Ok(said)
}

/// No backup runs yet, so every pin is a dead one's.
fn unpin(engine: &Engine) -> Result<(), Error> {
    let pins = engine.catalog.pins().doing(|| "reading pins")?;
    let ops: BTreeSet<Uuid> = pins.into_iter().map(|pin| pin.op).collect();
    let changes: Vec<Change> = ops
        .into_iter()
        .map(|op| Change::RemovePins { op })
        .collect();
    engine
        .catalog
        .apply(&changes)
        .doing(|| "removing the pins of interrupted backups")
}

/// Devices of ours that are no volume's: a snapshot's, from an interrupted backup.
fn take_down_strays(engine: &Engine, said: &mut Vec<String>) -> Result<(), Error> {
    let volumes = engine.catalog.volumes().doing(|| "reading volumes")?;
    let volumes: BTreeSet<Uuid> = volumes.into_iter().map(|volume| volume.uuid).collect();
    for device in engine
        .pool
        .own_devices()
        .doing(|| "listing the pool's devices")?
    {
        if volumes.contains(&device.uuid) {
            continue;
        }
        match engine.pool.deactivate_thin(device.uuid) {
            Ok(()) => said.push(format!(
                "took down device {}, left by an interrupted operation",
                device.name
            )),
            Err(error) => {
                let error = convoy_fault::chain(&error);
                said.push(format!(
                    "device {} belongs to no volume and stays: {error}",
                    device.name
                ));
            }
        }
    }
    Ok(())
}

/// A volume that was never acknowledged is undone, a deletion that was begun is finished.
fn finish_half_done(engine: &Engine, said: &mut Vec<String>) -> Result<(), Error> {
    let op = Operation::silent();
    for volume in engine.catalog.volumes().doing(|| "reading volumes")? {
        let story = match volume.state {
            VolumeState::Ready => continue,
            VolumeState::Deleting => "finished the interrupted deletion of volume",
            VolumeState::Creating | VolumeState::Formatting => {
                "undid the interrupted creation of volume"
            }
            VolumeState::Restoring => "undid the interrupted restore to volume",
        };
        match engine
            .unmount_all(&volume)
            .and_then(|()| engine.destroy(&volume, &op))
        {
            Ok(()) => said.push(format!("{story} {}", volume.name)),
            Err(error) => broken(engine, &volume, &error),
        }
    }
    for snapshot in engine.catalog.snapshots().doing(|| "reading snapshots")? {
        if snapshot.state == SnapshotState::Ready || engine.why_broken(snapshot.volume).is_some() {
            continue;
        }
        match engine.destroy_snapshot(&snapshot, &op) {
            Ok(()) => {
                said.push(format!(
                    "finished the interrupted deletion of snapshot {}",
                    snapshot.name
                ));
            }
            Err(error) => {
                let error = convoy_fault::chain(&error);
                said.push(format!(
                    "snapshot {} is half deleted still: {error}",
                    snapshot.name
                ));
            }
        }
    }
    Ok(())
}

fn bring_up_volumes(engine: &Engine) -> Result<(), Error> {
    for volume in engine.catalog.volumes().doing(|| "reading volumes")? {
        if volume.state == VolumeState::Ready
            && let Err(error) = engine.activate(&volume)
        {
            broken(engine, &volume, &error);
        }
    }
    Ok(())
}

/// Mounts what should be mounted. A place that was asked for by name may be gone since: that is told, and
/// the volume itself is well.
fn mount_wanted(engine: &Engine, said: &mut Vec<String>) -> Result<(), Error> {
    for mount in engine.catalog.mounts().doing(|| "reading mounts")? {
        let volume = engine
            .catalog
            .volume(mount.volume)
            .doing(|| "reading volumes")?;
        let usable = volume.filter(|volume| engine.why_broken(volume.uuid).is_none());
        let Some(volume) = usable.filter(|_| mount.wanted) else {
            continue;
        };
        if let Err(error) = engine.mount_at(&volume, &mount.target) {
            let error = convoy_fault::chain(&error);
            said.push(format!("volume {} is not mounted: {error}", volume.name));
        }
    }
    Ok(())
}

fn broken(engine: &Engine, volume: &Volume, error: &Error) {
    let why = convoy_fault::chain(error);
    tracing::error!(volume = %volume.name, "volume is broken: {why}");
    let mut broken = engine.broken.lock().unwrap_or_else(PoisonError::into_inner);
    broken.insert(volume.uuid, why);
}
