//! Who is busy with what: short exclusive claims on one volume at a time.
//!
//! A verb holds at most one claim of one set, or several that it waited for holding none ([`Claims::claim_all`]), so
//! claims cannot deadlock. No claim on a volume is held
//! while a backup moves data: a backup only pins its snapshot (catalog) and queues behind other backups
//! of the same volume in a set of its own.

use crate::error::Error;
use crate::operation::{Event, Operation};
use convoy_fault::Kind;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// How often who waits looks whether it is still to.
const LOOK: Duration = Duration::from_millis(100);

/// A set of claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// What is claimed, and the operation that has it, where that was said.
    held: Mutex<HashMap<Uuid, Uuid>>,
    freed: Condvar,
}

/// One claim; given up when dropped, on a panic too.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    of: &'a Claims,
    id: Uuid,
}

impl Claims {
    /// Waits until nobody else holds `id`, then holds it.
    pub(crate) fn claim(&self, id: Uuid) -> Claim<'_> {
        let mut held = self.lock();
        while held.contains_key(&id) {
            held = self
                .freed
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        held.insert(id, Uuid::nil());
        Claim { of: self, id }
    }

    /// Waits until nobody else holds `id`, then holds it for this operation, which is told whom it waits for.
    ///
    /// # Errors
    /// `Interrupted` when the operation is to stop meanwhile.
    pub(crate) fn claim_for(&self, id: Uuid, op: &Operation<'_>) -> Result<Claim<'_>, Error> {
        let mut waited = None;
        let mut held = self.lock();
        loop {
            let holder = match held.entry(id) {
                Entry::Vacant(free) => {
                    free.insert(op.id);
                    break;
                }
                Entry::Occupied(taken) => *taken.get(),
            };
            // Nobody who listens is called under the lock.
            drop(held);
            if waited != Some(holder) {
                op.observer.event(Event::Waiting(Some(holder)));
                waited = Some(holder);
            }
            if op.observer.cancelled() {
                let what = format!("waiting for operation {holder}");
                return Err(Error::new(Kind::Interrupted, what).hinting("nothing was begun"));
            }
            held = self.lock();
            if held.contains_key(&id) {
                let woken = self.freed.wait_timeout(held, LOOK);
                held = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
        drop(held);
        if waited.is_some() {
            op.observer.event(Event::Waiting(None));
        }
        Ok(Claim { of: self, id })
    }

    /// Waits until nobody else holds any of `ids`, which differ, then holds them all. While it waits it holds none:
    /// two that want the same do not wait for each other.
    pub(crate) fn claim_all(&self, ids: &[Uuid]) -> Vec<Claim<'_>> {
        let mut held = self.lock();
        while ids.iter().any(|id| held.contains_key(id)) {
            held = self
                .freed
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        held.extend(ids.iter().map(|id| (*id, Uuid::nil())));
        ids.iter().map(|id| Claim { of: self, id: *id }).collect()
    }

    /// Holds `id` if nobody else does.
    pub(crate) fn try_claim(&self, id: Uuid) -> Option<Claim<'_>> {
        match self.lock().entry(id) {
            Entry::Vacant(free) => {
                free.insert(Uuid::nil());
                Some(Claim { of: self, id })
            }
            Entry::Occupied(_) => None,
        }
    }

    /// A map of ids is whole whatever panicked beside it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Uuid>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// What is claimed.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.of.lock().remove(&self.id);
        self.of.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    //! One holder at a time, others undisturbed.

    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_holder_at_a_time() {
        let (claims, id) = (Claims::default(), Uuid::now_v7());
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let _claim = claims.claim(id);
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
    }

    #[test]
    fn groups_that_overlap_do_not_wait_for_each_other() {
        let claims = Claims::default();
        let ids = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
        let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for n in 0..6 {
                let (claims, inside, most) = (&claims, &inside, &most);
                let mut mine = ids;
                mine.rotate_left(n % 3);
                scope.spawn(move || {
                    for _ in 0..50 {
                        // Any two of three overlap.
                        let _group = claims.claim_all(&mine[..2]);
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(claims.try_claim(mine[2]));
                    }
                });
            }
        });
        assert_eq!(most.into_inner(), 1);
        assert!(claims.try_claim(ids[0]).is_some(), "all are given up");
    }

    #[test]
    fn another_volume_is_free() {
        let claims = Claims::default();
        let _one = claims.claim(Uuid::now_v7());
        let _other = claims.claim(Uuid::now_v7());
    }
}
