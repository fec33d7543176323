//! The log: reading it to its end, and appending to it (format §9, protocol §4).
//!
//! `log/<n>` by create-if-absent is the only point where hosts meet. A slot is tried only after all
//! below it were read and folded; an unclear answer is repeated with the same bytes at the same slot;
//! and what was written is read back before anybody is told.

use crate::body::Body;
use crate::cache::Cache;
use crate::entry::{self, Entry, Stamp, slot_key};
use crate::error::Error;
use crate::fold::{Fold, Verdict, Void};
use crate::id::FullHash;
use crate::keys::Keys;
use crate::patience::{Patience, patiently, window, worth_repeating};
use convoy_objectstore::{ErrorKind, Key, ObjectStore, Put, PutMode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use uuid::Uuid;

/// Attempts at one slot without a clear answer before the caller is told so.
const UNCLEAR_ATTEMPTS: u32 = 8;
/// Lost slots in a row before we give up: at windows of up to a minute this is most of an hour.
const LOST_SLOTS: u32 = 64;

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// The entry stands at this slot and counts.
    At(u64),
    /// The operation had taken effect before.
    Before,
    /// The caller found that nothing needs to be written.
    NotNeeded,
}

/// Who appends, under which operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Author {
    pub(crate) op: Uuid,
    pub(crate) host: Uuid,
}

pub(crate) struct Log {
    store: Arc<dyn ObjectStore>,
    keys: Keys,
    patience: Arc<dyn Patience>,
    cache: Option<Cache>,
    /// Whether a store without create-if-absent stands behind: what is there must be seen before.
    look_first: bool,
    /// Whether nobody has asked for the end since it was read at opening.
    fresh: AtomicBool,
    /// One thread of this process at a time reads on or appends.
    turn: Mutex<()>,
    state: RwLock<State>,
}

struct State {
    fold: Fold,
    last: FullHash,
}

enum Slot {
    Ours,
    Taken,
}

