//! A repository opened: its backups, its volumes, and the ways to change them.

use crate::body::{Backups, Body, Init, Volume};
use crate::cache::Cache;
use crate::codec::{Compression, Sealer};
use crate::config::{Config, DEFAULT_CHUNK_SIZE, is_chunk_size};
use crate::distrust::Distrust;
use crate::entry::{self, Stamp, slot_key};
use crate::error::Error;
use crate::fold::{Fold, Status};
use crate::id::{BlobId, FullHash, SessionId};
use crate::index::Index;
use crate::keys::{BlobKind, Keys, Secret};
use crate::log::{Appended, Author, Log, is_absent};
use crate::pack::ObjectName;
use crate::patience::{Patience, Sleep, patiently};
use crate::record::{BackupRecord, VolumeRecord};
use crate::session::Session;
use convoy_objectstore::{ErrorKind, Key, ObjectStore, Put, PutMode};
use convoy_units::Bytes;
use jiff::Timestamp;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// How to make a repository.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Bytes of a chunk: a power of two, 4 KiB to 4 MiB; fixed for good. At most the pool's block
    /// size and a divisor of it, if exactly the changed blocks are to be read.
    pub chunk_size: Bytes,
    /// What new blobs are compressed with.
    pub compression: Compression,
    /// The host that makes it.
    pub host: Uuid,
    /// How to wait between attempts.
    pub patience: Arc<dyn Patience>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            compression: Compression::default(),
            host: Uuid::nil(),
            patience: Arc::new(Sleep),
        }
    }
}

/// How to open a repository.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// A folder for copies of the log and the index; may be shared by several repositories, not by
    /// several processes.
    pub cache_dir: Option<PathBuf>,
    /// Take nothing from `cache_dir`, and compare what the store has with what this host has seen: for
    /// checking what another host would find. What is found damaged is still noted there.
    pub ask_store: bool,
    /// Write nothing, not even the probe.
    pub read_only: bool,
    /// The host that opens it, in entries it appends.
    pub host: Uuid,
    /// How to wait between attempts.
    pub patience: Arc<dyn Patience>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            cache_dir: None,
            ask_store: false,
            read_only: false,
            host: Uuid::nil(),
            patience: Arc::new(Sleep),
        }
    }
}

/// Whether a verb changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did, durably.
    Changed,
    /// It was so already.
    Unchanged,
}

/// A repository, open. Clones share everything; any number of threads may use it concurrently.
///
/// What it tells is the log as far as it was read: `refresh` reads on.
#[derive(Clone)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) config: Config,
    pub(crate) keys: Keys,
    pub(crate) log: Log,
    pub(crate) cache: Option<Cache>,
    pub(crate) distrust: Distrust,
    pub(crate) patience: Arc<dyn Patience>,
    pub(crate) host: Uuid,
    read_only: Option<String>,
    index: Mutex<Index>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Repository({} in {:?})",
            self.inner.config.id, self.inner.store
        )
    }
}

impl Repository {
    /// Makes a repository in an empty destination, durably, and opens it.
    ///
    /// A creation that was interrupted is finished, with what it had decided. Errors: `AlreadyThere`
    /// (kind `Conflict`), `Invalid` for a chunk size that cannot be.
    pub fn create(store: Arc<dyn ObjectStore>, options: &CreateOptions) -> Result<Self, Error> {
        if !is_chunk_size(options.chunk_size) {
            return Err(Error::Invalid(format!(
                "a chunk has a power of two of bytes, 4 KiB to 4 MiB, not {}",
                options.chunk_size
            )));
        }
        let patience = &*options.patience;
        let key = slot_key(0);
        let found = read(&*store, patience, &config_key())?;
        let begun = read(&*store, patience, &key)?.is_some();
        let bytes = match found {
            Some(_) if begun => return Err(Error::AlreadyThere),
            Some(found) => found,
            // A log without its config holds somebody's backups: a new config would make them
            // unreadable for good, where a copy of the old one would not.
            None if begun => {
                return Err(match read(&*store, patience, &config_key())? {
                    Some(_) => Error::AlreadyThere,
                    None => Error::damaged("config", "it is gone, and the log is not"),
                });
            }
            None => create_config(&*store, options)?,
        };
        let config = Config::parse(&bytes)?;
        let stamp = Stamp {
            slot: 0,
            prev: FullHash([0; 32]),
            op: config.id,
            host: config.host,
            time: config.created.as_microsecond(),
        };
        let init = Body::Init(Init {
            repository: config.id,
            config: FullHash::of(&bytes),
        });
        let first = entry::encode(&Keys::derive(&config.secret), &stamp, &init);
        // Config is durable: the entry that makes it a repository may follow. All its bytes come from
        // the config, so "exists" is our own lost answer, or somebody who finished the same creation.
        let doing = || format!("create {key}");
        match patiently(patience, doing, || store.put(&key, &first, PutMode::Create))? {
            Put::Stored => {}
            Put::Exists if read(&*store, patience, &key)?.as_ref() == Some(&first) => {}
            Put::Exists => return Err(Error::AlreadyThere),
        }
        let open = OpenOptions {
            host: options.host,
            patience: Arc::clone(&options.patience),
            ..OpenOptions::default()
        };
        Self::open(store, &open)
    }

