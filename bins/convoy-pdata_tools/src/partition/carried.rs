//! What a disk carries already, as blkid(8) tells it; and the one thing that blkid does not know.

use convoy_thin_metadata::has_superblock_magic;

/// Something that is there already, in words such as `a filesystem (ext4)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// Somebody has it open for themselves: it is mounted, or another device is made of it.
    InUse,
    /// A partition table.
    Table(String),
    /// Anything else.
    Data(String),
}

/// What the first bytes of a place say by themselves.
pub(crate) fn in_first_block(block: &[u8]) -> Option<Carried> {
    has_superblock_magic(block).then(|| Carried::Data("the metadata of a thin pool".to_owned()))
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
    let what = match (value("TYPE"), value("PTTYPE"), value("USAGE")) {
        (Some(kind), _, Some("filesystem")) => format!("a filesystem ({kind})"),
        (Some(kind), _, _) => format!("a signature of type {kind}"),
        (None, Some(kind), _) => return Some(Carried::Table(visible(kind))),
        (None, None, Some(usage)) => format!("a signature for use as {usage}"),
        (None, None, None) => return None,
    };
    Some(Carried::Data(visible(&what)))
}

/// What lies on a disk must not speak in a terminal.
fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(export: &str, what: &str) {
        assert_eq!(described(export), Some(Carried::Data(what.to_owned())));
    }

    #[test]
    fn blkids_lines_become_words() {
        check(
            "DEVNAME=/dev/sdx\nUUID=1\nTYPE=ext4\nUSAGE=filesystem\n",
            "a filesystem (ext4)",
        );
        check(
            "TYPE=LVM2_member\nUSAGE=raid\n",
            "a signature of type LVM2_member",
        );
        check("TYPE=e\u{1b}[2Jvil\n", "a signature of type e[2Jvil");
        // A filesystem with a boot sector that is a table too, as grub's.
        check(
            "TYPE=vfat\nPTTYPE=dos\nUSAGE=filesystem\n",
            "a filesystem (vfat)",
        );
        let table = described("PTUUID=1\nPTTYPE=gpt\n");
        assert_eq!(table, Some(Carried::Table("gpt".to_owned())));
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
