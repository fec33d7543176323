//! Records to test with, and the whole of a catalog as one value.

use std::path::{Path, PathBuf};

use convoy_units::{Bytes, DataBlockSize, DevId, TransactionId};
use jiff::Timestamp;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    Catalog, Change, Destination, Intent, KnownBackup, Mount, Pin, Pool, Snapshot, SnapshotState,
    Suspect, Volume, VolumeState,
};

/// A catalog in a directory of its own, with one pool.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) catalog: Catalog,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let catalog = Catalog::open(&directory.path().join("catalog.db")).unwrap();
        catalog.apply(&[Change::PutPool(pool())]).unwrap();
        Self { directory, catalog }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("catalog.db")
    }
}

pub(crate) fn uuid(n: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

pub(crate) const POOL: u64 = 1;

pub(crate) fn created() -> Timestamp {
    "2026-11-22T10:11:12.123456789Z".parse().unwrap()
}

pub(crate) fn pool() -> Pool {
    Pool {
        uuid: uuid(POOL),
        name: "convoy-pool".parse().unwrap(),
        driver: "devicemapper".to_owned(),
        data: "/dev/disk/by-id/data".into(),
        metadata: "/dev/disk/by-id/metadata".into(),
        loop_backed: false,
        block_size: DataBlockSize::DEFAULT,
        default_volume_size: Bytes::gib(100),
        filesystem: "ext4".to_owned(),
        transaction: TransactionId(0),
        data_size: Bytes::gib(100),
        metadata_size: Bytes::gib(1),
        initialised: true,
        created: created(),
    }
}

pub(crate) fn dev_id(n: u64) -> DevId {
    DevId::new(n).unwrap()
}

pub(crate) fn volume(n: u64) -> Volume {
    Volume {
        uuid: uuid(1000 + n),
        pool: uuid(POOL),
        name: format!("volume-{n}").parse().unwrap(),
        dev_id: dev_id(n),
        size: Bytes::gib(n),
        filesystem: "ext4".to_owned(),
        state: VolumeState::Ready,
        created: created(),
        labels: [("key".to_owned(), "välue \"quoted\"\n".to_owned())].into(),
        owner: None,
        group: Some("group".to_owned()),
        restored_from: Some("vfs:///b?backup=x&volume=y".to_owned()),
        op: uuid(9),
    }
}

pub(crate) fn snapshot(n: u64, of: u64) -> Snapshot {
    Snapshot {
        uuid: uuid(2000 + n),
        volume: uuid(1000 + of),
        pool: uuid(POOL),
        name: format!("snapshot-{n}").parse().unwrap(),
        dev_id: dev_id(n),
        size: Bytes(512),
        state: SnapshotState::Ready,
        created: created(),
        labels: [].into(),
        op: uuid(9),
        hold_micros: Some(1234),
    }
}

pub(crate) fn mount(of: u64) -> Mount {
    Mount {
        volume: uuid(1000 + of),
        target: "/mnt/with blank".into(),
        wanted: true,
        boot: "boot".to_owned(),
        created: created(),
    }
}

pub(crate) fn suspect(of: u64, why: &str) -> Suspect {
    Suspect {
        volume: uuid(1000 + of),
        why: why.to_owned(),
        since: created(),
    }
}

pub(crate) fn destination(name: Option<&str>) -> Destination {
    Destination {
        name: name.map(|name| name.parse().unwrap()),
        url: "vfs:///backup".to_owned(),
        repository: uuid(7),
        created: created(),
    }
}

pub(crate) fn backup(n: u64, of: u64) -> KnownBackup {
    KnownBackup {
        backup: uuid(3000 + n),
        name: format!("backup-{n:016x}"),
        repository: uuid(7),
        volume: uuid(1000 + of),
        snapshot: uuid(2000 + n),
        created: created(),
    }
}

pub(crate) fn pin(snapshot: u64, op: u64) -> Pin {
    Pin {
        snapshot: uuid(2000 + snapshot),
        op: uuid(op),
        why: "backup".to_owned(),
    }
}

/// Everything a catalog says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) pools: Vec<Pool>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) snapshots: Vec<Snapshot>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) suspects: Vec<Suspect>,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) intents: Vec<Intent>,
}

impl State {
    pub(crate) fn of(catalog: &Catalog) -> Self {
        Self {
            pools: catalog.pools().unwrap(),
            volumes: catalog.volumes().unwrap(),
            snapshots: catalog.snapshots().unwrap(),
            mounts: catalog.mounts().unwrap(),
            suspects: catalog.suspects().unwrap(),
            destinations: catalog.destinations().unwrap(),
            pins: catalog.pins().unwrap(),
            intents: catalog.pending_intents().unwrap(),
        }
    }

    /// What a catalog would say that is opened from a copy of these files.
    pub(crate) fn at(path: &Path) -> Self {
        Self::of(&Catalog::open(path).unwrap())
    }
}
