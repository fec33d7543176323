//! Files: the same answers in any order of blocks, direct or not, and clear refusals.

use super::*;
use crate::MemorySource;
use proptest::prelude::*;

fn image(blocks: usize) -> Vec<u8> {
    (0..blocks * BLOCK_SIZE)
        .map(|i| u8::try_from((i / BLOCK_SIZE * 7 + i) % 251).unwrap())
        .collect()
}

#[test]
fn a_missing_file_and_a_folder_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("none"), folder.path().to_owned()] {
        let error = FileSource::open(&path).unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
}

#[test]
fn a_partial_block_at_the_end_does_not_count() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &image(3)[..2 * BLOCK_SIZE + 100]).unwrap();
    let source = FileSource::open(file.path()).unwrap();
    assert_eq!(source.nr_blocks(), 2);
    let error = source
        .read(MetadataBlock(2), &mut [0; BLOCK_SIZE])
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn an_empty_file_has_no_blocks() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(FileSource::open(file.path()).unwrap().nr_blocks(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_batch_equals_single_reads(numbers in proptest::collection::vec(0..700_u64, 0..300)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), image(700)).unwrap();
        let source = FileSource::open(file.path()).unwrap();
        let memory = MemorySource::new(image(700));
        let blocks: Vec<MetadataBlock> = numbers.into_iter().map(MetadataBlock).collect();
        let mut found = vec![[0; BLOCK_SIZE]; blocks.len()];
        let mut expected = found.clone();
        source.read_many(&blocks, &mut found).unwrap();
        memory.read_many(&blocks, &mut expected).unwrap();
        prop_assert!(found == expected);
    }
}
