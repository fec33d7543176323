//! The fold: what the log means, as a pure function of its entries in order (format §5.3).
//!
//! Nothing here reads a clock, a store or a random number. Whoever folds the same entries has the same
//! state: that is the whole agreement between hosts.

use crate::body::{Body, Commit, Listed, Move, Unreadable};
use crate::entry::Entry;
use crate::id::SessionId;
use crate::pack::ObjectName;
use crate::record::{BackupRecord, VolumeRecord};
use crate::run_set::{Run, RunSet};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use uuid::Uuid;

/// A commit whose session began longer ago, in slots, is void.
pub const MAX_AGE: u64 = 1 << 20;

/// Where a backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Listed and restorable.
    Live,
    /// Deleted, still protected.
    Trash,
    /// Forgotten: protects nothing any more.
    Gone,
}

/// A backup and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// What its commit said.
    pub record: BackupRecord,
    /// Where it stands.
    pub status: Status,
}

/// Why an entry is void.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Void {
    /// An entry of the same operation took effect before.
    Repeated,
    /// The volume exists.
    VolumeExists(Uuid),
    /// The session has committed.
    Committed(SessionId),
    /// A pack it uses is dead.
    Dead(Run),
    /// A base is neither live nor in trash.
    BaseGone(Uuid),
    /// The session began too many slots ago, or in the future.
    Began(u64),
    /// A backup of this id exists, or is named twice.
    BackupExists(Uuid),
    /// The backup is not in the state that the entry needs.
    NotThere(Uuid),
    /// A sweep or move took effect since the list was made.
    Outdated {
        /// The list's basis.
        basis: u64,
    },
    /// A pack of `from` is dead, named since, or in `to`.
    CannotMove,
    /// A segment is not current.
    NotCurrent(ObjectName),
    /// An `init` at another slot than 0, or something else there.
    Misplaced,
    /// Its MAC is of the role that may not append its kind.
    WrongRole,
    /// Its body breaks the rules of its kind.
    Malformed(String),
}

impl std::fmt::Display for Void {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Repeated => f.write_str("the operation took effect before"),
            Self::VolumeExists(id) => write!(f, "volume {id} is known already"),
            Self::Committed(session) => write!(f, "session {session} has committed before"),
            Self::Dead(run) => {
                write!(
                    f,
                    "packs {}..{} of session {} were collected in part",
                    run.from, run.to, run.session
                )
            }
            Self::BaseGone(id) => write!(f, "the base {id} is no longer protected"),
            Self::Began(slot) => write!(f, "the session began at slot {slot}, out of reach"),
            Self::BackupExists(id) => write!(f, "a backup {id} exists already"),
            Self::NotThere(id) => write!(f, "backup {id} is not in the state this needs"),
            Self::Outdated { basis } => {
                write!(
                    f,
                    "packs were collected since slot {basis}, when the list was made"
                )
            }
            Self::CannotMove => f.write_str("a pack to be moved is dead or was named since"),
            Self::NotCurrent(name) => write!(f, "index segment {name} is not current"),
            Self::Misplaced => f.write_str("an init entry belongs at slot 0 and nowhere else"),
            Self::WrongRole => f.write_str("it is not signed by the role its kind needs"),
            Self::Malformed(why) => write!(f, "its body cannot be read: {why}"),
        }
    }
}

/// What an entry did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It took effect.
    Counts,
    /// It did nothing.
    Void(Void),
    /// Its kind is of a later version: we may not write any more.
    Unknown(u8),
}

/// The state after the entries read so far.
#[derive(Debug, Clone, Default)]
pub struct Fold {
    slots: u64,
    volumes: BTreeMap<Uuid, VolumeRecord>,
    backups: BTreeMap<Uuid, Stored>,
    segments: Vec<ObjectName>,
    /// The same ones, to be looked up.
    current: HashSet<ObjectName>,
    dead: RunSet,
    warned: RunSet,
    /// Which packs commits and keeps named, in the order of slots; void ones count too.
    named: Vec<(u64, Vec<Run>)>,
    last_death: Option<u64>,
    committed: BTreeSet<SessionId>,
    ops: HashSet<Uuid>,
    strange: Option<(u64, String)>,
}

impl Fold {
    /// Slots read: the next entry stands at this slot.
    pub fn slots(&self) -> u64 {
        self.slots
    }

    /// The volumes.
    pub fn volumes(&self) -> impl Iterator<Item = &VolumeRecord> {
        self.volumes.values()
    }

    /// Whether the volume exists.
    pub fn has_volume(&self, id: Uuid) -> bool {
        self.volumes.contains_key(&id)
    }

    /// Every backup there ever was, with where it stands.
    pub fn all_backups(&self) -> impl Iterator<Item = &Stored> {
        self.backups.values()
    }

