//! The doctor over files, with no kernel: every disagreement is told by its word, nothing that was there is
//! changed, and what is fixed is well after it.

use super::*;
use convoy_catalog::{Action, NewIntent};
use convoy_catalog::{Catalog, Change, Pool, Snapshot, SnapshotState, Volume, VolumeState};
use convoy_testkit::thin::{ImageOptions, PoolModel};
use convoy_units::{Bytes, DataBlockSize, DevId, Sectors, TransactionId};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tempfile::TempDir;
use uuid::Uuid;

mod catalogs;
mod metadata;
mod pools;

/// The unit of sharing in these pools: 64 KiB.
const BLOCK: u64 = 128 * 512;
/// Blocks of their data files.
const BLOCKS: u64 = 256;

/// A root with a catalog, and a pool in files that agrees with it.
struct World {
    directory: TempDir,
    model: PoolModel,
    needs_check: bool,
}

fn uuid(n: u32) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(n))
}

fn id(n: u32) -> DevId {
    DevId::new(u64::from(n)).unwrap()
}

fn block_size() -> DataBlockSize {
    DataBlockSize::new(Sectors(128)).unwrap()
}

fn volume(n: u32, name: &str) -> Volume {
    Volume {
        uuid: uuid(n),
        pool: uuid(1000),
        name: name.parse().unwrap(),
        dev_id: id(n),
        size: Bytes(16 * BLOCK),
        filesystem: "ext4".to_owned(),
        state: VolumeState::Ready,
        created: "2026-11-22T10:11:12Z".parse().unwrap(),
        labels: BTreeMap::new(),
        owner: None,
        group: None,
        restored_from: None,
        op: uuid(2000),
    }
}

fn snapshot(n: u32, of: u32, name: &str) -> Snapshot {
    Snapshot {
        uuid: uuid(n),
        volume: uuid(of),
        pool: uuid(1000),
        name: name.parse().unwrap(),
        dev_id: id(n),
        size: Bytes(16 * BLOCK),
        state: SnapshotState::Ready,
        created: "2026-11-22T10:11:12Z".parse().unwrap(),
        labels: BTreeMap::new(),
        op: uuid(2000),
        hold_micros: None,
    }
}

impl World {
    /// A pool at transaction 3: volumes 1 (`web`) and 2 (`db`), and 3, a snapshot of 1 (`nightly`).
    fn new() -> Self {
        let mut world = Self {
            directory: TempDir::new().unwrap(),
            model: PoolModel::new(BLOCKS, 252),
            needs_check: false,
        };
        fs::create_dir_all(world.root().join("devicemapper")).unwrap();
        let catalog = world.catalog();
        catalog.apply(&[Change::PutPool(world.record())]).unwrap();
        world.make_volume(1, "web");
        world.make_volume(2, "db");
        world.make_snapshot(3, 1, "nightly");
        drop(catalog);
        world.write_pool();
        world
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    fn metadata(&self) -> PathBuf {
        self.path("devicemapper/metadata.img")
    }

    fn data(&self) -> PathBuf {
        self.path("devicemapper/data.img")
    }

    fn catalog(&self) -> Catalog {
        Catalog::open(&self.path("catalog.db")).unwrap()
    }

    fn record(&self) -> Pool {
        Pool {
            uuid: uuid(1000),
            name: "convoy-pool".parse().unwrap(),
            driver: "devicemapper".to_owned(),
            data: self.data(),
            metadata: self.metadata(),
            loop_backed: true,
            block_size: block_size(),
            default_volume_size: Bytes::gib(1),
            filesystem: "ext4".to_owned(),
            transaction: TransactionId(0),
            data_size: Bytes(BLOCKS * BLOCK),
            metadata_size: Bytes(4 << 20),
            initialised: true,
            created: "2026-11-22T10:11:12Z".parse().unwrap(),
        }
    }

    /// In pool and catalog, one transaction, with a filesystem.
    fn make_volume(&mut self, n: u32, name: &str) {
        self.transaction(Change::PutVolume(volume(n, name)), n);
        assert!(self.model.create_thin(n));
        for thin in 0..4 {
            assert!(self.model.write(n, thin));
        }
        self.write_filesystem(n, uuid(n), "");
    }

    fn make_snapshot(&mut self, n: u32, of: u32, name: &str) {
        self.transaction(Change::PutSnapshot(snapshot(n, of, name)), n);
        assert!(self.model.create_snap(n, of));
        // The origin goes on, so that the two do not share their first block.
        self.model.write(of, 0);
        self.write_filesystem(of, uuid(of), "");
        self.write_filesystem(n, uuid(of), "");
    }

    fn delete(&mut self, n: u32, change: Change) {
        self.transaction(change, n);
        assert!(self.model.delete(n));
    }

    fn transaction(&mut self, change: Change, n: u32) {
        let catalog = self.catalog();
        let plan = NewIntent {
            pool: uuid(1000),
            op: uuid(2000),
            verb: "test".to_owned(),
            actions: vec![Action::CreateThin { dev_id: id(n) }],
        };
        let intent = catalog.begin(&plan, &[]).unwrap();
        catalog.complete(&intent, &[change]).unwrap();
        self.model.transaction += 1;
    }

    /// What mkfs leaves in a device's first block, as far as anybody here looks.
    fn write_filesystem(&self, n: u32, uuid: Uuid, label: &str) {
        let mut head = [0; 4096];
        head[1024 + 0x38..][..2].copy_from_slice(&[0x53, 0xef]);
        head[1024 + 0x04..][..4].copy_from_slice(&256_u32.to_le_bytes());
        head[1024 + 0x18..][..4].copy_from_slice(&2_u32.to_le_bytes());
        head[1024 + 0x68..][..16].copy_from_slice(uuid.as_bytes());
        head[1024 + 0x78..][..label.len()].copy_from_slice(label.as_bytes());
        let (block, _) = self.model.device(n).map()[&0];
        let file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.data())
            .unwrap();
        file.set_len(BLOCKS * BLOCK).unwrap();
        file.write_all_at(&head, block * BLOCK).unwrap();
    }

