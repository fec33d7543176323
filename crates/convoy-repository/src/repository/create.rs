//! Making a repository: the config, then log entry 0 that names it (format §9).

use super::open::read;
use super::{CreateOptions, OpenOptions, Repository, config_key, random};
use crate::body::{Body, Init};
use crate::config::{Config, is_chunk_size};
use crate::entry::{self, Stamp, slot_key};
use crate::error::Error;
use crate::id::FullHash;
use crate::keys::{Keys, Secret};
use crate::patience::patiently;
use convoy_objectstore::{ObjectStore, Put, PutMode};
use jiff::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

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
