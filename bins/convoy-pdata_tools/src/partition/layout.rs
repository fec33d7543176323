//! How large, and where: the original's figures, and the partitions that a disk of this size gets.

use crate::failure::Failure;
use convoy_thin_metadata::sizing::metadata_size_0_9;
use convoy_units::{ByteRange, Bytes, DataBlockSize, Sectors};

/// What partitions are aligned to, and what is left free for a partition table (GPT: UEFI specification, 5.3) at each
/// end of the disk.
const ALIGNMENT: u64 = 1 << 20;

/// What is announced: computed on the whole disk, for the original's pool block of 2 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) max_thins: u64,
    pub(crate) metadata: Bytes,
    /// The rest of the disk; zero where the metadata would take up all of it.
    pub(crate) data: Bytes,
}

impl Figures {
    pub(crate) fn of(size: Bytes, max_thins: u64) -> Self {
        let Sectors(block) = DataBlockSize::DEFAULT.sectors();
        let metadata = metadata_size_0_9(size.sectors_floor().0, block, max_thins);
        Self {
            max_thins,
            metadata,
            data: Bytes(size.0.saturating_sub(metadata.0)),
        }
    }
}

/// The two partitions, in bytes: data first, as the original had them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) data: ByteRange,
    pub(crate) metadata: ByteRange,
}

impl Layout {
    /// Metadata at the end, as large as its figure and rounded up; data up to it.
    pub(crate) fn of(size: Bytes, figures: Figures) -> Result<Self, Failure> {
        let usable = size.0.saturating_sub(ALIGNMENT);
        let end = usable - usable % ALIGNMENT;
        let wanted = figures.metadata.0.next_multiple_of(ALIGNMENT);
        let begin = end.saturating_sub(wanted);
        // A pool has one block at least.
        if begin < ALIGNMENT + DataBlockSize::DEFAULT.bytes().0 {
            let message = format!(
                "{} bytes are too few for {} volumes and snapshots",
                size.0, figures.max_thins
            );
            return Err(Failure::told(
                message,
                Some("use a larger disk, or a lower --max-thins"),
            ));
        }
        Ok(Self {
            data: ByteRange {
                begin: ALIGNMENT,
                end: begin,
            },
            metadata: ByteRange { begin, end },
        })
    }

    /// What sfdisk(8) reads, in the disk's own logical sectors.
    pub(crate) fn script(self, sector: u64) -> String {
        let line = |range: ByteRange, name: &str| {
            let (start, size) = (range.begin / sector, (range.end - range.begin) / sector);
            format!("start={start}, size={size}, name=\"{name}\"\n")
        };
        let data = line(self.data, "convoy data");
        let metadata = line(self.metadata, "convoy metadata");
        format!("label: gpt\nunit: sectors\n\n{data}{metadata}")
    }
}
