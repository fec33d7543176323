//! How full is too full: what would exhaust the pool is refused before it begins, and what empties it never is.
//!
//! The floors are for what we are asked to make. Writers of volumes that exist go on above them; for those
//! there is the reserve (`reserve`) and the daemon's look at the pool (`health`). Why these figures:
//! `docs/decisions/0015-space-and-health.md`.

mod bounded;
mod grow;
mod reserve;

pub(crate) use bounded::Bounded;
pub use grow::GrowPool;
pub(crate) use grow::low_water;
pub(crate) use reserve::Reserve;

use crate::engine::Engine;
use crate::error::{Doing, Error};
use convoy_fault::{Fault, Kind};
use convoy_thinpool::{Mode, Pool, PoolStatus, PoolUsage};
use convoy_units::{Bytes, DataBlockSize};

/// The share of the metadata in use, in percent, from which nothing new is made. Snapshots are what eats it:
/// each lets every write after it copy up to a block of metadata, and it runs out without a grace period.
const METADATA_MOST: u64 = 85;
/// The part of the data that new volumes and snapshots leave free: a twentieth.
const DATA_LEAST: u64 = 20;
/// But no more than this: on large pools a twentieth is more than the time to act takes.
const DATA_LEAST_MOST: Bytes = Bytes::gib(8);

/// Data blocks that are kept free for the writers of volumes that exist.
fn floor(total: u64, block: DataBlockSize) -> u64 {
    let most = DATA_LEAST_MOST.0 / block.bytes().0;
    (total / DATA_LEAST).min(most).max(1)
}

/// Why nothing new can be made, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Full {
    what: String,
    hint: &'static str,
}

fn full(usage: &PoolUsage, block: DataBlockSize) -> Option<Full> {
    let free = usage.data.total.saturating_sub(usage.data.used);
    let floor = floor(usage.data.total, block);
    if usage.mode == Mode::OutOfDataSpace || free == 0 {
        return Some(Full {
            what: "the pool has no data space left".to_owned(),
            hint: "delete a snapshot or a volume: that works still",
        });
    }
    if free <= floor {
        let (free, kept) = (bytes(free, block), bytes(floor, block));
        return Some(Full {
            what: format!(
                "the pool has {free} of data space left, and {kept} are kept for the writers of volumes that exist"
            ),
            hint: "delete a snapshot or a volume, or make the pool larger",
        });
    }
    if usage.metadata.used * 100 >= usage.metadata.total * METADATA_MOST {
        let (used, total) = (usage.metadata.used, usage.metadata.total);
        return Some(Full {
            what: format!(
                "{used} of {total} blocks of the pool's metadata are in use, {METADATA_MOST} % or more"
            ),
            hint: "delete snapshots, which are what takes metadata, or make the pool's metadata larger",
        });
    }
    None
}

fn bytes(blocks: u64, block: DataBlockSize) -> Bytes {
    Bytes(blocks.saturating_mul(block.bytes().0))
}

/// Refuses where there is no room for anything new.
pub(crate) fn refuse_full(pool: &Pool, doing: impl Fn() -> String) -> Result<(), Error> {
    let usage = refuse_unhealthy(pool, &doing)?;
    match full(&usage, pool.spec().block_size) {
        None => Ok(()),
        Some(Full { what, hint }) => {
            Err(Error::new(Kind::PoolFull, format!("{}: {what}", doing())).hinting(hint))
        }
    }
}

/// Refuses what the pool would refuse: said before anything is taken down or recorded.
pub(crate) fn refuse_unhealthy(
    pool: &Pool,
    doing: impl Fn() -> String,
) -> Result<PoolUsage, Error> {
    let status = pool.status().doing(&doing)?;
    let refused = |kind, hint: &str| {
        let what = format!("{}: the pool is {status}", doing());
        Err(Error::new(kind, what).hinting(hint))
    };
    match &status {
        PoolStatus::Working(usage) if status.takes_messages() => Ok(usage.clone()),
        status if status.needs_check() => refused(
            Kind::PoolNeedsCheck,
            "volumes can still be read. Stop the daemon and what uses the volumes, then check the metadata: `convoy doctor` explains",
        ),
        PoolStatus::Working(usage) if usage.metadata.used >= usage.metadata.total => refused(
            Kind::PoolUnhealthy,
            "its metadata is full, and only more of it helps: make the metadata device larger; it is taken over within seconds",
        ),
        _ => refused(
            Kind::PoolUnhealthy,
            "volumes can still be read, as far as the disks let them. Look at the kernel's log, then `convoy doctor`",
        ),
    }
}

impl Engine {
    /// [`refuse_full`] of this engine's pool, whose reserve is given to it before it refuses anybody.
    pub(crate) fn refuse_full(&self, doing: impl Fn() -> String) -> Result<(), Error> {
        match refuse_full(&self.pool, &doing) {
            Err(error) if error.kind() == Kind::PoolFull => {
                self.widen();
                match refuse_full(&self.pool, &doing) {
                    Err(error) if error.kind() == Kind::PoolFull && self.make_room() => {
                        refuse_full(&self.pool, doing)
                    }
                    checked => checked,
                }
            }
            checked => checked,
        }
    }

    /// [`refuse_unhealthy`] of this engine's pool.
    pub(crate) fn refuse_unhealthy(&self, doing: impl Fn() -> String) -> Result<(), Error> {
        refuse_unhealthy(&self.pool, doing).map(drop)
    }
}

#[cfg(test)]
mod tests {
    //! The figures at which nothing new is made.

    use super::*;
    use convoy_thinpool::{Discards, NoSpace, Usage};
    use convoy_units::TransactionId;

    fn usage(data: (u64, u64), metadata: (u64, u64)) -> PoolUsage {
        let usage = |(used, total)| Usage { used, total };
        PoolUsage {
            transaction_id: TransactionId(0),
            metadata: usage(metadata),
            data: usage(data),
            held_root: None,
            mode: Mode::Writable,
            discards: Discards::PassedDown,
            no_space: NoSpace::Queue,
            needs_check: false,
            metadata_low_water: None,
        }
    }

    #[track_caller]
    fn check(data: (u64, u64), metadata: (u64, u64), words: Option<&str>) {
        let found = full(&usage(data, metadata), DataBlockSize::DEFAULT);
        match (found, words) {
            (None, None) => (),
            (Some(full), Some(words)) => assert!(full.what.contains(words), "{}", full.what),
            (found, _) => panic!("{found:?}"),
        }
    }

    #[test]
    fn nothing_is_made_past_the_floors() {
        check((0, 1000), (111, 1024), None);
        check((949, 1000), (111, 1024), None);
        check((950, 1000), (111, 1024), Some("kept for the writers"));
        check((1000, 1000), (111, 1024), Some("no data space left"));
        check((0, 1000), (870, 1024), None);
        check((0, 1000), (871, 1024), Some("of the pool's metadata"));
        // A pool of a few blocks keeps one.
        check((2, 4), (111, 1024), None);
        check((3, 4), (111, 1024), Some("kept for"));
    }

    #[test]
    fn a_large_pool_keeps_no_more_than_eight_gibibytes() {
        let total = Bytes::gib(10_000).0 / DataBlockSize::DEFAULT.bytes().0;
        assert_eq!(floor(total, DataBlockSize::DEFAULT), 4096);
    }

    #[test]
    fn a_pool_out_of_data_space_is_full_whatever_it_counts() {
        let mut usage = usage((10, 1000), (111, 1024));
        usage.mode = Mode::OutOfDataSpace;
        assert!(full(&usage, DataBlockSize::DEFAULT).is_some());
    }
}
