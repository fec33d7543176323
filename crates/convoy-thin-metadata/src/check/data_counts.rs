//! How many leaf entries point at each data block.
//!
//! One byte a block, in pages that exist once a block of theirs is mapped, and a map for the few counts that need
//! more. A page stands for one bitmap of the space map, and each bitmap is a metadata block, so that memory stays
//! below four times the metadata whatever a damaged leaf says.

use crate::space_map::PER_BITMAP;
use convoy_units::DataBlock;
use std::collections::BTreeMap;

const PAGE: usize = 16_320;
const _: () = assert!(PAGE as u64 == PER_BITMAP);

/// Counts by data block.
#[derive(Debug)]
pub(super) struct DataCounts {
    pages: Vec<Option<Box<[u8]>>>,
    /// What is beyond the 255 of a page's byte.
    beyond: BTreeMap<u64, u32>,
    /// Whether every entry named a block that can be counted.
    pub(super) complete: bool,
}

impl DataCounts {
    /// For a pool of `data_blocks` blocks on `metadata_blocks` of metadata. More data blocks than bitmaps can be
    /// there are not counted.
    pub(super) fn new(data_blocks: u64, metadata_blocks: u64) -> Self {
        let pages = data_blocks.div_ceil(PER_BITMAP).min(metadata_blocks);
        let pages = usize::try_from(pages).expect("at most as many as metadata blocks");
        Self {
            pages: vec![None; pages],
            beyond: BTreeMap::new(),
            complete: true,
        }
    }

    /// Counts one more entry that points at `block`.
    pub(super) fn add(&mut self, block: DataBlock) {
        let (page, entry) = split(block.0);
        let Some(page) = self.pages.get_mut(page) else {
            self.complete = false;
            return;
        };
        let page = page.get_or_insert_with(|| vec![0; PAGE].into_boxed_slice());
        let count = page.get_mut(entry).expect("an entry is below its page");
        match count.checked_add(1) {
            Some(more) => *count = more,
            None => *self.beyond.entry(block.0).or_default() += 1,
        }
    }

    /// How many entries point at `block`.
    pub(super) fn get(&self, block: u64) -> u32 {
        let (page, entry) = split(block);
        let page = self.pages.get(page).and_then(Option::as_ref);
        match page.and_then(|page| page.get(entry)) {
            None => 0,
            Some(&u8::MAX) => u32::from(u8::MAX) + self.beyond.get(&block).copied().unwrap_or(0),
            Some(&count) => u32::from(count),
        }
    }
}

fn split(block: u64) -> (usize, usize) {
    let page = usize::try_from(block / PER_BITMAP).unwrap_or(usize::MAX);
    let entry = usize::try_from(block % PER_BITMAP).expect("below 16 320");
    (page, entry)
}

#[cfg(test)]
mod tests {
    //! Counts past a byte, and blocks nobody mapped.

    use super::*;

    #[test]
    fn counts_past_a_byte() {
        let mut counts = DataCounts::new(40_000, 100);
        for _ in 0..600 {
            counts.add(DataBlock(16_320));
        }
        counts.add(DataBlock(16_319));
        counts.add(DataBlock(1 << 39));
        let found = [0, 16_319, 16_320, 16_321, 1 << 39].map(|block| counts.get(block));
        assert_eq!(found, [0, 1, 600, 0, 0]);
        assert_eq!(DataCounts::new(1 << 40, 2).pages.len(), 2);
    }
}
