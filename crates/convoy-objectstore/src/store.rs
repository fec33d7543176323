//! The trait every destination implements, and its words.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::{Counters, Error, ErrorKind, Key};

/// The largest object, in bytes: larger ones are neither stored nor read.
///
/// Objects are handled whole in memory, and a hostile destination must not fill it.
pub const MAX_OBJECT: u64 = 256 << 20;

/// Whether a `put` may replace an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// Only if there is none: of all creators of a key one wins.
    Create,
    /// Replace what is there, at once and whole: readers see the old bytes or the new.
    Overwrite,
}

/// What a `put` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object has our bytes now.
    Stored,
    /// There was an object already, maybe with other bytes; it is untouched.
    Exists,
}

/// What a `delete` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// It was there and is gone.
    Deleted,
    /// It was not there (some destinations cannot tell, and say `Deleted`).
    Absent,
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its size in bytes.
    pub size: u64,
}

/// One page of a listing, in the order of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// At most as many as asked for; maybe fewer although there are more.
    pub entries: Vec<Entry>,
    /// Whether to ask again, after the last key of this page.
    pub more: bool,
}

/// The requests a store answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verb {
    /// Opening the destination.
    Open,
    /// `put`.
    Put,
    /// `put_deferred`.
    PutDeferred,
    /// `sync`.
    Sync,
    /// `get`.
    Get,
    /// `get_range`.
    GetRange,
    /// `size`.
    Size,
    /// `list`.
    List,
    /// `delete`.
    Delete,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Put | Self::PutDeferred => "put",
            Self::Sync => "sync",
            Self::Get | Self::GetRange => "get",
            Self::Size => "size",
            Self::List => "list",
            Self::Delete => "delete",
        })
    }
}

/// Bytes under keys. Any number of threads may call concurrently; calls block until answered.
///
/// Readers may see an object later than its writer was answered, never with other bytes than were
/// put. After an error of kind `Unclear` the request may have happened, may still happen, or may
/// happen twice; after any other error it did not happen.
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Stores `bytes` under `key`; the object survives a power cut when this returns.
    ///
    /// `Exists` of a `Create` means: an object of that name is there and is as durable as if this
    /// call had stored it. A lost answer may turn our own creation into `Exists` on a repetition.
    ///
    /// `Unclear` stays `Unclear` on a repetition where the destination failed to make the object durable
    /// and would not say so twice: until it is opened anew.
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error>;

    /// Creates like `put` with `Create`, but the object survives a power cut only after the next
    /// `sync` that succeeds.
    ///
    /// It is readable at once. After a power cut before `sync` it may be absent, cut short or filled
    /// with anything, so nothing durable may name it until `sync` has returned.
    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error>;

    /// Makes every deferred put that returned before this call durable.
    ///
    /// An error means that at least one deferred object is lost, whoever put it: then every later
    /// `sync` of this store fails as well, until the destination is opened anew.
    fn sync(&self) -> Result<(), Error>;

    /// The whole object. Errors: `NotFound`; `Damaged` if it ends early, is larger than [`MAX_OBJECT`]
    /// or cannot be read although the destination can.
    fn get(&self, key: &Key) -> Result<Vec<u8>, Error>;

    /// The whole object, if it has at most `limit` bytes: `Damaged` if it has more.
    ///
    /// No store allocates more than `limit` for a larger object: a destination that somebody else writes
    /// to must not fill our memory with what should be small. Otherwise like `get`; one request there,
    /// and `size` before it where a store does not do better.
    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        let refuse = |size| {
            let damaged = Error::new(
                ErrorKind::Damaged,
                Verb::Get,
                key.as_str(),
                "the destination",
            );
            Err(damaged.because(too_large(size, limit)))
        };
        if let Some(size) = self.size(key)?.filter(|size| *size > limit) {
            return refuse(size);
        }
        let bytes = self.get(key)?;
        // It may have grown since, or the destination may have lied.
        match bytes.len() as u64 {
            size if size > limit => refuse(size),
            _ => Ok(bytes),
        }
    }

    /// The bytes of `range`, counted from the object's begin; exactly as many as asked for.
    ///
    /// Errors: `NotFound`, `Damaged` if the object is shorter, `Invalid` if the range ends before it
    /// begins.
    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error>;

    /// The object's size in bytes, `None` if there is none.
    fn size(&self, key: &Key) -> Result<Option<u64>, Error>;

    /// The objects whose keys begin with `prefix` (any text) and come after `after`, in key order.
    ///
    /// At most `limit` of them; a `limit` of 0 counts as 1. Nothing may be concluded from what a
    /// listing does not show: it may be stale.
    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error>;

    /// Removes the object. Durable in time, not necessarily when it returns.
    fn delete(&self, key: &Key) -> Result<Deletion, Error>;

    /// Requests and bytes so far.
    fn counters(&self) -> Counters;

    /// Whether listings are dear here, or slow: who can do without one does.
    fn listing_is_dear(&self) -> bool {
        false
    }
}

