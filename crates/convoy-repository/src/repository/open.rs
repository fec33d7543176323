//! Opening: the config, entry 0 that vouches for it, whether the store keeps its word, and the log.

use super::{Inner, OpenOptions, Repository, config_key};
use crate::body::Body;
use crate::cache::Cache;
use crate::config::Config;
use crate::distrust::Distrust;
use crate::entry::{self, slot_key};
use crate::error::Error;
use crate::fold::Fold;
use crate::id::FullHash;
use crate::index::Index;
use crate::keys::Keys;
use crate::log::{Log, is_absent};
use crate::patience::{Patience, patiently};
use convoy_objectstore::{ErrorKind, Key, ObjectStore, Put, PutMode};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

impl Repository {
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
            Err(error) => return Err(blame(&*store, patience, &bytes, error)),
            Ok(config) => config,
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
        let mut read_only = why_read_only(&*store, options, &config, &bytes)?;
        let log = Log::new(
            Arc::clone(&store),
            keys.clone(),
            Arc::clone(&options.patience),
            cache.clone(),
            config.single_writer,
        );
        log.load_cache()?;
        // Who has seen a later entry would miss it now; a host that comes for the first time looks.
        let first_time = log.with_fold(Fold::slots) == 0;
        log.catch_up()?;
        if first_time && read_only.is_none() {
            read_only = log.hole()?.map(|slot| {
                format!(
                    "{} is lost: restore it from a copy of the repository",
                    slot_key(slot)
                )
            });
        }
        if options.ask_store {
            log.compare_with_cache()?;
        }
        log.opened();
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
}

/// An object, `None` if it is not there.
pub(super) fn read(
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

/// A config that looks newer may be a damaged one: entry 0 knows its hash.
fn blame(store: &dyn ObjectStore, patience: &dyn Patience, config: &[u8], error: Error) -> Error {
    let Error::Newer { what } = error else {
        return error;
    };
    let first = read(store, patience, &slot_key(0)).ok().flatten();
    let body = first.as_deref().and_then(|first| first.get(128..));
    let matches = match body.map(|body| Body::parse(1, body)) {
        Some(Ok(Body::Init(init))) => init.config == FullHash::of(config),
        _ => true,
    };
    Error::Newer {
        what: if matches {
            what
        } else {
            format!("{what}; or its config is damaged, which is not the one that log entry 0 names")
        },
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
            format!(
                "it is not the config that log entry 0 names, unless {} is damaged",
                slot_key(0)
            ),
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
