//! What a disk carries already, as blkid(8) tells it; and the one thing that blkid does not know.

/// A pool's superblock: its magic number at byte 32, little-endian (`drivers/md/dm-thin-metadata.c`).
const THIN_MAGIC: u64 = 27_022_010;

/// Something that is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carried {
    /// In words: `a filesystem (ext4)`.
    pub(crate) what: String,
    /// It is a partition table.
    pub(crate) is_table: bool,
}

impl Carried {
    pub(crate) fn other(what: impl Into<String>) -> Self {
        let what = what.into();
        Self {
            what,
            is_table: false,
        }
    }
}

/// What the first bytes of a place say by themselves.
pub(crate) fn in_first_block(block: &[u8]) -> Option<Carried> {
    let found = block.get(32..40) == Some(THIN_MAGIC.to_le_bytes().as_slice());
    found.then(|| Carried::other("the metadata of a thin pool"))
}

/// What the lines `KEY=value` of `blkid --output export` stand for. Sizes and what is told of a partition itself
/// are no signatures.
pub(crate) fn described(export: &str) -> Option<Carried> {
    let value = |key: &str| {
        let mut lines = export.lines().filter_map(|line| line.split_once('='));
        lines
            .find(|(found, _)| *found == key)
            .map(|(_, value)| value)
    };
    let (what, is_table) = match (value("TYPE"), value("PTTYPE"), value("USAGE")) {
        (Some(kind), _, Some("filesystem")) => (format!("a filesystem ({kind})"), false),
        (Some(kind), _, _) => (format!("a signature of type {kind}"), false),
        (None, Some(kind), _) => (format!("a partition table ({kind})"), true),
        (None, None, Some(usage)) => (format!("a signature for use as {usage}"), false),
        (None, None, None) => return None,
    };
    // What lies on a disk must not speak in a terminal.
    let what = what.chars().filter(|c| !c.is_control()).collect();
    Some(Carried { what, is_table })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(export: &str, what: &str, is_table: bool) {
        let what = what.to_owned();
        assert_eq!(described(export), Some(Carried { what, is_table }));
    }

    #[test]
    fn blkids_lines_become_words() {
        check(
            "DEVNAME=/dev/sdx\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n",
            "a filesystem (ext4)",
            false,
        );
        check(
            "TYPE=LVM2_member\nUSAGE=raid\n",
            "a signature of type LVM2_member",
            false,
        );
        check("PTUUID=1\nPTTYPE=gpt\n", "a partition table (gpt)", true);
        check("TYPE=e\u{1b}[2Jvil\n", "a signature of type e[2Jvil", false);
        // A filesystem with a boot sector that is a table too, as grub's.
        check(
            "TYPE=vfat\nPTTYPE=dos\nUSAGE=filesystem\n",
            "a filesystem (vfat)",
            false,
        );
        assert_eq!(
            described("DEVNAME=/dev/sdx\nMINIMUM_IO_SIZE=512\nPART_ENTRY_SIZE=1\n"),
            None
        );
    }

    #[test]
    fn a_pools_metadata_is_known_by_its_magic_number() {
        let mut block = vec![0; 4096];
        assert_eq!(in_first_block(&block), None);
        block[32..40].copy_from_slice(&27_022_010u64.to_le_bytes());
        assert!(in_first_block(&block).is_some());
        assert_eq!(in_first_block(&[0; 8]), None);
    }
}
