//! Objects in a bucket: S3 and what speaks like it, through crate `object_store`.
//!
//! One call is one request, and its failure is told exactly (`verdict`): who calls knows what may be repeated,
//! and repeats it. So the library's own repetitions are off, redirects are not followed, and every request
//! has an end, however slowly the other side answers.

mod connection;
mod credentials;
mod exchange;
mod messenger;
mod options;
mod s3;
mod verdict;

pub use options::{Addressing, Encryption, Keys, Limits, S3Options};
pub use s3::endpoint;

use std::fmt;
use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, GetOptions, GetRange, ObjectStoreExt, PutOptions,
    PutPayload,
};
use tokio::runtime::Runtime;

use crate::counters::Meter;
use crate::folder::Folder;
use crate::store::too_large;
use crate::{
    Counters, Deletion, Entry, Error, ErrorKind, Key, MAX_OBJECT, ObjectStore, Page, Put, PutMode,
    Verb,
};
use exchange::{Answer, exchange};

/// The most objects that S3 lists at once.
const PAGE: usize = 1000;
/// Bodies are sent in pieces of so many bytes, so that it is seen whether they go.
const PIECE: usize = 256 << 10;

/// What of `object_store` we use of one service.
trait Service: object_store::ObjectStore + PaginatedListStore {}

impl<T: object_store::ObjectStore + PaginatedListStore> Service for T {}

