//! The bodies of log entries: JSON, read within limits (format §5.1, §5.2).
//!
//! Unknown fields are ignored. A body that does not fit is reported as such, and the fold makes it void.

use crate::id::{BlobId, FullHash, SessionId};
use crate::json;
use crate::pack::ObjectName;
use crate::record::{BackupFigures, BackupRecord, PoolFacts, SnapshotFacts, VolumeRecord};
use crate::run_set::Run;
use convoy_units::Bytes;
use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each kind is a row of the table in the format document, §5.1"
)]
pub enum Body {
    Init(Init),
    Volume(Volume),
    Commit(Commit),
    Delete(Backups),
    Undelete(Backups),
    Keep(Keep),
    Forget(Backups),
    Warn(Listed),
    Sweep(Listed),
    Move(Move),
    Compact(Compact),
}

/// Entry 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Init {
    /// The repository's id.
    #[serde(deserialize_with = "json::uuid")]
    pub repository: Uuid,
    /// The hash of the `config` object.
    pub config: FullHash,
}

/// A volume exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its identity.
    #[serde(deserialize_with = "json::uuid")]
    pub id: Uuid,
    /// Its name when it was first backed up; information.
    #[serde(default, deserialize_with = "json::information")]
    pub name: String,
    /// When it was created; information.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "json::information"
    )]
    pub created: Option<Timestamp>,
}

/// Backups become live.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Commit {
    /// Whose.
    pub session: SessionId,
    /// Slots read when the session began.
    pub began: u64,
    /// The backups.
    #[serde(deserialize_with = "json::objects")]
    pub backups: Vec<WireBackup>,
    /// Own packs and every pack with a reused blob.
    pub uses: Vec<Run>,
    /// Segments that become current.
    pub segments: Vec<ObjectName>,
}

/// `delete`, `undelete`, `forget`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backups {
    /// Which.
    #[serde(deserialize_with = "json::uuids")]
    pub backups: Vec<Uuid>,
}

/// `keep`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// Whose packs.
    pub session: SessionId,
}

/// `warn`, `sweep`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Which packs.
    pub packs: Vec<Run>,
    /// Slots read when the list was made.
    pub basis: u64,
}

/// `move`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Packs that die.
    pub from: Vec<Run>,
    /// Packs that hold the copies.
    pub to: Vec<Run>,
    /// Segments that become current.
    pub segments: Vec<ObjectName>,
    /// Slots read when the list was made.
    pub basis: u64,
}

/// `compact`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compact {
    /// Segments that are replaced.
    pub old: Vec<ObjectName>,
    /// By these.
    pub new: Vec<ObjectName>,
}