impl Log {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        keys: Keys,
        patience: Arc<dyn Patience>,
        cache: Option<Cache>,
        look_first: bool,
    ) -> Self {
        let state = State {
            fold: Fold::default(),
            last: FullHash([0; 32]),
        };
        Self {
            store,
            keys,
            patience,
            cache,
            look_first,
            fresh: AtomicBool::new(false),
            turn: Mutex::new(()),
            state: RwLock::new(state),
        }
    }

    /// The state so far.
    pub(crate) fn with_fold<T>(&self, look: impl FnOnce(&Fold) -> T) -> T {
        look(&self.state().fold)
    }

    /// Takes the local copy's entries, then asks the store whether the last of them is still there.
    pub(crate) fn load_cache(&self) -> Result<(), Error> {
        let Some(cache) = &self.cache else {
            return Ok(());
        };
        if let Err(error) = cache.entries(|bytes| self.take(bytes).is_ok()) {
            let error = convoy_fault::chain(&error);
            tracing::warn!("going on with what could be read of the local cache: {error}");
        }
        let slots = self.with_fold(Fold::slots);
        let Some(last) = slots.checked_sub(1) else {
            return Ok(());
        };
        let found = match self.get(&slot_key(last)) {
            Ok(bytes) => FullHash::of(&bytes) == self.state().last,
            Err(error) if is_absent(&error) => false,
            Err(error) => return Err(error),
        };
        if found {
            return Ok(());
        }
        // Damage of this one entry looks the same, so what comes after it is not consulted.
        Err(Error::damaged(
            slot_key(last).as_str(),
            "this host has seen another entry there: the repository was rolled back, or a copy of it is in use",
        ))
    }

    /// After a reading that took nothing from the local copy: whether the store still has all that this
    /// host has seen, and nothing behind the end. `Damaged` names the first slot that is lost.
    pub(crate) fn compare_with_cache(&self) -> Result<(), Error> {
        let slots = self.with_fold(Fold::slots);
        let lost = |slot| {
            Error::damaged(
                slot_key(slot).as_str(),
                "it is gone, and with it what the log said from there on",
            )
        };
        match self.get(&slot_key(slots + 1)) {
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
            Ok(_) => return Err(lost(slots)),
        }
        let mut last = FullHash([0; 32]);
        let mut seen = 0;
        for bytes in self.cache.iter().flat_map(Cache::seen) {
            // What is torn or not ours says nothing.
            if entry::decode(&self.keys, seen, last, &bytes).is_err() {
                break;
            }
            last = FullHash::of(&bytes);
            seen += 1;
        }
        if seen > slots {
            return Err(lost(slots));
        }
        let same = match seen.checked_sub(1) {
            None => true,
            Some(slot) => FullHash::of(&self.get_existing(&slot_key(slot))?) == last,
        };
        same.then_some(()).ok_or_else(|| {
            Error::damaged(
                slot_key(seen.saturating_sub(1)).as_str(),
                "this host has seen another entry there: the repository was rolled back, or a copy of it is in use",
            )
        })
    }

    /// The slot at the end, if the one after it is there: an entry that was lost, which must not be
    /// filled with another. One request, more if others append meanwhile.
    pub(crate) fn hole(&self) -> Result<Option<u64>, Error> {
        let mut before = None;
        loop {
            let end = self.with_fold(Fold::slots);
            match self.get(&slot_key(end + 1)) {
                Err(error) if is_absent(&error) => return Ok(None),
                Err(error) => return Err(error),
                Ok(_) if before == Some(end) => return Ok(before),
                // Both may have been appended since we came to the end.
                Ok(_) => {
                    before = Some(end);
                    self.catch_up()?;
                }
            }
        }
    }

    /// As `catch_up`; the reading at opening does for the first call of this.
    pub(crate) fn catch_up_since_opening(&self) -> Result<u64, Error> {
        if self.fresh.swap(false, Ordering::Relaxed) {
            return Ok(self.with_fold(Fold::slots));
        }
        self.catch_up()
    }

    /// The reading of opening is done.
    pub(crate) fn opened(&self) {
        self.fresh.store(true, Ordering::Relaxed);
    }

    /// Reads and folds from the last known slot to the first absent one; the slots read.
    pub(crate) fn catch_up(&self) -> Result<u64, Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.catch_up_in_turn()
    }

    fn catch_up_in_turn(&self) -> Result<u64, Error> {
        loop {
            let n = self.with_fold(Fold::slots);
            let bytes = match self.get(&slot_key(n)) {
                Ok(bytes) => bytes,
                Err(error) if is_absent(&error) => return Ok(n),
                Err(error) => return Err(error),
            };
            let bytes = if self.take(&bytes).is_ok() {
                bytes
            } else {
                // Wrong once may be the way here; wrong twice is the object.
                let again = self.get(&slot_key(n))?;
                self.take(&again)
                    .map_err(|what| Error::damaged(slot_key(n).as_str(), what))?;
                again
            };
            if let Some(cache) = &self.cache {
                cache.append(&bytes);
            }
        }
    }

    /// Decodes and folds the entry of the next slot.
    fn take(&self, bytes: &[u8]) -> Result<(), String> {
        let (slot, last) = {
            let state = self.state();
            (state.fold.slots(), state.last)
        };
        let entry = entry::decode(&self.keys, slot, last, bytes)?;
        if slot == 0 && !matches!(entry.body, Ok(Body::Init(_))) {
            return Err("the first entry is not an init entry".to_owned());
        }
        self.fold(&entry, bytes);
        Ok(())
    }

    fn fold(&self, entry: &Entry, bytes: &[u8]) -> Verdict {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let verdict = state.fold.apply(entry);
        state.last = FullHash::of(bytes);
        if verdict == Verdict::Void(Void::WrongRole) {
            tracing::warn!(slot = entry.slot, host = %entry.host, "a log entry is signed by a role that may not append it");
        } else if verdict != Verdict::Counts {
            tracing::debug!(slot = entry.slot, op = %entry.op, ?verdict, "a log entry does not count");
        }
        verdict
    }

    /// Appends what `make` asks for after it has seen everything before; `make` is asked again
    /// whenever a slot was lost, and `None` from it ends the matter.
    pub(crate) fn append(
        &self,
        author: Author,
        make: &mut dyn FnMut(&Fold) -> Result<Option<Body>, Error>,
    ) -> Result<Appended, Error> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // All below the slot is read, whenever that was; whether the slot is free, its creation tells.
        for attempt in 0..=LOST_SLOTS {
            if attempt > 0 || self.look_first {
                self.catch_up_in_turn()?;
            }
            if self.with_fold(|fold| fold.has_op(author.op)) {
                return Ok(Appended::Before);
            }
            let Some((body, stamp)) = self.draft(author, make)? else {
                return Ok(Appended::NotNeeded);
            };
            let bytes = entry::encode(&self.keys, &stamp, &body);
            match self.create(&stamp, &bytes)? {
                Slot::Ours => return self.settle(&stamp, &bytes),
                // The first time we may just not have looked for long.
                Slot::Taken if attempt == 0 => {}
                Slot::Taken => self.patience.pause(window(attempt)),
            }
        }
        Err(Error::Refused {
            why: "other writers took every slot we tried for".to_owned(),
        })
    }

    /// Still wanted, still valid? Then what to write, and where.
    fn draft(
        &self,
        author: Author,
        make: &mut dyn FnMut(&Fold) -> Result<Option<Body>, Error>,
    ) -> Result<Option<(Body, Stamp)>, Error> {
        let state = self.state();
        if let Some((_, why)) = state.fold.strange() {
            return Err(Error::ReadOnly {
                why: format!("its log has {why}"),
            });
        }
        let Some(body) = make(&state.fold)? else {
            return Ok(None);
        };
        let slot = state.fold.slots();
        let refused = |void: crate::fold::Void| Error::Refused {
            why: void.to_string(),
        };
        state.fold.judge(&body, author.op, slot).map_err(refused)?;
        let time = jiff::Timestamp::now().as_microsecond();
        let stamp = Stamp {
            slot,
            prev: state.last,
            op: author.op,
            host: author.host,
            time,
        };
        Ok(Some((body, stamp)))
    }

    /// Creates the slot's object, repeating the same bytes until the answer is clear.
    fn create(&self, stamp: &Stamp, bytes: &[u8]) -> Result<Slot, Error> {
        if bytes.len() > entry::MAX_BODY {
            return Err(Error::Invalid(format!(
                "a log entry of {} bytes is too long",
                bytes.len()
            )));
        }
        let key = slot_key(stamp.slot);
        let mut unclear = false;
        let mut attempt = 1;
        loop {
            let error = match self.store.put(&key, bytes, PutMode::Create) {
                Ok(Put::Stored) => return Ok(Slot::Ours),
                Ok(Put::Exists) => return self.whose(&key, stamp, bytes),
                Err(error) => error,
            };
            unclear |= error.kind == ErrorKind::Unclear;
            if attempt >= UNCLEAR_ATTEMPTS || !worth_repeating(&error) {
                return Err(if unclear {
                    Error::Unclear {
                        slot: stamp.slot,
                        op: stamp.op,
                        source: error,
                    }
                } else {
                    Error::Store {
                        doing: format!("create {key}"),
                        source: error,
                    }
                });
            }
            self.patience.pause(window(attempt));
            attempt += 1;
        }
    }

    /// The slot has an entry: ours, if an answer was lost, or somebody else's.
    fn whose(&self, key: &Key, stamp: &Stamp, bytes: &[u8]) -> Result<Slot, Error> {
        let found = self.get_existing(key)?;
        if entry::op_of(&found) == Some(stamp.op) && found == bytes {
            Ok(Slot::Ours)
        } else {
            Ok(Slot::Taken)
        }
    }

    /// Reads back what was written, looks at the slot after it, and folds it: only then it is done.
    fn settle(&self, stamp: &Stamp, bytes: &[u8]) -> Result<Appended, Error> {
        self.check(stamp, bytes).map_err(|error| match error {
            Error::Store { source, .. } => Error::Unclear {
                slot: stamp.slot,
                op: stamp.op,
                source,
            },
            error => error,
        })?;
        let entry = entry::decode(&self.keys, stamp.slot, stamp.prev, bytes)
            .map_err(|what| Error::damaged(slot_key(stamp.slot).as_str(), what))?;
        let verdict = self.fold(&entry, bytes);
        if let Some(cache) = &self.cache {
            cache.append(bytes);
        }
        match verdict {
            Verdict::Counts => Ok(Appended::At(stamp.slot)),
            verdict => Err(Error::Refused {
                why: format!("{verdict:?}"),
            }),
        }
    }

    fn check(&self, stamp: &Stamp, bytes: &[u8]) -> Result<(), Error> {
        let key = slot_key(stamp.slot);
        if self.get_existing(&key)? != bytes {
            return Err(Error::StoreLies {
                what: format!("{key} was created by us and holds something else"),
            });
        }
        let next = slot_key(stamp.slot + 1);
        match self.get(&next) {
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(error),
            Ok(after) if entry::prev_of(&after) == Some(FullHash::of(bytes)) => Ok(()),
            Ok(_) => Err(Error::StoreLies {
                what: format!("{next} was there before {key} was created"),
            }),
        }
    }

    fn get(&self, key: &Key) -> Result<Vec<u8>, Error> {
        patiently(
            &*self.patience,
            || format!("read {key}"),
            || self.store.get_at_most(key, entry::MAX_ENTRY),
        )
    }

    /// An object that exists, though the store may say for a while that it does not (a stale 404).
    fn get_existing(&self, key: &Key) -> Result<Vec<u8>, Error> {
        for attempt in 1..=4 {
            match self.get(key) {
                Err(error) if is_absent(&error) => self.patience.pause(window(attempt)),
                answer => return answer,
            }
        }
        Err(Error::StoreLies {
            what: format!("{key} exists, and cannot be read"),
        })
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the store says that there is no such object.
pub(crate) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Store { source, .. } if source.kind == ErrorKind::NotFound)
}
