//! A set of metadata block numbers as one bit each: at most 508 KiB, whatever a damaged tree says.

use convoy_units::MetadataBlock;

/// A set of block numbers below a fixed limit.
#[derive(Debug, Clone)]
pub struct Bitmap {
    words: Vec<u64>,
}

impl Bitmap {
    /// The empty set of numbers below `limit`.
    ///
    /// # Panics
    /// If the machine cannot address `limit` bits.
    pub fn new(limit: u64) -> Self {
        let words = usize::try_from(limit.div_ceil(64)).expect("a bit per block fits the memory");
        Self {
            words: vec![0; words],
        }
    }

    /// Adds a number; says whether it was new. A number past the limit is never new.
    pub fn insert(&mut self, block: MetadataBlock) -> bool {
        let (index, bit) = split(block);
        let Some(word) = self.words.get_mut(index) else {
            return false;
        };
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether a number is in the set.
    pub fn contains(&self, block: MetadataBlock) -> bool {
        let (index, bit) = split(block);
        self.words.get(index).is_some_and(|word| word & bit != 0)
    }

    /// Takes a number out.
    pub fn remove(&mut self, block: MetadataBlock) {
        let (index, bit) = split(block);
        if let Some(word) = self.words.get_mut(index) {
            *word &= !bit;
        }
    }
}

fn split(block: MetadataBlock) -> (usize, u64) {
    let index = usize::try_from(block.0 / 64).unwrap_or(usize::MAX);
    (index, 1 << (block.0 % 64))
}
