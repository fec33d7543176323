//! Who points at each metadata block, counted while the trees are walked, and what each block serves as.

use crate::error::{Role, Rule};
use convoy_units::MetadataBlock;

/// Counts of pointers, 6 bytes for each block of the metadata device.
#[derive(Debug)]
pub(super) struct References {
    counts: Vec<u32>,
    roles: Vec<Option<Role>>,
    /// Whether every pointer there is has been counted, as far as is known.
    pub(super) complete: bool,
}

/// Whether a pointer is the first to a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    First,
    Again,
}

impl References {
    /// Nothing is pointed at yet but the superblock, which always is in use once.
    pub(super) fn new(metadata_blocks: u64) -> Self {
        let blocks = usize::try_from(metadata_blocks).expect("at most 4 161 600 blocks");
        let mut references = Self {
            counts: vec![0; blocks],
            roles: vec![None; blocks],
            complete: true,
        };
        if let (Some(count), Some(role)) =
            (references.counts.first_mut(), references.roles.first_mut())
        {
            (*count, *role) = (1, Some(Role::Superblock));
        }
        references
    }

    /// How many blocks pointers may name.
    pub(super) fn limit(&self) -> u64 {
        self.roles.len() as u64
    }

    /// Counts a pointer to `block`, which is wanted as `role`.
    pub(super) fn refer(&mut self, block: MetadataBlock, role: Role) -> Result<Met, Rule> {
        let met = self.try_refer(block, role);
        self.complete &= met.is_ok();
        met
    }

    fn try_refer(&mut self, block: MetadataBlock, role: Role) -> Result<Met, Rule> {
        let at = self.index(block)?;
        let missing = "the index was checked against both lists";
        let count = self.counts.get_mut(at).expect(missing);
        *count = count.saturating_add(1);
        match self.roles.get_mut(at).expect(missing) {
            Some(known) if *known == role => Ok(Met::Again),
            Some(known) => Err(Rule::Role { role: *known }),
            unknown => {
                *unknown = Some(role);
                Ok(Met::First)
            }
        }
    }

    fn index(&self, block: MetadataBlock) -> Result<usize, Rule> {
        let limit = self.limit();
        if block.0 == 0 {
            return Err(Rule::PointsAtSuperblock);
        }
        if block.0 >= limit {
            return Err(Rule::BlockRange { limit });
        }
        Ok(usize::try_from(block.0).expect("it is below the length of a list"))
    }

    /// The counts, for comparison with the space map; nothing can be counted afterwards.
    pub(super) fn take_counts(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.counts)
    }
}