    /// A backup of this id, wherever it stands.
    pub fn backup(&self, id: Uuid) -> Option<&Stored> {
        self.backups.get(&id)
    }

    /// Current segments, in the order in which they became so.
    pub fn segments(&self) -> &[ObjectName] {
        &self.segments
    }

    /// Whether this session has published what it made.
    pub fn has_committed(&self, session: SessionId) -> bool {
        self.committed.contains(&session)
    }

    /// Dead packs.
    pub fn dead(&self) -> &RunSet {
        &self.dead
    }

    /// Warned packs.
    pub fn warned(&self) -> &RunSet {
        &self.warned
    }

    /// Whether this operation took effect.
    pub fn has_op(&self, op: Uuid) -> bool {
        self.ops.contains(&op)
    }

    /// The first slot that this version does not understand, and why; it must not write then.
    pub fn strange(&self) -> Option<(u64, &str)> {
        self.strange
            .as_ref()
            .map(|(slot, why)| (*slot, why.as_str()))
    }

    /// Whether the backup still protects its chunks.
    pub fn is_protected(&self, id: Uuid) -> bool {
        self.backups
            .get(&id)
            .is_some_and(|stored| stored.status != Status::Gone)
    }

    /// Applies the entry at the next slot.
    pub fn apply(&mut self, entry: &Entry) -> Verdict {
        let n = self.slots;
        assert_eq!(entry.slot, n, "entries are folded in order, none left out");
        self.slots += 1;
        let verdict = match &entry.body {
            Ok(body) => self.take(body, entry.op, n),
            Err(Unreadable::UnknownKind(kind)) => {
                let why = format!("an entry of kind {kind} at log slot {n}, of a later version");
                self.strange.get_or_insert((n, why));
                Verdict::Unknown(*kind)
            }
            // Format 1 says for good what becomes of these: nothing newer can be meant.
            Err(Unreadable::WrongRole) => Verdict::Void(Void::WrongRole),
            Err(Unreadable::Malformed(why)) => {
                let text = format!("the entry at log slot {n}, whose body cannot be read ({why})");
                self.strange.get_or_insert((n, text));
                Verdict::Void(Void::Malformed(why.clone()))
            }
        };
        self.note_names(entry, n);
        verdict
    }

    fn take(&mut self, body: &Body, op: Uuid, n: u64) -> Verdict {
        if let Err(void) = self.judge(body, op, n) {
            return Verdict::Void(void);
        }
        self.effect(body, op, n);
        self.ops.insert(op);
        Verdict::Counts
    }

    /// A commit or keep spares what it names even if it is void.
    fn note_names(&mut self, entry: &Entry, n: u64) {
        match &entry.body {
            Ok(Body::Commit(commit)) => self.named.push((n, commit.uses.clone())),
            Ok(Body::Keep(keep)) => self.named.push((n, vec![whole(keep.session)])),
            _ => {}
        }
    }

    /// Whether this would take effect at slot `n`, which must be the next one.
    pub fn judge(&self, body: &Body, op: Uuid, n: u64) -> Result<(), Void> {
        if self.ops.contains(&op) {
            return Err(Void::Repeated);
        }
        if matches!(body, Body::Init(_)) != (n == 0) {
            return Err(Void::Misplaced);
        }
        match body {
            Body::Volume(volume) if self.has_volume(volume.id) => {
                Err(Void::VolumeExists(volume.id))
            }
            Body::Init(_) | Body::Volume(_) | Body::Keep(_) | Body::Forget(_) => Ok(()),
            Body::Commit(commit) => self.judge_commit(commit, n),
            Body::Delete(list) => self.all_in(&list.backups, Status::Live),
            Body::Undelete(list) => self.all_in(&list.backups, Status::Trash),
            Body::Warn(list) => from_the_past(list.basis, n),
            Body::Sweep(list) => {
                from_the_past(list.basis, n)?;
                self.no_death_since(list.basis)
            }
            Body::Move(moved) => self.judge_move(moved, n),
            Body::Compact(compact) => {
                let stale = compact.old.iter().find(|old| !self.current.contains(old));
                stale.map_or(Ok(()), |name| Err(Void::NotCurrent(*name)))
            }
        }
    }

    fn judge_commit(&self, commit: &Commit, n: u64) -> Result<(), Void> {
        if self.committed.contains(&commit.session) {
            return Err(Void::Committed(commit.session));
        }
        if commit.began > n || n - commit.began > MAX_AGE {
            return Err(Void::Began(commit.began));
        }
        if let Some(run) = commit.uses.iter().find(|run| self.dead.touches(**run)) {
            return Err(Void::Dead(*run));
        }
        let mut ids = BTreeSet::new();
        for backup in &commit.backups {
            if let Some(base) = backup.base.filter(|base| !self.is_protected(*base)) {
                return Err(Void::BaseGone(base));
            }
            if self.backups.contains_key(&backup.id) || !ids.insert(backup.id) {
                return Err(Void::BackupExists(backup.id));
            }
        }
        Ok(())
    }

