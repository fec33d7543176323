//! Random histories of a pool, as proptest strategies that shrink to short ones.

use super::pool::PoolModel;
use proptest::prelude::*;

/// One thing that happens to a pool. Devices are named by position so that shrinking keeps ids valid.
#[derive(Debug, Clone)]
pub enum Step {
    /// A new empty device.
    Create,
    /// A snapshot of the n-th device, counted round.
    Snapshot(usize),
    /// Deletes the n-th device, unless it is the only one.
    Delete(usize),
    /// Writes `len` blocks from `begin` on, every `stride`-th.
    Write {
        /// The n-th device.
        device: usize,
        /// First block.
        begin: u64,
        /// How many blocks.
        len: u64,
        /// Distance between them.
        stride: u64,
    },
    /// Discards `len` blocks from `begin` on.
    Discard {
        /// The n-th device.
        device: usize,
        /// First block.
        begin: u64,
        /// How many blocks.
        len: u64,
    },
}

/// A history of up to `steps` steps on thin blocks below `blocks`.
pub fn history(steps: usize, blocks: u64) -> impl Strategy<Value = Vec<Step>> {
    let device = 0..8_usize;
    let begin = 0..blocks;
    let len = prop_oneof![4 => 1..8_u64, 1 => 1..blocks];
    let write = (
        device.clone(),
        begin.clone(),
        len.clone(),
        prop_oneof![4 => Just(1), 1 => 2..9_u64],
    );
    let write = write.prop_map(|(device, begin, len, stride)| Step::Write {
        device,
        begin,
        len,
        stride,
    });
    let discard = (device.clone(), begin, len);
    let discard = discard.prop_map(|(device, begin, len)| Step::Discard { device, begin, len });
    let step = prop_oneof![
        1 => Just(Step::Create),
        3 => device.clone().prop_map(Step::Snapshot),
        1 => device.prop_map(Step::Delete),
        6 => write,
        3 => discard,
    ];
    proptest::collection::vec(step, 0..steps)
}

/// Plays a history on a pool with one device to begin with. Ids are 1, 2, 3, …, thin blocks below `blocks`.
pub fn play(pool: &mut PoolModel, history: &[Step], blocks: u64) {
    let mut next = pool.ids().last().map_or(1, |last| last + 1);
    if pool.ids().is_empty() {
        pool.create_thin(next);
        next += 1;
    }
    for step in history {
        pool.transaction += 1;
        let ids = pool.ids();
        let id = |n: &usize| ids[n % ids.len()];
        match step {
            Step::Create => next += u32::from(pool.create_thin(next)),
            Step::Snapshot(n) => next += u32::from(pool.create_snap(next, id(n))),
            Step::Delete(n) if ids.len() > 1 => {
                pool.delete(id(n));
            }
            Step::Delete(_) => {}
            Step::Write {
                device,
                begin,
                len,
                stride,
            } => {
                let keys = (0..*len)
                    .map(|i| begin + i * stride)
                    .filter(|key| *key < blocks);
                for key in keys {
                    pool.write(id(device), key);
                }
            }
            Step::Discard { device, begin, len } => pool.discard(id(device), *begin, *len),
        }
    }
}
