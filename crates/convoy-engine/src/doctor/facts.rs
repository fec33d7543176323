//! What there is: the catalog and its copies, and the pool as its metadata and its data device tell.
//!
//! Every part that cannot be read is kept as why not; nothing stops the look at the others.

use super::filesystem::{self, Filesystem, HEAD};
use crate::config::PoolConfig;
use crate::error::Error;
use crate::machine::Machine;
use crate::read_only::observe;
use convoy_catalog as catalog;
use convoy_catalog::{Catalog, Intent, Mount, Pin, Snapshot, Volume};
use convoy_thin_metadata::{
    BlockSource, CheckOptions, CheckReport, DeviceDetails, Mended, SuperblockState, View, check,
    read_superblock,
};
use convoy_thinpool::{Control, Pool, PoolStatus};
use convoy_units::{Bytes, DataBlockSize, DevId, ThinBlock, TransactionId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A catalog's rows, all of them read and found to keep the rules.
pub(super) struct Book {
    pub(super) catalog: Catalog,
    /// One pool, or none yet.
    pub(super) pool: Option<catalog::Pool>,
    pub(super) volumes: Vec<Volume>,
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) intents: Vec<Intent>,
    pub(super) mounts: Vec<Mount>,
    pub(super) pins: Vec<Pin>,
}

impl Book {
    fn read(path: &Path) -> Result<Self, catalog::Error> {
        let catalog = Catalog::read(path)?;
        Ok(Self {
            pool: catalog.pools()?.into_iter().next(),
            volumes: catalog.volumes()?,
            snapshots: catalog.snapshots()?,
            intents: catalog.pending_intents()?,
            mounts: catalog.mounts()?,
            pins: catalog.pins()?,
            catalog,
        })
    }

    /// Transaction id, volumes, snapshots.
    pub(super) fn holds(&self) -> (TransactionId, usize, usize) {
        let transaction = self.pool.as_ref().map(|pool| pool.transaction);
        let transaction = transaction.unwrap_or(TransactionId(0));
        (transaction, self.volumes.len(), self.snapshots.len())
    }

    /// Every thin device that a row names.
    pub(super) fn dev_ids(&self) -> BTreeSet<DevId> {
        let volumes = self.volumes.iter().map(|volume| volume.dev_id);
        volumes
            .chain(self.snapshots.iter().map(|snapshot| snapshot.dev_id))
            .collect()
    }

    /// What a person calls the row of a thin device.
    pub(super) fn name_of(&self, id: DevId) -> String {
        let volume = self.volumes.iter().find(|volume| volume.dev_id == id);
        if let Some(volume) = volume {
            return format!("volume {}", volume.name);
        }
        let snapshot = self.snapshots.iter().find(|snapshot| snapshot.dev_id == id);
        snapshot.map_or_else(
            || format!("thin device {id}"),
            |snapshot| format!("snapshot {}", snapshot.name),
        )
    }
}

/// A thin device as the pool has it.
#[derive(Debug, Clone)]
pub(super) struct Device {
    pub(super) details: DeviceDetails,
    /// What its first block begins with; `None` where nothing of ours is there, or the pool is up.
    pub(super) filesystem: Option<Filesystem>,
    /// Behind its last mapped block; only for devices that no row names.
    pub(super) end: Bytes,
}

/// What the metadata says, as far as it can be trusted.
pub(super) struct Reading {
    pub(super) report: CheckReport,
    /// `None` where block 0 does not verify.
    pub(super) transaction: Option<TransactionId>,
    pub(super) block_size: Option<DataBlockSize>,
    pub(super) needs_check: bool,
    /// Whether a power cut fell into the taking or releasing of a metadata snapshot.
    pub(super) torn: bool,
    /// `None` where the trees that list them do not verify.
    pub(super) devices: Option<BTreeMap<DevId, Device>>,
    /// Why nothing on the data device was looked at, if so.
    pub(super) data: Result<(), String>,
}

/// A pool.
pub(super) struct PoolFacts {
    /// As the catalog has it, or a copy, or the settings.
    pub(super) record: catalog::Pool,
    /// Its status, where the kernel has it up.
    pub(super) up: Option<PoolStatus>,
    pub(super) metadata: Result<Reading, Unread>,
    /// The size of the data device, where it can be told.
    pub(super) data_size: Option<Bytes>,
}

/// Why metadata was not read.
pub(super) enum Unread {
    /// What the reader said.
    Metadata(convoy_thin_metadata::Error),
    /// The pool is up and would not hold still.
    Pool(String),
}

/// Everything.
pub(super) struct Facts {
    pub(super) root: PathBuf,
    pub(super) catalog: Result<Book, catalog::Error>,
    pub(super) copies: Vec<(PathBuf, Result<Book, catalog::Error>)>,
    pub(super) pool: Option<PoolFacts>,
}