/// A backup as a commit entry has it: `BackupRecord` without what the envelope says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "each field is a row of the table in the format document, §5.2"
)]
pub struct WireBackup {
    #[serde(deserialize_with = "json::uuid")]
    pub id: Uuid,
    pub name: String,
    #[serde(deserialize_with = "json::uuid")]
    pub volume: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub volume_name: String,
    pub size: u64,
    #[serde(deserialize_with = "json::nullable")]
    pub root: Option<BlobId>,
    #[serde(deserialize_with = "json::nullable_uuid")]
    pub base: Option<Uuid>,
    #[serde(default, deserialize_with = "json::information")]
    pub snapshot: WireSnapshot,
    #[serde(default, deserialize_with = "json::information")]
    pub created: Timestamp,
    #[serde(default, deserialize_with = "json::information")]
    pub volume_created: Timestamp,
    #[serde(default, deserialize_with = "json::information")]
    pub filesystem: String,
    #[serde(default, deserialize_with = "json::information")]
    pub driver: String,
    #[serde(default, deserialize_with = "json::information")]
    pub host: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub pool: WirePool,
    #[serde(default, deserialize_with = "json::information")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "json::information")]
    pub owner: Option<String>,
    #[serde(default, deserialize_with = "json::information")]
    pub group: Option<String>,
    #[serde(default, deserialize_with = "json::information")]
    pub changed_bytes: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub read_bytes: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub new_bytes: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub stored_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see WireBackup")]
pub struct WireSnapshot {
    #[serde(default, deserialize_with = "json::information")]
    pub id: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub name: String,
    #[serde(default, deserialize_with = "json::information")]
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see WireBackup")]
pub struct WirePool {
    #[serde(default, deserialize_with = "json::information")]
    pub id: Uuid,
    #[serde(default, deserialize_with = "json::information")]
    pub dev_id: u32,
    #[serde(default, deserialize_with = "json::information")]
    pub transaction: u64,
    #[serde(default, deserialize_with = "json::information")]
    pub block_size: u64,
}

/// Why a body cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The kind is of a later version.
    UnknownKind(u8),
    /// The kind is known, the body breaks its rules.
    Malformed(String),
    /// The kind is known and needs the MAC of the other role: void, and nothing more.
    WrongRole,
}

impl Body {
    /// The kind's byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Init(_) => 1,
            Self::Volume(_) => 2,
            Self::Commit(_) => 3,
            Self::Delete(_) => 4,
            Self::Undelete(_) => 5,
            Self::Keep(_) => 6,
            Self::Forget(_) => 16,
            Self::Warn(_) => 17,
            Self::Sweep(_) => 18,
            Self::Move(_) => 19,
            Self::Compact(_) => 20,
        }
    }

    /// Whether the kind needs the collector's key.
    pub fn is_collector(&self) -> bool {
        is_collector(self.kind())
    }

    /// The JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Self::Init(body) => serde_json::to_vec(body),
            Self::Volume(body) => serde_json::to_vec(body),
            Self::Commit(body) => serde_json::to_vec(body),
            Self::Delete(body) | Self::Undelete(body) | Self::Forget(body) => {
                serde_json::to_vec(body)
            }
            Self::Keep(body) => serde_json::to_vec(body),
            Self::Warn(body) | Self::Sweep(body) => serde_json::to_vec(body),
            Self::Move(body) => serde_json::to_vec(body),
            Self::Compact(body) => serde_json::to_vec(body),
        };
        json.expect("strings, numbers and lists always have a JSON form")
    }

    /// From an entry's kind and body.
    pub fn parse(kind: u8, json: &[u8]) -> Result<Self, Unreadable> {
        match kind {
            1 => read(json).map(Self::Init),
            2 => read(json).map(Self::Volume),
            3 => read(json).and_then(check_commit).map(Self::Commit),
            4 => read(json).map(Self::Delete),
            5 => read(json).map(Self::Undelete),
            6 => read(json).map(Self::Keep),
            16 => read(json).map(Self::Forget),
            17 => read(json).map(Self::Warn),
            18 => read(json).map(Self::Sweep),
            19 => read(json).map(Self::Move),
            20 => read(json).map(Self::Compact),
            _ => Err(Unreadable::UnknownKind(kind)),
        }
    }
}

/// Whether format 1 has this kind.
pub(crate) const fn is_known(kind: u8) -> bool {
    matches!(kind, 1..=6 | 16..=20)
}

/// Whether entries of this kind are the collector's.
pub(crate) const fn is_collector(kind: u8) -> bool {
    matches!(kind, 16..=31)
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Unreadable> {
    json::read(text).map_err(Unreadable::Malformed)
}

fn check_commit(commit: Commit) -> Result<Commit, Unreadable> {
    let broken = commit.backups.iter().find_map(WireBackup::broken_rule);
    match broken {
        Some(rule) => Err(Unreadable::Malformed(rule.to_owned())),
        None => Ok(commit),
    }
}

impl WireBackup {
    /// The rule of format §5.2 that makes its commit malformed, if it breaks one.
    fn broken_rule(&self) -> Option<&'static str> {
        if self.size == 0 || self.size >= 1 << 63 {
            return Some("a volume has 1 to 2^63 - 1 bytes");
        }
        (!is_backup_name(&self.name)).then_some("a backup's name is `backup-` and 16 hex digits")
    }

    /// What a writer may not write: the rules, and the limits of what readers take for information.
    pub(crate) fn broken_limit(&self) -> Option<&'static str> {
        let fits = |text: &String| text.len() <= 256;
        let fit = self
            .labels
            .iter()
            .all(|(key, value)| fits(key) && fits(value));
        let many = self.labels.len() > 64 || !fit;
        self.broken_rule()
            .or(many.then_some("there are at most 64 labels, keys and values of at most 256 bytes"))
    }

    /// With what the envelope says.
    pub fn record(&self, op: Uuid, slot: u64) -> BackupRecord {
        BackupRecord {
            id: self.id,
            name: self.name.clone(),
            op,
            volume: VolumeRecord {
                id: self.volume,
                name: self.volume_name.clone(),
            },
            volume_size: Bytes(self.size),
            volume_created: self.volume_created,
            snapshot: SnapshotFacts {
                id: self.snapshot.id,
                name: self.snapshot.name.clone(),
                created: self.snapshot.created,
            },
            filesystem: self.filesystem.clone(),
            driver: self.driver.clone(),
            host: self.host,
            pool: PoolFacts {
                id: self.pool.id,
                dev_id: self.pool.dev_id,
                transaction: self.pool.transaction,
                block_size: Bytes(self.pool.block_size),
            },
            base: self.base,
            root: self.root,
            created: self.created,
            labels: self.labels.clone(),
            owner: self.owner.clone(),
            group: self.group.clone(),
            figures: BackupFigures {
                changed: Bytes(self.changed_bytes),
                read: Bytes(self.read_bytes),
                new: Bytes(self.new_bytes),
                stored: Bytes(self.stored_bytes),
            },
            slot,
        }
    }
}

