//! How much was asked of a destination: requests by verb, bytes each way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Verb;

/// Requests and bytes since the store was opened. Failed requests count too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// `put` and `put_deferred`.
    pub puts: u64,
    /// `get` and `get_range`.
    pub gets: u64,
    /// `size`.
    pub sizes: u64,
    /// `list`, one per page.
    pub lists: u64,
    /// `delete`.
    pub deletes: u64,
    /// `sync`.
    pub syncs: u64,
    /// Bytes of objects read from the destination.
    pub bytes_in: u64,
    /// Bytes of objects given to the destination.
    pub bytes_out: u64,
}

impl Counters {
    /// All requests but `sync`, which sends none to most destinations.
    pub fn requests(&self) -> u64 {
        self.puts + self.gets + self.sizes + self.lists + self.deletes
    }
}

/// The live counters of one store.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    puts: AtomicU64,
    gets: AtomicU64,
    sizes: AtomicU64,
    lists: AtomicU64,
    deletes: AtomicU64,
    syncs: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Meter {
    pub(crate) fn request(&self, verb: Verb) {
        let counter = match verb {
            Verb::Put | Verb::PutDeferred => &self.puts,
            Verb::Get | Verb::GetRange => &self.gets,
            Verb::Size => &self.sizes,
            Verb::List => &self.lists,
            Verb::Delete => &self.deletes,
            Verb::Sync => &self.syncs,
            Verb::Open => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self, bytes: &[u8]) {
        self.bytes_in
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn written(&self, bytes: &[u8]) {
        self.bytes_out
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    pub(crate) fn counters(&self) -> Counters {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            puts: value(&self.puts),
            gets: value(&self.gets),
            sizes: value(&self.sizes),
            lists: value(&self.lists),
            deletes: value(&self.deletes),
            syncs: value(&self.syncs),
            bytes_in: value(&self.bytes_in),
            bytes_out: value(&self.bytes_out),
        }
    }
}