    /// Writes the model as the pool's metadata.
    fn write_pool(&self) {
        let options = ImageOptions {
            needs_check: self.needs_check,
            ..ImageOptions::default()
        };
        fs::write(self.metadata(), self.model.image(options).bytes).unwrap();
    }

    fn patient(&self) -> Patient {
        Patient {
            root: self.root(),
            pool: PoolConfig::default(),
        }
    }

    #[track_caller]
    fn diagnosis(&self) -> Diagnosis {
        let before = self.contents();
        let diagnosis = diagnose(&self.patient(), &instruments()).unwrap();
        assert!(self.contents() == before, "a look changed something");
        diagnosis
    }

    /// The words of what is found.
    #[track_caller]
    fn codes(&self) -> Vec<&'static str> {
        let diagnosis = self.diagnosis();
        diagnosis
            .findings
            .iter()
            .map(|finding| finding.code.as_str())
            .collect()
    }

    #[track_caller]
    fn fix(&self, remedy: &Remedy) -> Diagnosis {
        let pool = self.pool_contents();
        let before = self.contents();
        let diagnosis = match fix(&self.patient(), remedy, &instruments()) {
            Ok(diagnosis) => diagnosis,
            Err(error) => panic!("{}", convoy_fault::chain(&error)),
        };
        assert!(self.pool_contents() == pool, "the pool was changed");
        self.all_is_kept(&before);
        diagnosis
    }

    /// It must refuse, and change nothing.
    #[track_caller]
    fn refuses_to_fix(&self, remedy: &Remedy, words: &str) {
        let before = self.contents();
        let error = fix(&self.patient(), remedy, &instruments()).unwrap_err();
        let text = convoy_fault::chain(&error);
        assert!(text.contains(words), "no {words:?} in {text:?}");
        assert!(self.contents() == before, "{text}, and something changed");
    }

    fn pool_contents(&self) -> [Option<Vec<u8>>; 2] {
        [self.metadata(), self.data()].map(|file| fs::read(file).ok())
    }

    /// Every file of the root but the lock, and `SQLite`'s index of a log, which holds nothing.
    fn contents(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.root()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("lock") && !path.ends_with("catalog.db-shm") {
                    found.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        found
    }

    /// Whatever was a catalog is there still, under some name.
    #[track_caller]
    fn all_is_kept(&self, before: &BTreeMap<PathBuf, Vec<u8>>) {
        let now: Vec<Vec<u8>> = self.contents().into_values().collect();
        for (path, bytes) in before {
            assert!(now.contains(bytes), "{} is gone", path.display());
        }
    }

    fn names(&self) -> (Vec<String>, Vec<String>) {
        let catalog = self.catalog();
        let volumes = catalog.volumes().unwrap().into_iter();
        let snapshots = catalog.snapshots().unwrap().into_iter();
        let mut names = (
            volumes
                .map(|v| format!("{} {}", v.dev_id, v.name))
                .collect::<Vec<_>>(),
            snapshots
                .map(|s| format!("{} {}", s.dev_id, s.name))
                .collect::<Vec<_>>(),
        );
        names.0.sort();
        names.1.sort();
        names
    }

    #[track_caller]
    fn has(&self, volumes: &[&str], snapshots: &[&str]) {
        let names = self.names();
        assert_eq!((names.0, names.1), (owned(volumes), owned(snapshots)));
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn instruments() -> Instruments {
    Instruments {
        control: None,
        machine: Arc::new(Host),
    }
}

fn accepting() -> Remedy {
    Remedy {
        accept_loss: true,
        ..Remedy::default()
    }
}

#[track_caller]
fn is_well(diagnosis: &Diagnosis) {
    assert!(diagnosis.is_well(), "{:#?}", diagnosis.findings);
}

#[test]
fn what_agrees_is_well() {
    let world = World::new();
    assert_eq!(world.codes(), [""; 0]);
    let diagnosis = world.fix(&Remedy::default());
    assert_eq!(diagnosis.fixed, ["nothing else had to be changed"]);
    let pool = diagnosis.pool.unwrap();
    assert_eq!(
        (pool.transaction, pool.thin_devices),
        (Some(TransactionId(3)), Some(3))
    );
}

#[test]
fn a_root_that_is_served_answers_itself() {
    let world = World::new();
    let _engine = Root::lock(&world.root()).unwrap();
    let error = diagnose(&world.patient(), &instruments()).unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
}

#[test]
fn no_root_is_made() {
    let directory = TempDir::new().unwrap();
    let patient = Patient {
        root: directory.path().join("nowhere"),
        pool: PoolConfig::default(),
    };
    let error = diagnose(&patient, &instruments()).unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(!Path::new(&patient.root).exists());
}