fn is_backup_name(name: &str) -> bool {
    name.strip_prefix("backup-")
        .is_some_and(|hex| crate::id::from_hex::<8>(hex).is_some())
}

macro_rules! as_text {
    ($($type:ty, $parse:expr, $what:literal;)*) => { $(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).ok_or_else(|| D::Error::custom(concat!("not ", $what)))
            }
        }
    )* };
}

as_text! {
    SessionId, SessionId::parse, "a session of 32 hex digits";
    BlobId, BlobId::parse, "an id of 64 hex digits";
    FullHash, FullHash::parse, "a hash of 64 hex digits";
    ObjectName, ObjectName::parse, "a name of session, number and hash";
}

impl Serialize for Run {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.session, self.from, self.to).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Run {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (session, from, to) = <(SessionId, u32, u32)>::deserialize(deserializer)?;
        if from >= to {
            return Err(D::Error::custom("an empty run of packs"));
        }
        Ok(Self { session, from, to })
    }
}

#[cfg(test)]
mod tests {
    //! Which fields decide, and which never do.

    use super::*;
    use serde_json::{Value, json};

    fn sample() -> Value {
        let id = Uuid::from_bytes([0xab; 16]);
        json!({
            "session": "44".repeat(16), "began": 0, "uses": [["44".repeat(16), 0, 2]], "segments": [],
            "backups": [{
                "id": id, "name": "backup-0123456789abcdef", "volume": id, "size": 4096, "root": null, "base": null,
                "volume_name": "v", "snapshot": {"id": id, "name": "s", "created": "2026-11-22T12:00:00Z"},
                "created": "2026-11-22T12:00:00Z", "volume_created": "2026-11-22T12:00:00Z", "filesystem": "ext4",
                "driver": "devicemapper", "host": id, "labels": {"a": "b"},
                "pool": {"id": id, "dev_id": 1, "transaction": 2, "block_size": 65536},
                "changed_bytes": 1, "read_bytes": 2, "new_bytes": 3, "stored_bytes": 4,
            }],
        })
    }

    fn parse(value: &Value) -> Option<Commit> {
        match Body::parse(3, value.to_string().as_bytes()) {
            Ok(Body::Commit(commit)) => Some(commit),
            _ => None,
        }
    }

    const DECIDE: [&str; 6] = ["id", "name", "volume", "size", "root", "base"];

    #[test]
    fn information_never_decides() {
        let whole = parse(&sample()).unwrap();
        assert_eq!(whole.backups[0].labels["a"], "b");
        let names: Vec<String> = sample()["backups"][0]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        for name in names {
            let mut absent = sample();
            absent["backups"][0].as_object_mut().unwrap().remove(&name);
            let mut wrong = sample();
            wrong["backups"][0][&name] = json!([true]);
            let decides = DECIDE.contains(&name.as_str());
            assert_eq!(parse(&absent).is_none(), decides, "{name} absent");
            assert_eq!(parse(&wrong).is_none(), decides, "{name} of a wrong type");
        }
        let mut late = sample();
        late["backups"][0]["created"] = json!("tomorrow");
        late["backups"][0]["labels"] = json!({"long": "x".repeat(300)});
        assert!(parse(&late).is_some());
    }

    #[test]
    fn what_decides_is_strict() {
        let long = "44".repeat(16);
        for (pointer, value) in [
            ("/session", json!("AB".repeat(16))),
            ("/began", json!(-1)),
            ("/backups", json!([[1, 2]])),
            (
                "/backups/0/id",
                json!("ABABABAB-abab-abab-abab-abababababab"),
            ),
            ("/backups/0/id", json!("abababababababababababababababab")),
            ("/backups/0/base", json!("")),
            ("/backups/0/name", json!("backup-0123456789ABCDEF")),
            ("/backups/0/size", json!(0)),
            ("/backups/0/size", json!(1_u64 << 63)),
            ("/backups/0/root", json!("00")),
            ("/uses/0", json!([long, 1, 1])),
            ("/uses/0", json!([long, 0, 1_u64 << 32])),
            ("/uses/0", json!([long, 0, 1, 2])),
            ("/segments", json!(["x"])),
        ] {
            let mut body = sample();
            *body.pointer_mut(pointer).unwrap() = value;
            assert_eq!(parse(&body), None, "{pointer}");
        }
    }
}
