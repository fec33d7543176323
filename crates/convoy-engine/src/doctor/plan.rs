//! What the catalog has to say so that it agrees with the pool: pure, and decided before anything is written.
//!
//! The pool is what there is; the catalog is what it is called. So rows follow devices and never the reverse: no
//! device is made or deleted here. A row without a device promises what cannot be kept and is dropped, where
//! that is explained or accepted. A device without a row is taken in only if a filesystem of a volume begins on it.

use super::facts::{Book, Device, Reading};
use super::filesystem::Filesystem;
use convoy_catalog as catalog;
use convoy_catalog::{Change, Intent, Snapshot, SnapshotState, Suspect, Volume, VolumeState};
use convoy_names::{SnapshotName, VolumeName};
use convoy_units::{Bytes, DevId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// What the plan is made for.
pub(super) struct Case<'a> {
    /// What it begins with; `None`: a catalog made of the pool alone.
    pub(super) book: Option<&'a Book>,
    /// Whether that is a copy, which may be older than what is lost.
    pub(super) is_copy: bool,
    /// The pool's record as it shall be.
    pub(super) record: &'a catalog::Pool,
    pub(super) reading: &'a Reading,
    pub(super) devices: &'a BTreeMap<DevId, Device>,
    /// Whether the metadata is a repaired copy.
    pub(super) mended: bool,
    pub(super) now: Timestamp,
}

/// What shall be recorded.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) abandon: Vec<Intent>,
    pub(super) changes: Vec<Change>,
    /// Ids that must never be given.
    pub(super) reserve: Option<DevId>,
    /// What is done, one sentence each.
    pub(super) said: Vec<String>,
    /// What would be lost that nothing explains: to be accepted first.
    pub(super) gives_up: Vec<String>,
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.abandon.is_empty() && self.changes.is_empty()
    }
}

/// The rows as they shall be, while the plan is made.
struct Draft<'a> {
    case: &'a Case<'a>,
    plan: Plan,
    volumes: Vec<Volume>,
    /// Devices that have a row, or that nobody may take in.
    settled: BTreeSet<DevId>,
    names: BTreeSet<String>,
    dropped: Vec<Volume>,
    dropped_snapshots: Vec<Uuid>,
    /// The catalog's moment is not the pool's: what is half done in it may have been finished since.
    is_elsewhen: bool,
    /// What is gone was deleted since the copy was made.
    is_explained: bool,
}

/// Plans.
pub(super) fn plan(case: &Case<'_>) -> Plan {
    let known = case.book.and_then(|book| book.pool.as_ref());
    let found = case.reading.transaction;
    let intents = case.book.map_or(&[][..], |book| &book.intents);
    let settles = |intent: &Intent| found == Some(intent.from) || found == Some(intent.to);
    let recovers = !case.is_copy && !intents.is_empty() && intents.iter().all(settles);
    let is_behind = known.is_some_and(|known| found < Some(known.transaction));
    let is_ahead = known.is_some_and(|known| found > Some(known.transaction));
    let mut draft = Draft {
        case,
        plan: Plan::default(),
        volumes: Vec::new(),
        settled: BTreeSet::new(),
        names: BTreeSet::new(),
        dropped: Vec::new(),
        dropped_snapshots: Vec::new(),
        is_elsewhen: case.is_copy || (!recovers && (is_behind || is_ahead)),
        is_explained: is_ahead,
    };
    if is_behind && !recovers {
        draft.plan.gives_up.push(
            "the pool is older than the catalog: what was written since its moment may be lost, in any volume".to_owned(),
        );
    }
    if recovers {
        let actions = intents.iter().flat_map(|intent| &intent.actions);
        draft.settled.extend(actions.map(catalog::Action::dev_id));
    } else {
        draft.plan.abandon = intents.to_vec();
    }
    if let Some(book) = case.book {
        draft.volumes_of(book);
        draft.snapshots_of(book);
    }
    let removals = draft.removals();
    draft.plan.changes = removals;
    if case.mended || known.is_none() {
        draft
            .plan
            .changes
            .push(Change::PutPool(case.record.clone()));
    }
    if let (Some(found), false) = (found, recovers)
        && known.is_some_and(|known| known.transaction != found)
    {
        draft.plan.changes.push(Change::SetTransaction {
            pool: case.record.uuid,
            transaction: found,
        });
        draft.plan.said.push(format!(
            "the catalog is at the pool's transaction {found} now"
        ));
    }
    draft.adopt();
    if case.mended || is_behind {
        draft.suspect();
    }
    draft.plan.reserve = case.devices.keys().next_back().copied();
    draft.plan
}

