//! The superblock of metadata that a real kernel made.

use super::*;
use crate::MemorySource;

#[test]
fn what_the_kernel_wrote() {
    let image = include_bytes!("../../tests/fixtures/kernel-6.1.img").to_vec();
    let state = read_superblock(&MemorySource::new(image)).unwrap();
    let SuperblockState::Valid(found) = state else {
        panic!("it is not blank")
    };
    assert_eq!(found.transaction, TransactionId(7));
    assert_eq!(found.time, 3);
    assert_eq!(found.held_root, Some(MetadataBlock(12)));
    assert_eq!(found.data_block_size.sectors(), Sectors(128));
    assert_eq!(found.nr_data_blocks, Some(4096));
    assert_eq!(found.allocated_data_blocks, Some(730));
    assert_eq!(found.nr_metadata_blocks, Some(64));
    assert!(!found.needs_check);
}