impl Facts {
    /// The catalog, or else the copy that knows most: its number among the copies.
    pub(super) fn base(&self) -> Option<(&Book, Option<usize>)> {
        if let Ok(book) = &self.catalog {
            return Some((book, None));
        }
        let sound = self.copies.iter().enumerate();
        let sound = sound.filter_map(|(n, (_, book))| Some((book.as_ref().ok()?, n)));
        // Of equals the first: the others are older.
        let best = sound.rev().max_by_key(|(book, _)| book.holds().0);
        best.map(|(book, n)| (book, Some(n)))
    }
}

/// Through what is looked.
pub(super) struct Looking<'a> {
    /// The pool of an open engine.
    pub(super) pool: Option<&'a Pool>,
    pub(super) control: Option<&'a Arc<dyn Control>>,
    pub(super) machine: &'a dyn Machine,
    pub(super) settings: &'a PoolConfig,
}

/// Looks. `settled` is called when nothing that moves has to be looked at any more.
pub(super) fn gather(
    root: &Path,
    looking: &Looking<'_>,
    settled: impl FnOnce(),
) -> Result<Facts, Error> {
    let path = root.join("catalog.db");
    let copies = Catalog::copies(&path).into_iter();
    let mut facts = Facts {
        root: root.to_owned(),
        catalog: Book::read(&path),
        copies: copies
            .map(|copy| (copy.clone(), Book::read(&copy)))
            .collect(),
        pool: None,
    };
    let (record, known) = match facts.base() {
        Some((book, _)) => (book.pool.clone(), book.dev_ids()),
        None => (None, BTreeSet::new()),
    };
    let record = match record {
        Some(record) => Some(moved(record, looking.settings)),
        None => guessed(root, looking),
    };
    if let Some(record) = record {
        facts.pool = Some(look_at(record, &known, looking, settled)?);
    }
    Ok(facts)
}

/// The record with the devices where the settings say they are now.
fn moved(mut record: catalog::Pool, settings: &PoolConfig) -> catalog::Pool {
    if let (Some(data), Some(metadata), false) =
        (&settings.data, &settings.metadata, record.loop_backed)
    {
        record.data.clone_from(data);
        record.metadata.clone_from(metadata);
    }
    record
}

/// A record made of the settings and of the metadata that is there: no catalog tells of the pool.
fn guessed(root: &Path, looking: &Looking<'_>) -> Option<catalog::Pool> {
    let settings = looking.settings;
    let files = root.join("devicemapper");
    let (data, metadata, loop_backed) = match (&settings.data, &settings.metadata) {
        (Some(data), Some(metadata)) => (data.clone(), metadata.clone(), false),
        _ => (files.join("data.img"), files.join("metadata.img"), true),
    };
    let source = looking.machine.metadata(&metadata).ok()?;
    let Ok(SuperblockState::Valid(superblock)) = read_superblock(&source) else {
        return None;
    };
    let blocks = superblock.nr_data_blocks.unwrap_or(0);
    let default_name = || "convoy-pool".parse().expect("letters and a dash");
    Some(catalog::Pool {
        uuid: Uuid::now_v7(),
        name: settings.name.clone().unwrap_or_else(default_name),
        driver: "devicemapper".to_owned(),
        data,
        metadata,
        loop_backed,
        block_size: superblock.data_block_size,
        default_volume_size: settings.default_volume_size.unwrap_or(Bytes::gib(100)),
        filesystem: settings
            .filesystem
            .clone()
            .unwrap_or_else(|| "ext4".to_owned()),
        transaction: superblock.transaction,
        data_size: Bytes(blocks.saturating_mul(superblock.data_block_size.bytes().0)),
        metadata_size: Bytes(source.nr_blocks().saturating_mul(4096)),
        initialised: true,
        created: Timestamp::now(),
    })
}

/// The pool of a record, with more about the devices that are not `known`.
pub(super) fn look_at(
    record: catalog::Pool,
    known: &BTreeSet<DevId>,
    looking: &Looking<'_>,
    settled: impl FnOnce(),
) -> Result<PoolFacts, Error> {
    let observed = match (looking.pool, looking.control) {
        (None, Some(control)) => Some(observe(&record, Arc::clone(control))?),
        _ => None,
    };
    let pool = looking.pool.or(observed.as_ref());
    let up = match pool.map(Pool::status) {
        Some(Ok(status)) => Some(status),
        // Not up.
        _ => None,
    };
    let metadata = if let (Some(pool), Some(_)) = (pool, &up) {
        read_held(pool, known, looking.machine, settled)
    } else {
        settled();
        read_down(&record, known, looking.machine)
    };
    let size = if record.loop_backed {
        std::fs::metadata(&record.data).map(|file| Bytes(file.len()))
    } else {
        looking.machine.size_of(&record.data)
    };
    Ok(PoolFacts {
        up,
        metadata,
        data_size: size.ok(),
        record,
    })
}

