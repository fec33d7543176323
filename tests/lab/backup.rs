//! Backups and restores through the library, on a real kernel: correct after every history, refused on
//! every doubt, and in nobody's way.

use convoy_tests::noise::fill;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

mod chain;
mod damage;
mod destination;
mod listed;
mod meanwhile;

/// The pool's block, unless a test says otherwise.
const BLOCK: u64 = 2 << 20;

/// Fills the first half of some of a device's blocks with bytes of this seed, durably.
#[track_caller]
fn put(device: &Path, blocks: &[u64], seed: u64) {
    let file = fs::OpenOptions::new().write(true).open(device).unwrap();
    let mut bytes = vec![0; 1 << 20];
    for block in blocks {
        fill(seed * 1000 + block, &mut bytes);
        file.write_all_at(&bytes, block * BLOCK).unwrap();
    }
    file.sync_all().unwrap();
}
