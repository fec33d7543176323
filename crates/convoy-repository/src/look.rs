//! A look at what packs the store still has, before a backup is built on them.
//!
//! An incremental backup takes over most of its base's tree unread, so it would go on for ever over packs
//! that somebody's cleaning has removed. One page of a listing tells of a thousand of them. A listing
//! proves nothing by itself (format §10): what it lacks is asked for by name. Where listings are dear, a host lists
//! once a day; at other times it asks for one pack by name, and lists when that is gone.

use crate::error::Error;
use crate::patience::{patiently, window};
use crate::repository::{Inner, Repository, random};
use crate::segment::PackEntry;
use convoy_objectstore::Key;
use std::collections::BTreeMap;
use std::time::Duration;

/// Packs looked for at a time: one page of a listing, everywhere.
const PAGE: usize = 1000;
/// If so many that a listing lacked are all there, it is the listing that is wrong.
const DOUBTS: usize = 16;
/// How long one host's listing is good for, where listings are dear.
const GOOD_FOR: Duration = Duration::from_hours(24);

impl Repository {
    /// Asks the store by one listing whether packs that the index names are there at their full length,
    /// and distrusts those that are not; how many those were.
    ///
    /// All of up to 1000 packs; of more, 1000 neighbours from a random place on, so that every pack has
    /// its turn in time. One request, and one or two for each pack that the listing lacks. A store that does not
    /// list tells nothing, and that is no error. Where listings are dear and this host has listed within a day, one
    /// pack is asked for by name instead.
    pub fn look_for_packs(&self) -> Result<usize, Error> {
        let inner = &self.inner;
        inner.follow_index()?;
        let packs = inner.packs();
        if inner.has_looked() && inner.finds_one(self, &packs)? {
            return Ok(0);
        }
        let first = first_of(packs.len())?;
        let (Some((_, begin)), after) = (
            packs.iter().nth(first),
            first.checked_sub(1).and_then(|n| packs.keys().nth(n)),
        ) else {
            return Ok(0);
        };
        tracing::debug!(from = %begin.name, of = packs.len(), "looking for packs");
        let listed = patiently(
            &*inner.patience,
            || "list packs".to_owned(),
            || inner.store.list("packs/", after, PAGE),
        );
        let page = match listed {
            Ok(page) => page,
            Err(error) => {
                let error = convoy_fault::chain(&error);
                tracing::warn!("going on without a look at the packs of earlier backups: {error}");
                return Ok(0);
            }
        };
        let end = page
            .entries
            .last()
            .filter(|_| page.more)
            .map(|entry| entry.key.clone());
        if page.more && end.is_none() {
            return Ok(0);
        }
        let sizes: BTreeMap<Key, u64> = page
            .entries
            .into_iter()
            .map(|entry| (entry.key, entry.size))
            .collect();
        let (mut lost, mut there) = (0, 0);
        for (key, pack) in packs.iter().skip(first).take(PAGE) {
            if end.as_ref().is_some_and(|end| key > end) || (lost == 0 && there >= DOUBTS) {
                break;
            }
            if sizes.get(key) == Some(&u64::from(pack.length)) {
                continue;
            }
            if inner.is_whole_patiently(self, pack)? {
                there += 1;
            } else {
                inner.distrust.add(&pack.name);
                lost += 1;
            }
        }
        if let Some(cache) = &inner.cache {
            cache.note_look();
        }
        Ok(lost)
    }
}

/// Where to begin among so many in order: each has the same chance to be within `PAGE` of it.
fn first_of(packs: usize) -> Result<usize, Error> {
    if packs <= PAGE {
        return Ok(0);
    }
    let random = usize::from_le_bytes(random()?) % (packs + PAGE - 1);
    Ok(random.saturating_sub(PAGE - 1))
}

impl Inner {
    /// Packs that the index names, neither dead nor distrusted, in the order of a listing.
    fn packs(&self) -> BTreeMap<Key, PackEntry> {
        self.log.with_fold(|fold| {
            let index = self.index();
            let wanted = |pack: &&PackEntry| {
                !fold.dead().contains(pack.name.pack()) && !self.distrust.contains(&pack.name)
            };
            let packs = index.packs().filter(wanted);
            packs.map(|pack| (pack.name.pack_key(), *pack)).collect()
        })
    }

    /// Whether a listing would cost more than it tells, so soon after another.
    fn has_looked(&self) -> bool {
        let noted = || {
            let cache = self.cache.as_ref();
            cache.is_some_and(|cache| cache.looked_within(GOOD_FOR))
        };
        self.store.listing_is_dear() && noted()
    }

    /// Asks for one of them, whichever.
    fn finds_one(
        &self,
        repository: &Repository,
        packs: &BTreeMap<Key, PackEntry>,
    ) -> Result<bool, Error> {
        let chosen = usize::from_le_bytes(random()?) % packs.len().max(1);
        match packs.values().nth(chosen) {
            Some(pack) => self.is_whole_patiently(repository, pack),
            None => Ok(true),
        }
    }

    /// A store may say for a while that an object is not there.
    fn is_whole_patiently(&self, repository: &Repository, pack: &PackEntry) -> Result<bool, Error> {
        let size = repository.pack_size(&pack.name)?;
        if size.is_some() {
            return Ok(size == Some(u64::from(pack.length)));
        }
        self.patience.pause(window(1));
        Ok(repository.pack_size(&pack.name)? == Some(u64::from(pack.length)))
    }
}

#[cfg(test)]
mod tests {
    //! Every pack has its turn.

    use super::*;

    #[test]
    fn the_begin_is_fair() {
        assert_eq!((first_of(0).unwrap(), first_of(PAGE).unwrap()), (0, 0));
        let packs = 3 * PAGE;
        let mut seen = vec![false; packs];
        for _ in 0..300 {
            let first = first_of(packs).unwrap();
            assert!(first < packs);
            seen.iter_mut()
                .skip(first)
                .take(PAGE)
                .for_each(|seen| *seen = true);
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}