/// Why an object is not read.
pub(crate) fn too_large(size: u64, limit: u64) -> String {
    format!("it has {size} bytes, and at most {limit} can be ours")
}

impl<S: ObjectStore + ?Sized> ObjectStore for Arc<S> {
    fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
        (**self).put(key, bytes, mode)
    }

    fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
        (**self).put_deferred(key, bytes)
    }

    fn sync(&self) -> Result<(), Error> {
        (**self).sync()
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        (**self).get(key)
    }

    fn get_at_most(&self, key: &Key, limit: u64) -> Result<Vec<u8>, Error> {
        (**self).get_at_most(key, limit)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
        (**self).get_range(key, range)
    }

    fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
        (**self).size(key)
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        (**self).list(prefix, after, limit)
    }

    fn delete(&self, key: &Key) -> Result<Deletion, Error> {
        (**self).delete(key)
    }

    fn counters(&self) -> Counters {
        (**self).counters()
    }

    fn listing_is_dear(&self) -> bool {
        (**self).listing_is_dear()
    }
}

#[cfg(test)]
mod tests {
    //! What the trait does by itself.

    use super::*;
    use crate::MemoryStore;

    /// Leaves `get_at_most` to the trait, and says a wrong size if told to.
    #[derive(Debug)]
    struct Plain(MemoryStore, Option<u64>);

    impl ObjectStore for Plain {
        fn put(&self, key: &Key, bytes: &[u8], mode: PutMode) -> Result<Put, Error> {
            self.0.put(key, bytes, mode)
        }

        fn put_deferred(&self, key: &Key, bytes: &[u8]) -> Result<Put, Error> {
            self.0.put_deferred(key, bytes)
        }

        fn sync(&self) -> Result<(), Error> {
            self.0.sync()
        }

        fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
            self.0.get(key)
        }

        fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, Error> {
            self.0.get_range(key, range)
        }

        fn size(&self, key: &Key) -> Result<Option<u64>, Error> {
            Ok(self.1.or(self.0.size(key)?))
        }

        fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
            self.0.list(prefix, after, limit)
        }

        fn delete(&self, key: &Key) -> Result<Deletion, Error> {
            self.0.delete(key)
        }

        fn counters(&self) -> Counters {
            self.0.counters()
        }
    }

    #[test]
    fn a_store_without_limits_of_its_own_conforms() {
        crate::conformance::check(&|| Arc::new(Plain(MemoryStore::new(), None)));
    }

    #[test]
    fn what_is_larger_is_not_asked_for_and_a_wrong_size_is_found_out() {
        let key = Key::new("k").unwrap();
        for (told, gets) in [(None, 0), (Some(1), 1)] {
            let store = Plain(MemoryStore::new(), told);
            store.put(&key, b"12345", PutMode::Create).unwrap();
            let error = store.get_at_most(&key, 4).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged);
            assert_eq!(store.counters().gets, gets);
        }
    }
}