    fn judge_move(&self, moved: &Move, n: u64) -> Result<(), Void> {
        from_the_past(moved.basis, n)?;
        self.no_death_since(moved.basis)?;
        let (from, to) = (RunSet::of(&moved.from), RunSet::of(&moved.to));
        let condemned = self.dead.intersects(&from) || self.dead.intersects(&to);
        if condemned || from.intersects(&to) || from.intersects(&self.named_since(moved.basis)) {
            return Err(Void::CannotMove);
        }
        Ok(())
    }

    fn all_in(&self, ids: &[Uuid], status: Status) -> Result<(), Void> {
        let is = |id: &&Uuid| {
            self.backups
                .get(*id)
                .is_none_or(|stored| stored.status != status)
        };
        ids.iter()
            .find(is)
            .map_or(Ok(()), |id| Err(Void::NotThere(*id)))
    }

    fn no_death_since(&self, basis: u64) -> Result<(), Void> {
        match self.last_death {
            Some(slot) if slot >= basis => Err(Void::Outdated { basis }),
            _ => Ok(()),
        }
    }

    /// What commits and keeps at slots `basis ..` named.
    fn named_since(&self, basis: u64) -> RunSet {
        let first = self.named.partition_point(|(slot, _)| *slot < basis);
        let mut set = RunSet::default();
        self.named
            .iter()
            .skip(first)
            .for_each(|(_, runs)| set.insert_all(runs));
        set
    }

    /// What an entry that counts does.
    fn effect(&mut self, body: &Body, op: Uuid, n: u64) {
        match body {
            Body::Init(_) => {}
            Body::Volume(volume) => {
                let record = VolumeRecord {
                    id: volume.id,
                    name: volume.name.clone(),
                };
                self.volumes.insert(volume.id, record);
            }
            Body::Commit(commit) => self.commit(commit, op, n),
            Body::Delete(list) => self.set_status(&list.backups, Status::Live, Status::Trash),
            Body::Undelete(list) => self.set_status(&list.backups, Status::Trash, Status::Live),
            Body::Forget(list) => self.set_status(&list.backups, Status::Trash, Status::Gone),
            Body::Keep(keep) => self.warned.remove_session(keep.session),
            Body::Warn(list) => self.warn(list),
            Body::Sweep(list) => self.sweep(list, n),
            Body::Move(moved) => {
                let from = RunSet::of(&moved.from);
                self.kill(&from, n);
                self.make_current(&moved.segments);
            }
            Body::Compact(compact) => {
                for old in &compact.old {
                    self.current.remove(old);
                }
                self.segments.retain(|name| self.current.contains(name));
                self.make_current(&compact.new);
            }
        }
    }

    fn commit(&mut self, commit: &Commit, op: Uuid, n: u64) {
        self.committed.insert(commit.session);
        self.warned.subtract(&RunSet::of(&commit.uses));
        self.make_current(&commit.segments);
        for backup in &commit.backups {
            let stored = Stored {
                record: backup.record(op, n),
                status: Status::Live,
            };
            self.backups.insert(backup.id, stored);
        }
    }

    fn warn(&mut self, list: &Listed) {
        let mut packs = RunSet::of(&list.packs);
        packs.subtract(&self.named_since(list.basis));
        packs.subtract(&self.dead);
        self.warned.add(&packs);
    }

    fn sweep(&mut self, list: &Listed, n: u64) {
        let mut packs = RunSet::of(&list.packs).intersection(&self.warned);
        packs.subtract(&self.named_since(list.basis));
        self.kill(&packs, n);
    }

    fn kill(&mut self, packs: &RunSet, n: u64) {
        self.dead.add(packs);
        self.warned.subtract(packs);
        self.last_death = Some(n);
    }

    fn make_current(&mut self, names: &[ObjectName]) {
        for name in names {
            if self.current.insert(*name) {
                self.segments.push(*name);
            }
        }
    }

    fn set_status(&mut self, ids: &[Uuid], from: Status, to: Status) {
        for id in ids {
            if let Some(stored) = self
                .backups
                .get_mut(id)
                .filter(|stored| stored.status == from)
            {
                stored.status = to;
            }
        }
    }
}

fn from_the_past(basis: u64, n: u64) -> Result<(), Void> {
    if basis > n {
        Err(Void::Outdated { basis })
    } else {
        Ok(())
    }
}

/// Every pack a session can have.
fn whole(session: SessionId) -> Run {
    Run {
        session,
        from: 0,
        to: u32::MAX,
    }
}

#[cfg(test)]
mod tests;
