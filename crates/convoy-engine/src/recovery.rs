//! What is done at every opening, after the pool is up: finish or undo what a kill left half done, bring
//! up every volume, mount those that should be.
//!
//! Each step may be killed and done again. A volume that fails one is reported as broken, and the others
//! go on.

use crate::doctor::filesystem::{self, HEAD};
use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::failpoints::Mistake;
use crate::holds;
use crate::operation::Operation;
use crate::transaction::Settled;
use convoy_catalog::{Catalog, Change, Volume, VolumeState};
use convoy_fault::Kind;
use convoy_thinpool::Control;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use uuid::Uuid;

/// Resumes every device of ours that a kill left suspended, whatever else may be wrong.
pub(crate) fn resume(catalog: &Catalog, control: &dyn Control) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    for pool in catalog.pools().doing(|| "reading the pool's record")? {
        match convoy_thinpool::resume_suspended(control, pool.uuid) {
            Ok(names) => said.extend(
                names
                    .into_iter()
                    .map(|name| format!("resumed device {name}, which a kill had left suspended")),
            ),
            Err(error) => {
                let error = convoy_fault::chain(&error);
                said.push(format!(
                    "devices of pool {} may be suspended: {error}",
                    pool.name
                ));
            }
        }
    }
    Ok(said)
}

/// Recovers; the sentences say what there was to do. Only a pool that contradicts the catalog stops the
/// opening: one that takes no changes can still be read.
pub(crate) fn recover(engine: &Engine) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    match engine.pool.release_stale_metadata_snapshot() {
        Ok(true) => {
            said.push("released a metadata snapshot that a kill had left reserved".to_owned());
        }
        Ok(false) => (),
        Err(error) => said.push(convoy_fault::chain(&error)),
    }
    unpin(engine)?;
    said.extend(crate::jobs::interrupt(engine)?);
    // Before the intents: a device that is up cannot be deleted.
    take_down_strays(engine, &mut said)?;
    settle_intents(engine, &mut said)?;
    finish_half_done(engine, &mut said)?;
    bring_up_volumes(engine)?;
    mount_wanted(engine, &mut said)?;
    holds::reconcile(engine)?;
    record_mounts(engine, &mut said)?;
    Ok(said)
}

fn settle_intents(engine: &Engine, said: &mut Vec<String>) -> Result<(), Error> {
    if engine.steps.err(Mistake::NoSettling) {
        return Ok(());
    }
    let pending = engine
        .catalog
        .pending_intents()
        .doing(|| "reading pending intents")?;
    for intent in pending {
        let what = format!(
            "an interrupted attempt to {} (operation {})",
            intent.verb, intent.op
        );
        said.push(match engine.settle(&intent) {
            Ok(Settled::Finished) => format!("finished {what}"),
            Ok(Settled::Undone) => format!("undid {what}"),
            // The transaction id was compared before the pool was used: this is a pool that takes no
            // changes, or a device somebody holds. The next transaction tries again.
            Err(error) => format!(
                "{what} is still to be settled: {}",
                convoy_fault::chain(&error)
            ),
        });
    }
    Ok(())
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
    let trashed = engine.trashed_uuids()?;
    // What lies in the trash is down: its device is up only if its throwing away lost its answer.
    let volumes: BTreeSet<Uuid> = volumes
        .into_iter()
        .map(|volume| volume.uuid)
        .filter(|uuid| !trashed.contains(uuid))
        .collect();
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
                    "device {} belongs to no volume that is up, and stays: {error}",
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
            // Of a snapshot, that is.
            VolumeState::Restoring if volume.restored_from.is_none() => {
                "undid the interrupted creation of volume"
            }
            VolumeState::Restoring => "undid the interrupted restore to volume",
        };
        match refuse_used(engine, &volume)
            .and_then(|()| engine.unmount_all(&volume))
            .and_then(|()| engine.destroy(&volume, &op))
        {
            Ok(()) => said.push(format!("{story} {}", volume.name)),
            Err(error) => broken(engine, &volume, &error),
        }
    }
    let unsettled = engine.catalog.unsettled_snapshots();
    for snapshot in unsettled.doing(|| "reading snapshots")? {
        if engine.why_broken(snapshot.volume).is_some() {
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

/// A volume that was never acknowledged was never mounted. One that is called half made and was mounted is
/// somebody's: the catalog was put back from an older copy, at the pool's own transaction id.
fn refuse_used(engine: &Engine, volume: &Volume) -> Result<(), Error> {
    if volume.state != VolumeState::Formatting {
        return Ok(());
    }
    let doing = || format!("looking at what is on volume {}", volume.name);
    let device = engine.activate(volume)?;
    let mut head = [0; HEAD];
    engine
        .machine
        .reader(&device.node)
        .doing(doing)?
        .read_at(0, &mut head)
        .doing(doing)?;
    let used = filesystem::parse(&head).is_some_and(|filesystem| filesystem.was_mounted);
    if !used {
        return Ok(());
    }
    let what = format!(
        "volume {} is half made by the catalog, but its filesystem was mounted: the catalog is an older copy, and the volume is not deleted",
        volume.name
    );
    Err(Error::new(Kind::PoolUnhealthy, what)
        .hinting("put the newer catalog back, or run convoy doctor"))
}

fn bring_up_volumes(engine: &Engine) -> Result<(), Error> {
    let trashed = engine.trashed_uuids()?;
    for volume in engine.catalog.volumes().doing(|| "reading volumes")? {
        if volume.state == VolumeState::Ready
            && !trashed.contains(&volume.uuid)
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
        if let Err(error) = engine.mount_again(&volume, &mount.target) {
            let error = convoy_fault::chain(&error);
            said.push(format!("volume {} is not mounted: {error}", volume.name));
        }
    }
    Ok(())
}

/// A volume that is mounted and not recorded so: at its own place by a verb that was cut short, which is finished;
/// elsewhere perhaps by somebody else, which is told.
fn record_mounts(engine: &Engine, said: &mut Vec<String>) -> Result<(), Error> {
    let kernel = engine.kernel()?;
    let recorded = engine.catalog.mounts().doing(|| "reading mounts")?;
    let recorded: BTreeSet<Uuid> = recorded.into_iter().map(|mount| mount.volume).collect();
    for volume in engine.catalog.volumes().doing(|| "reading volumes")? {
        let own = engine.root.mount_point(volume.uuid);
        let Some(target) = kernel.mount_of(volume.uuid, Some(&own)) else {
            continue;
        };
        if recorded.contains(&volume.uuid) || volume.state != VolumeState::Ready {
            continue;
        }
        let name = &volume.name;
        if target == own {
            engine.record_mount(&volume, target)?;
            said.push(format!("finished the interrupted mount of volume {name}"));
        } else {
            let target = target.display();
            said.push(format!(
                "volume {name} is mounted at {target}, which is not recorded: it will not be mounted after a restart"
            ));
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