impl Draft<'_> {
    fn volumes_of(&mut self, book: &Book) {
        for volume in &book.volumes {
            self.names.insert(volume.name.to_string());
            if self.settled.contains(&volume.dev_id) {
                self.volumes.push(volume.clone());
                continue;
            }
            let Some(device) = self.case.devices.get(&volume.dev_id) else {
                let lost = format!(
                    "volume {} ({}) has no thin device {} in the pool any more",
                    volume.name, volume.uuid, volume.dev_id
                );
                self.give_up(lost);
                self.names.remove(volume.name.as_str());
                self.dropped.push(volume.clone());
                continue;
            };
            self.settled.insert(volume.dev_id);
            if volume.state == VolumeState::Ready || !self.is_elsewhen {
                self.volumes.push(volume.clone());
                continue;
            }
            self.half_done(volume, device);
        }
    }

    /// A volume that the catalog's moment found half done, in a pool of another moment: it may have been finished
    /// and used since. Its own filesystem shows that; else nobody can tell, and the device stays unnamed.
    fn half_done(&mut self, volume: &Volume, device: &Device) {
        let own = device
            .filesystem
            .as_ref()
            .is_some_and(|filesystem| filesystem.uuid == volume.uuid);
        let name = &volume.name;
        if own && volume.state != VolumeState::Restoring {
            let ready = Volume {
                state: VolumeState::Ready,
                ..volume.clone()
            };
            self.plan.said.push(format!(
                "volume {name} was {} when the catalog was written; it has its filesystem and is ready now",
                volume.state.as_str()
            ));
            self.plan.changes.push(Change::PutVolume(ready.clone()));
            self.volumes.push(ready);
        } else {
            self.plan.said.push(format!(
                "volume {name} was {} when the catalog was written, and whether it was finished cannot be told: its row is dropped, its thin device {} stays",
                volume.state.as_str(),
                volume.dev_id
            ));
            self.names.remove(name.as_str());
            self.dropped.push(volume.clone());
        }
    }

    fn snapshots_of(&mut self, book: &Book) {
        for snapshot in &book.snapshots {
            if self.settled.contains(&snapshot.dev_id) {
                continue;
            }
            let name = &snapshot.name;
            if !self.case.devices.contains_key(&snapshot.dev_id) {
                self.give_up(format!(
                    "snapshot {name} has no thin device {} in the pool any more",
                    snapshot.dev_id
                ));
                self.dropped_snapshots.push(snapshot.uuid);
                continue;
            }
            if !self
                .volumes
                .iter()
                .any(|volume| volume.uuid == snapshot.volume)
            {
                self.plan.said.push(format!(
                    "snapshot {name} has lost its volume: its thin device {} is kept",
                    snapshot.dev_id
                ));
                self.dropped_snapshots.push(snapshot.uuid);
                continue;
            }
            self.settled.insert(snapshot.dev_id);
            match snapshot.state {
                SnapshotState::Deleting if self.is_elsewhen => {
                    self.plan.changes.push(Change::PutSnapshot(Snapshot {
                        state: SnapshotState::Ready,
                        ..snapshot.clone()
                    }));
                    self.plan.said.push(format!(
                        "snapshot {name} was being deleted, and is still there: it is kept"
                    ));
                }
                SnapshotState::Creating if self.is_elsewhen => {
                    self.plan.said.push(format!(
                        "snapshot {name} was being taken, and whether it is good cannot be told: its row is dropped, its thin device {} stays",
                        snapshot.dev_id
                    ));
                    self.dropped_snapshots.push(snapshot.uuid);
                    continue;
                }
                _ => {}
            }
            self.names.insert(name.to_string());
        }
    }

    fn give_up(&mut self, lost: String) {
        if self.is_explained {
            self.plan
                .said
                .push(format!("{lost}: it was deleted since, and is forgotten"));
        } else {
            self.plan.gives_up.push(lost);
        }
    }

    /// What goes, children first; then what was changed already.
    fn removals(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        let Some(book) = self.case.book else {
            return changes;
        };
        let gone: BTreeSet<Uuid> = self.dropped.iter().map(|volume| volume.uuid).collect();
        let mounts = book
            .mounts
            .iter()
            .filter(|mount| gone.contains(&mount.volume));
        changes.extend(mounts.map(|mount| Change::RemoveMount(mount.volume)));
        let pins: BTreeSet<Uuid> = book.pins.iter().map(|pin| pin.op).collect();
        if !self.dropped_snapshots.is_empty() {
            changes.extend(pins.into_iter().map(|op| Change::RemovePins { op }));
        }
        changes.extend(
            self.dropped_snapshots
                .iter()
                .copied()
                .map(Change::RemoveSnapshot),
        );
        changes.extend(gone.into_iter().map(Change::RemoveVolume));
        changes.append(&mut self.plan.changes);
        changes
    }

    /// Devices that begin with a filesystem get a row: of one identity the oldest is the volume, which is what
    /// they were all taken of, directly or not.
    fn adopt(&mut self) {
        let orphans: Vec<(DevId, &Device)> = self
            .case
            .devices
            .iter()
            .filter(|(id, _)| !self.settled.contains(id))
            .map(|(id, device)| (*id, device))
            .collect();
        for (id, device) in orphans {
            let Some(filesystem) = &device.filesystem else {
                self.plan.said.push(format!(
                    "thin device {id} begins with no filesystem of a volume: it is left alone"
                ));
                continue;
            };
            match self
                .volumes
                .iter()
                .find(|volume| volume.uuid == filesystem.uuid)
            {
                Some(volume) => {
                    let volume = volume.clone();
                    self.adopt_snapshot(id, &volume);
                }
                None => self.adopt_volume(id, device, filesystem),
            }
        }
    }

    fn adopt_volume(&mut self, id: DevId, device: &Device, filesystem: &Filesystem) {
        let record = self.case.record;
        let before = self
            .dropped
            .iter()
            .find(|volume| volume.uuid == filesystem.uuid)
            .cloned();
        let wanted = before
            .as_ref()
            .map_or(filesystem.label.clone(), |volume| volume.name.to_string());
        let name: VolumeName = self
            .free_name(&wanted, id)
            .parse()
            .expect("letters, dashes and digits, or a name before");
        let block = record.block_size.bytes().0;
        let size = filesystem
            .size
            .max(device.end)
            .0
            .div_ceil(block)
            .saturating_mul(block);
        self.plan.said.push(format!(
            "thin device {id} is volume {name} now: it begins with {} {}",
            filesystem.kind, filesystem.uuid
        ));
        let volume = Volume {
            uuid: filesystem.uuid,
            pool: record.uuid,
            name,
            dev_id: id,
            size: before
                .as_ref()
                .map_or(Bytes(size), |volume| volume.size.max(Bytes(size))),
            filesystem: filesystem.kind.to_owned(),
            state: VolumeState::Ready,
            created: before
                .as_ref()
                .map_or(self.case.now, |volume| volume.created),
            labels: before.map(|volume| volume.labels).unwrap_or_default(),
            owner: None,
            group: None,
            restored_from: None,
            op: Uuid::now_v7(),
        };
        self.plan.changes.push(Change::PutVolume(volume.clone()));
        self.volumes.push(volume);
    }

    fn adopt_snapshot(&mut self, id: DevId, volume: &Volume) {
        let name: SnapshotName = self
            .free_name("", id)
            .parse()
            .expect("letters, dashes and digits");
        self.plan.said.push(format!(
            "thin device {id} is snapshot {name} of volume {} now: it bears the same filesystem",
            volume.name
        ));
        self.plan.changes.push(Change::PutSnapshot(Snapshot {
            uuid: Uuid::now_v7(),
            volume: volume.uuid,
            pool: volume.pool,
            name,
            dev_id: id,
            size: volume.size,
            state: SnapshotState::Ready,
            created: self.case.now,
            labels: BTreeMap::new(),
            op: Uuid::now_v7(),
            hold_micros: None,
        }));
    }

    /// The wanted name if it is one and free, else one of the device's number.
    fn free_name(&mut self, wanted: &str, id: DevId) -> String {
        let numbered = (2..=u32::MAX).map(|n| format!("recovered-{id}-{n}"));
        let candidates = [wanted.to_owned(), format!("recovered-{id}")];
        let name = candidates
            .into_iter()
            .chain(numbered)
            .find(|name| name.parse::<VolumeName>().is_ok() && !self.names.contains(name))
            .expect("there are more numbers than names");
        self.names.insert(name.clone());
        name
    }

    /// Every filesystem is checked at its next mount: acknowledged writes may be missing.
    fn suspect(&mut self) {
        for volume in &self.volumes {
            self.plan.changes.push(Change::PutSuspect(Suspect {
                volume: volume.uuid,
                why: "the pool's metadata was repaired or is older than it was".to_owned(),
                since: self.case.now,
            }));
        }
        if !self.volumes.is_empty() {
            self.plan
                .said
                .push("every volume's filesystem is checked at its next mount".to_owned());
        }
    }
}
