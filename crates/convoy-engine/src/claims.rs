//! Who is busy with what: short exclusive claims on one volume at a time.
//!
//! A verb holds at most one claim of one set, so claims cannot deadlock. No claim on a volume is held
//! while a backup moves data: a backup only pins its snapshot (catalog) and queues behind other backups
//! of the same volume in a set of its own.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// A set of claims.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Mutex<HashSet<Uuid>>,
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
        while !held.insert(id) {
            held = self
                .freed
                .wait(held)
                .unwrap_or_else(PoisonError::into_inner);
        }
        Claim { of: self, id }
    }

    /// Holds `id` if nobody else does.
    pub(crate) fn try_claim(&self, id: Uuid) -> Option<Claim<'_>> {
        self.lock().insert(id).then_some(Claim { of: self, id })
    }

    /// A set of ids is whole whatever panicked beside it.
    fn lock(&self) -> MutexGuard<'_, HashSet<Uuid>> {
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
    fn another_volume_is_free() {
        let claims = Claims::default();
        let _one = claims.claim(Uuid::now_v7());
        let _other = claims.claim(Uuid::now_v7());
    }
}