/// A bucket, or a part of one.
pub struct CloudStore {
    service: Box<dyn Service>,
    /// Ends in `/`.
    prefix: String,
    folder: Folder,
    /// As people type it, without secrets.
    location: String,
    attributes: Attributes,
    limits: Limits,
    meter: Meter,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl CloudStore {
    fn new(
        service: Box<dyn Service>,
        runtime: Runtime,
        location: String,
        prefix: &str,
        options: &S3Options,
    ) -> Self {
        let class = options.storage_class.clone();
        let class = class.map(|class| (Attribute::StorageClass, AttributeValue::from(class)));
        Self {
            service,
            prefix: format!("{prefix}{}/", Folder::Repository.name()),
            folder: Folder::Repository,
            location,
            attributes: class.into_iter().collect(),
            limits: options.limits,
            meter: Meter::default(),
            runtime: Some(runtime),
        }
    }

    /// The same place, but what the original Convoy wrote there: for reading alone.
    pub(crate) fn of_original(mut self) -> Self {
        let ours = format!("{}/", self.folder.name());
        let above = self.prefix.strip_suffix(&ours).unwrap_or(&self.prefix);
        self.prefix = format!("{above}{}/", Folder::Original.name());
        self.folder = Folder::Original;
        self
    }

    fn path(&self, verb: Verb, key: &Key) -> Result<Path, Error> {
        Path::parse(format!("{}{key}", self.prefix)).map_err(|error| {
            self.failed(ErrorKind::Invalid, verb, key.as_str())
                .because(error)
        })
    }

    fn failed(&self, kind: ErrorKind, verb: Verb, object: &str) -> Error {
        Error::new(kind, verb, object, &self.location)
    }

    /// Runs one request to its end, within its time.
    fn ask<T>(
        &self,
        verb: Verb,
        object: &str,
        size: u64,
        request: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, Error> {
        self.meter.request(verb);
        let runtime = self.runtime.as_ref().expect("it is taken by drop alone");
        let (result, answer) = runtime.block_on(exchange(self.limits, size, request));
        result.map_err(|error| self.refused(verb, object, error.as_ref(), &answer))
    }

    fn refused(
        &self,
        verb: Verb,
        object: &str,
        error: Option<&object_store::Error>,
        answer: &Answer,
    ) -> Error {
        let verdict = verdict::verdict(verb, answer, error);
        let refused = self.failed(verdict.kind, verb, object);
        let refused = refused.because(verdict.why);
        match verdict.hint {
            Some(hint) => refused.hinting(hint),
            None => refused,
        }
    }

    fn store(&self, verb: Verb, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        if bytes.len() as u64 > MAX_OBJECT {
            let invalid = self.failed(ErrorKind::Invalid, verb, key.as_str());
            return Err(invalid.because(too_large(bytes.len() as u64, MAX_OBJECT)));
        }
        let path = self.path(verb, key)?;
        let whole = Bytes::copy_from_slice(bytes);
        let pieces = (0..bytes.len()).step_by(PIECE);
        let payload: PutPayload = pieces
            .map(|begin| whole.slice(begin..bytes.len().min(begin + PIECE)))
            .collect();
        let options = PutOptions {
            mode: match mode {
                PutMode::Create => object_store::PutMode::Create,
                PutMode::Overwrite => object_store::PutMode::Overwrite,
            },
            attributes: self.attributes.clone(),
            ..PutOptions::default()
        };
        self.meter.written(bytes);
        let put = self.service.put_opts(&path, payload, options);
        let put = async {
            match put.await {
                Ok(_) => Ok(Put::Stored),
                Err(error) if exchange::already_exists() => {
                    tracing::trace!(%error, "it is there already");
                    Ok(Put::Exists)
                }
                Err(error) => Err(error),
            }
        };
        self.ask(verb, key.as_str(), bytes.len() as u64, put)
    }

    fn read(
        &self,
        verb: Verb,
        key: &Key,
        range: Option<&Range<u64>>,
        limit: u64,
    ) -> Result<Vec<u8>, Error> {
        let path = self.path(verb, key)?;
        let options = GetOptions {
            range: range.cloned().map(GetRange::Bounded),
            ..GetOptions::default()
        };
        let expected = range.map_or(limit, |range| range.end - range.start);
        let request = async {
            let got = self.service.get_opts(&path, options).await?;
            if range.is_some_and(|range| *range != got.range) {
                return Ok(Err(format!(
                    "bytes {}..{} of {} came for it",
                    got.range.start, got.range.end, got.meta.size
                )));
            }
            let size = got.range.end - got.range.start;
            if size > limit {
                return Ok(Err(too_large(size, limit)));
            }
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            let mut stream = got.into_stream();
            // What is expected was the most that may come; now its size is known.
            exchange::expect(size);
            while let Some(part) = stream.next().await {
                bytes.extend_from_slice(&part?);
                if bytes.len() as u64 > size {
                    break;
                }
            }
            match bytes.len() as u64 {
                came if came == size => Ok(Ok(bytes)),
                came => Ok(Err(format!("{came} bytes came, and {size} were announced"))),
            }
        };
        match self.ask(verb, key.as_str(), expected, request)? {
            Ok(bytes) => {
                self.meter.read(&bytes);
                Ok(bytes)
            }
            Err(why) => Err(self
                .failed(ErrorKind::Damaged, verb, key.as_str())
                .because(why)),
        }
    }

    /// One page as the service gives it; what is no object of ours in it is passed over.
    fn page(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
        token: Option<String>,
    ) -> Result<(Vec<Entry>, Option<String>), Error> {
        let options = PaginatedListOptions {
            offset: after.map(|key| format!("{}{key}", self.prefix)),
            max_keys: Some(limit.clamp(1, PAGE)),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let whole = format!("{}{prefix}", self.prefix);
        let request = self.service.list_paginated(Some(&whole), options);
        let page = self.ask(Verb::List, prefix, 0, request)?;
        let ours = |object: object_store::ObjectMeta| {
            let name = object.location.as_ref().strip_prefix(&self.prefix)?;
            Some(Entry {
                key: self.folder.key(name).ok()?,
                size: object.size,
            })
        };
        let mut entries: Vec<Entry> = page.result.objects.into_iter().filter_map(ours).collect();
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        Ok((entries, page.page_token))
    }
}

impl ObjectStore for CloudStore {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        self.store(Verb::Put, key, bytes, mode)
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        self.store(Verb::PutDeferred, key, bytes, PutMode::Create)
    }

    /// Nothing to do: what a bucket has answered for is durable.
    fn sync(&self) -> Result<(), Error> {
        self.meter.request(Verb::Sync);
        Ok(())
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        self.read(Verb::Get, key, None, MAX_OBJECT)
    }

    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        self.read(Verb::Get, key, None, limit)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let failed =
            |kind, why: &str| Err(self.failed(kind, Verb::GetRange, key.as_str()).because(why));
        if range.start > range.end {
            return failed(ErrorKind::Invalid, "the range ends before it begins");
        }
        if range.end - range.start > MAX_OBJECT {
            return failed(ErrorKind::Damaged, "no object is that large");
        }
        if range.is_empty() {
            // There is no empty range in HTTP.
            return match self.size(key)? {
                None => Err(self.failed(ErrorKind::NotFound, Verb::GetRange, key.as_str())),
                Some(size) if size < range.end => {
                    failed(ErrorKind::Damaged, "the object is shorter")
                }
                Some(_) => Ok(Vec::new()),
            };
        }
        let limit = range.end - range.start;
        self.read(Verb::GetRange, key, Some(&range), limit)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        let path = self.path(Verb::Size, key)?;
        match self.ask(Verb::Size, key.as_str(), 0, self.service.head(&path)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let (mut entries, mut token) = self.page(prefix, after, limit, None)?;
        // A page of other people's objects alone: the caller would have no key to go on from.
        while entries.is_empty() && token.is_some() {
            (entries, token) = self.page(prefix, after, limit, token)?;
        }
        if entries
            .first()
            .zip(after)
            .is_some_and(|(first, after)| first.key <= *after)
        {
            let unsorted = self.failed(ErrorKind::Unsupported, Verb::List, prefix);
            return Err(unsorted.because("it does not list keys in their order"));
        }
        Ok(Page {
            entries,
            more: token.is_some(),
        })
    }

    /// S3 does not tell whether there was an object.
    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        let path = self.path(Verb::Delete, key)?;
        self.ask(Verb::Delete, key.as_str(), 0, self.service.delete(&path))?;
        Ok(Deletion::Deleted)
    }

    fn counters(&self) -> Counters {
        self.meter.counters()
    }

    fn listing_is_dear(&self) -> bool {
        true
    }
}

impl Drop for CloudStore {
    /// Does not wait for requests that were given up: the last handle may be dropped where waiting is forbidden.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for CloudStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloudStore({})", self.location)
    }
}