/// A pool that is down: its metadata as it lies there, and the begin of each of its devices.
fn read_down(
    record: &catalog::Pool,
    known: &BTreeSet<DevId>,
    machine: &dyn Machine,
) -> Result<Reading, Unread> {
    let source = machine
        .metadata(&record.metadata)
        .map_err(Unread::Metadata)?;
    // As it was committed: the next start completes what a power cut tore.
    match Mended::of(&source) {
        Ok(mended) => {
            let mut reading = read_source(&mended, record, known, machine)?;
            reading.torn = mended.block_0().is_some();
            Ok(reading)
        }
        Err(_) => read_source(&source, record, known, machine),
    }
}

fn read_source<S: BlockSource>(
    source: &S,
    record: &catalog::Pool,
    known: &BTreeSet<DevId>,
    machine: &dyn Machine,
) -> Result<Reading, Unread> {
    let report = check(source, &CheckOptions::default()).map_err(Unread::Metadata)?;
    let mut reading = Reading::of(report);
    if let Ok(SuperblockState::Valid(superblock)) = read_superblock(source) {
        reading.transaction = Some(superblock.transaction);
        reading.block_size = Some(superblock.data_block_size);
        reading.needs_check = superblock.needs_check;
    }
    let Ok(view) = View::live(source) else {
        return Ok(reading);
    };
    let at = |block: u64| {
        let mut head = [0; HEAD];
        let offset = block.saturating_mul(view.superblock().data_block_size.bytes().0);
        machine
            .read_at(&record.data, offset, &mut head)
            .map(|()| filesystem::parse(&head))
    };
    let mut data = Ok(());
    reading.devices = devices(&view, known, |block| match at(block) {
        Ok(filesystem) => filesystem,
        Err(error) => {
            data = Err(format!("{}: {error}", record.data.display()));
            None
        }
    });
    reading.data = data;
    Ok(reading)
}

/// A pool that is up, through a snapshot of its metadata.
fn read_held(
    pool: &Pool,
    known: &BTreeSet<DevId>,
    machine: &dyn Machine,
    settled: impl FnOnce(),
) -> Result<Reading, Unread> {
    let chained = |error: convoy_thinpool::Error| Unread::Pool(convoy_fault::chain(&error));
    let status = pool.status().map_err(chained)?;
    let held = pool.reserve_metadata_snapshot().map_err(chained)?;
    settled();
    let read = || {
        let source = machine.metadata(held.metadata_device())?;
        let options = CheckOptions {
            metadata_snapshot: Some(held.root()),
            ..CheckOptions::default()
        };
        let mut reading = Reading::of(check(&source, &options)?);
        let view = View::held(&source, held.root())?;
        reading.transaction = Some(view.superblock().transaction);
        reading.block_size = Some(view.superblock().data_block_size);
        reading.needs_check = status.usage().is_some_and(|usage| usage.needs_check);
        reading.devices = devices(&view, known, |_| None);
        reading.data = Err("the pool is up".to_owned());
        Ok(reading)
    };
    let reading = read();
    held.release().map_err(chained)?;
    reading.map_err(Unread::Metadata)
}

impl Reading {
    fn of(report: CheckReport) -> Self {
        Self {
            report,
            transaction: None,
            block_size: None,
            needs_check: false,
            torn: false,
            devices: None,
            data: Ok(()),
        }
    }
}

/// Every device, unless the trees that list them do not verify. A device whose own mappings do not is listed.
fn devices<S: BlockSource>(
    view: &View<S>,
    known: &BTreeSet<DevId>,
    mut at: impl FnMut(u64) -> Option<Filesystem>,
) -> Option<BTreeMap<DevId, Device>> {
    let block = view.superblock().data_block_size.bytes().0;
    let mut found = BTreeMap::new();
    for details in view.devices().ok()? {
        let id = details.dev_id;
        let mut runs = view.mappings(id).ok().into_iter().flatten();
        let first = runs.next().and_then(Result::ok);
        let filesystem = first
            .filter(|run| run.thin == ThinBlock(0))
            .and_then(|run| at(run.data.0));
        let mut end = 0;
        if !known.contains(&id) {
            let last = runs.map_while(Result::ok).last().or(first);
            end = last.map_or(0, |run| (run.thin.0 + run.len).saturating_mul(block));
        }
        let device = Device {
            details,
            filesystem,
            end: Bytes(end),
        };
        found.insert(id, device);
    }
    Some(found)
}