    /// Opens what is there: reads the config, checks that the store keeps its word, and reads the log
    /// to its end.
    ///
    /// Errors: `NoRepository` (kind `NotFound`), `Newer` for a format or feature that this version
    /// lacks, `Damaged` naming the object. A store that does not keep its word, or does not let us
    /// write, gives a repository that is read-only and says why when written to.
    pub fn open(store: Arc<dyn ObjectStore>, options: &OpenOptions) -> Result<Self, Error> {
        let patience = &*options.patience;
        let bytes = read(&*store, patience, &config_key())?.ok_or(Error::NoRepository)?;
        let config = match Config::parse(&bytes) {
            // Wrong once may be the way here.
            Err(Error::Damaged { .. }) => {
                Config::parse(&read(&*store, patience, &config_key())?.ok_or(Error::NoRepository)?)?
            }
            parsed => parsed?,
        };
        let keys = Keys::derive(&config.secret);
        let cache = options
            .cache_dir
            .as_ref()
            .and_then(|root| {
                // A cache makes things fast, and no more: a full disk must not cost a restore.
                Cache::open(root, config.id)
                    .inspect_err(|error| {
                        let error = convoy_fault::chain(error);
                        tracing::warn!("going on without a local cache: {error}");
                    })
                    .ok()
            })
            .map(|cache| {
                if options.ask_store {
                    cache.notes_only()
                } else {
                    cache
                }
            });
        // A cached entry 0 that fits saves a request: the log's chain, whose cached end is compared with
        // the store below, vouches for it.
        let vouched = cache.as_ref().and_then(Cache::first).is_some_and(|first| {
            entry::decode(&keys, 0, FullHash([0; 32]), &first).is_ok()
                && match_config(&first, &bytes, config.id).is_ok()
        });
        if !vouched {
            let first = read(&*store, patience, &slot_key(0))?.ok_or(Error::NoRepository)?;
            match_config(&first, &bytes, config.id)?;
        }
        let read_only = why_read_only(&*store, options, &config, &bytes)?;
        let log = Log::new(
            Arc::clone(&store),
            keys.clone(),
            Arc::clone(&options.patience),
            cache.clone(),
        );
        log.load_cache()?;
        log.catch_up()?;
        if options.ask_store {
            log.compare_with_cache()?;
        }
        let inner = Inner {
            index: Mutex::new(Index::new(config.id)),
            store,
            config,
            keys,
            log,
            distrust: Distrust::new(cache.clone()),
            cache,
            patience: Arc::clone(&options.patience),
            host: options.host,
            read_only,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Its identity.
    pub fn id(&self) -> Uuid {
        self.inner.config.id
    }

    /// What was decided when it was made.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Bytes of a chunk.
    pub fn chunk_size(&self) -> Bytes {
        self.inner.config.chunk_size
    }

    /// Why it cannot be written to by this process, if so.
    pub fn read_only(&self) -> Option<String> {
        let strange = || {
            self.inner
                .log
                .with_fold(|fold| fold.strange().map(|(_, why)| format!("its log has {why}")))
        };
        self.inner.read_only.clone().or_else(strange)
    }

    /// Reads the log on to its end. At least one request.
    pub fn refresh(&self) -> Result<(), Error> {
        self.inner.log.catch_up().map(|_| ())
    }

    /// Slots of the log read so far.
    pub fn slots(&self) -> u64 {
        self.inner.log.with_fold(Fold::slots)
    }

    /// The live backups, in the order of their commits.
    pub fn backups(&self) -> Vec<BackupRecord> {
        let live = |fold: &Fold| -> Vec<BackupRecord> {
            let live = fold
                .all_backups()
                .filter(|stored| stored.status == Status::Live);
            live.map(|stored| stored.record.clone()).collect()
        };
        let mut backups = self.inner.log.with_fold(live);
        backups.sort_by_key(|backup| backup.slot);
        backups
    }

    /// A live backup by its id.
    pub fn backup(&self, id: Uuid) -> Result<BackupRecord, Error> {
        self.find(|backup| backup.id == id)
            .ok_or_else(|| Error::NoBackup(id.to_string()))
    }

    /// A live backup by its name. Nothing keeps two writers from one name but its 64 random bits:
    /// `Invalid` if there are several.
    pub fn backup_by_name(&self, name: &str) -> Result<BackupRecord, Error> {
        let shown = || -> String { name.chars().take(64).collect() };
        let found = self
            .find(|backup| backup.name == name)
            .ok_or_else(|| Error::NoBackup(shown()))?;
        match self.find(|backup| backup.name == name && backup.id != found.id) {
            None => Ok(found),
            Some(other) => Err(Error::Invalid(format!(
                "backups {} and {} are both called {}: choose one by its id",
                found.id,
                other.id,
                shown()
            ))),
        }
    }

    /// The live backup that an operation made, if it did.
    pub fn backup_by_op(&self, op: Uuid) -> Option<BackupRecord> {
        self.find(|backup| backup.op == op)
    }

    fn find(&self, is: impl Fn(&BackupRecord) -> bool) -> Option<BackupRecord> {
        self.inner.log.with_fold(|fold| {
            let mut live = fold
                .all_backups()
                .filter(|stored| stored.status == Status::Live);
            live.find(|stored| is(&stored.record))
                .map(|stored| stored.record.clone())
        })
    }

    /// The volumes that were ever backed up here.
    pub fn volumes(&self) -> Vec<VolumeRecord> {
        self.inner
            .log
            .with_fold(|fold| fold.volumes().cloned().collect())
    }

    /// A copy of the whole state of the log.
    pub fn fold(&self) -> Fold {
        self.inner.log.with_fold(Fold::clone)
    }

    /// Requests and bytes of the store behind, since it was opened.
    pub fn counters(&self) -> convoy_objectstore::Counters {
        self.inner.store.counters()
    }

    /// The id of a blob's plain bytes.
    pub fn blob_id(&self, kind: BlobKind, plain: &[u8]) -> BlobId {
        self.inner.keys.id(kind, plain)
    }

    /// A compressor with the repository's settings; one per thread.
    pub fn sealer(&self) -> Result<Sealer, Error> {
        Sealer::new(self.inner.config.compression).map_err(|e| Error::Compress(BlobId([0; 32]), e))
    }

    /// Makes the volume known, durably. `Unchanged` if it is.
    pub fn ensure_volume(
        &self,
        id: Uuid,
        name: &str,
        created: Option<Timestamp>,
    ) -> Result<Outcome, Error> {
        if self.inner.log.with_fold(|fold| fold.has_volume(id)) {
            return Ok(Outcome::Unchanged);
        }
        self.inner.writable()?;
        let author = Author {
            op: Uuid::new_v4(),
            host: self.inner.host,
        };
        let volume = Volume {
            id,
            name: name.to_owned(),
            created,
        };
        let appended = self.inner.log.append(author, &mut |fold| {
            Ok((!fold.has_volume(id)).then(|| Body::Volume(volume.clone())))
        })?;
        Ok(outcome(appended))
    }

    /// Notes that a pack does not hold what it should: no session reuses anything of it from now on, nor
    /// does a later process that has the same cache folder.
    pub fn distrust(&self, pack: &ObjectName) {
        self.inner.distrust.add(pack);
    }

    /// How much of what the index names is known to be damaged or gone. Not 0: what a backup is to be
    /// built on needs a closer look.
    pub fn known_damage(&self) -> usize {
        self.inner.distrust.len() + self.inner.index().broken().len()
    }

    /// Whether new backups may rely on a place of this blob: its pack is not known to be damaged.
    pub fn is_trusted(&self, id: &BlobId) -> Result<bool, Error> {
        let places = self.inner.locate(id)?;
        Ok(places
            .iter()
            .any(|place| !self.inner.distrust.contains(&place.pack.name)))
    }

    /// Begins to write a backup, after reading the log to its end.
    ///
    /// `base` is the backup whose tree it will start from: `Overtaken` if it is no longer protected.
    /// Nothing is visible, and nothing needs to be undone, before the session commits.
    pub fn begin(&self, base: Option<Uuid>) -> Result<Session, Error> {
        self.inner.writable()?;
        let began = self.inner.log.catch_up()?;
        if let Some(base) = base
            && !self.inner.log.with_fold(|fold| fold.is_protected(base))
        {
            return Err(Error::Overtaken {
                what: format!("its base {base}"),
            });
        }
        Session::new(self.clone(), SessionId(random()?), began, base)
    }

    /// Moves a backup to the trash: durable when it returns, and done once whatever is retried under
    /// the same `op`. Its chunks stay protected until the trash is emptied.
    ///
    /// `Unchanged` if it was deleted before; `NoBackup` if there never was one of this id.
    pub fn delete(&self, backup: Uuid, op: Uuid) -> Result<Outcome, Error> {
        self.inner.writable()?;
        let author = Author {
            op,
            host: self.inner.host,
        };
        let appended = self
            .inner
            .log
            .append(author, &mut |fold| match fold.backup(backup) {
                None => Err(Error::NoBackup(backup.to_string())),
                Some(stored) if stored.status == Status::Live => Ok(Some(Body::Delete(Backups {
                    backups: vec![backup],
                }))),
                Some(_) => Ok(None),
            })?;
        Ok(outcome(appended))
    }
}

fn outcome(appended: Appended) -> Outcome {
    match appended {
        Appended::At(_) | Appended::Before => Outcome::Changed,
        Appended::NotNeeded => Outcome::Unchanged,
    }
}

impl Inner {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writable(&self) -> Result<(), Error> {
        match &self.read_only {
            Some(why) => Err(Error::ReadOnly { why: why.clone() }),
            // What the log holds is checked where something is appended.
            None => Ok(()),
        }
    }
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::Invalid(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

fn config_key() -> Key {
    crate::pack::key("config".to_owned())
}

/// An object, `None` if it is not there.
fn read(
    store: &dyn ObjectStore,
    patience: &dyn Patience,
    key: &Key,
) -> Result<Option<Vec<u8>>, Error> {
    // The config or an entry: no stranger's object of another size is taken into memory.
    let get = || store.get_at_most(key, entry::MAX_ENTRY);
    match patiently(patience, || format!("read {key}"), get) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the config of a new repository; what is there afterwards (another creator may have won).
fn create_config(store: &dyn ObjectStore, options: &CreateOptions) -> Result<Vec<u8>, Error> {
    let patience = &*options.patience;
    let probed = patiently(
        patience,
        || "probe the destination".to_owned(),
        || convoy_objectstore::probe(store),
    )?;
    let config = Config {
        id: Uuid::new_v4(),
        created: Timestamp::now(),
        created_by: concat!("convoy ", env!("CARGO_PKG_VERSION")).to_owned(),
        host: options.host,
        chunk_size: options.chunk_size,
        compression: options.compression,
        secret: Secret(random()?),
        grace_seconds: 86_400,
        single_writer: !probed.create_if_absent,
        read_only_feature: None,
    };
    let key = config_key();
    let bytes = config.to_json();
    let put = patiently(
        patience,
        || format!("create {key}"),
        || store.put(&key, &bytes, PutMode::Create),
    )?;
    match put {
        Put::Stored => Ok(bytes),
        Put::Exists => read(store, patience, &key)?.ok_or_else(|| Error::StoreLies {
            what: "config exists, and cannot be read".to_owned(),
        }),
    }
}

/// Entry 0 names the config's hash. Looked at before any MAC: a damaged config has the wrong keys, and
/// would make every entry look damaged instead of itself.
fn match_config(first: &[u8], config: &[u8], id: Uuid) -> Result<(), Error> {
    let body = first.get(128..).unwrap_or_default();
    match Body::parse(1, body) {
        Ok(Body::Init(init)) if init.config == FullHash::of(config) && init.repository == id => {
            Ok(())
        }
        Ok(_) => Err(Error::damaged(
            "config",
            "it is not the config that log entry 0 names",
        )),
        Err(_) => Err(Error::damaged(
            slot_key(0).as_str(),
            "its body is not that of an init entry",
        )),
    }
}

/// Whether the store still refuses to create what is there: asked by creating the config again, with
/// the very bytes that entry 0 vouches for, so that a store that fails harms nothing.
fn why_read_only(
    store: &dyn ObjectStore,
    options: &OpenOptions,
    config: &Config,
    bytes: &[u8],
) -> Result<Option<String>, Error> {
    if options.read_only {
        return Ok(Some("it was opened for reading".to_owned()));
    }
    if let Some(feature) = &config.read_only_feature {
        return Ok(Some(format!(
            "feature {feature:?} is not known to this version"
        )));
    }
    let key = config_key();
    let put = patiently(
        &*options.patience,
        || format!("probe {key}"),
        || store.put(&key, bytes, PutMode::Create),
    );
    match put {
        Ok(Put::Exists) => Ok(None),
        Ok(Put::Stored) if config.single_writer => {
            tracing::warn!(repository = %config.id, "the destination has no create-if-absent: one writer at a time");
            Ok(None)
        }
        Ok(Put::Stored) => Ok(Some(
            "the destination no longer keeps create-if-absent, so writers could overwrite each other".to_owned(),
        )),
        Err(Error::Store { source, .. }) if matches!(source.kind, ErrorKind::Auth | ErrorKind::Permanent) => {
            Ok(Some(format!("the destination cannot be written to: {source}")))
        }
        Err(error) => Err(error),
    }
}
