//! Opening the metadata to look at: the last committed state offline, or the metadata snapshot of a pool in use.

use crate::failure::Failure;
use convoy_thin_metadata::{
    BlockSource, Error, FileSource, Superblock, SuperblockState, View, read_superblock,
};
use convoy_units::MetadataBlock;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::ParseIntError;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// How often block 0 is read anew when the kernel may be writing it at the same moment.
const TRIES: usize = 16;

/// Which metadata, and which state of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// Read the metadata snapshot that the pool holds, and not its last state: the way to look into a pool that is
    /// in use. A block number, attached as in -m12, is where the snapshot must lie
    #[arg(
        long, short, alias = "metadata-snapshot", value_name = "BLOCK", num_args = 0..=1, require_equals = true,
        default_missing_value = "", value_parser = parse_snapshot
    )]
    metadata_snap: Option<Snapshot>,

    /// The metadata device, or a file with a copy of one
    #[arg(value_name = "METADATA")]
    pub(crate) metadata: PathBuf,
}

/// Which metadata snapshot: there is one at most.
#[derive(Debug, Clone, Copy)]
enum Snapshot {
    /// Wherever it is.
    Held,
    /// It must lie here.
    At(MetadataBlock),
}

fn parse_snapshot(text: &str) -> Result<Snapshot, ParseIntError> {
    if text.is_empty() {
        return Ok(Snapshot::Held);
    }
    Ok(Snapshot::At(MetadataBlock(text.parse()?)))
}

/// One state of the metadata; while it is open offline, no pool can take the device.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) view: View<FileSource>,
    _claim: Option<File>,
}

/// Opens what the arguments name.
pub(crate) fn open(arguments: &Source) -> Result<Input, Failure> {
    let path = &arguments.metadata;
    match arguments.metadata_snap {
        None => {
            let claim = claim(path)?;
            let view = View::live(FileSource::open(path)?)?;
            Ok(Input {
                view,
                _claim: claim,
            })
        }
        Some(snapshot) => {
            let source = FileSource::open(path)?;
            let root = match snapshot {
                Snapshot::Held => held_root(&source)?,
                Snapshot::At(block) => block,
            };
            let view = View::held(source, root)?;
            Ok(Input { view, _claim: None })
        }
    }
}

/// Where the pool's metadata snapshot lies.
pub(crate) fn held_root<S: BlockSource>(source: &S) -> Result<MetadataBlock, Failure> {
    live_superblock(source)?.held_root.ok_or_else(|| {
        let hint = "reserve one with `dmsetup message POOL 0 reserve_metadata_snap`, and release it afterwards";
        Failure::told("the pool holds no metadata snapshot", Some(hint))
    })
}

/// Block 0 of a pool that may be committing: a block caught half-written is read again.
pub(crate) fn live_superblock<S: BlockSource>(source: &S) -> Result<Superblock, Error> {
    let mut found = read_superblock(source);
    for _ in 1..TRIES {
        if found.is_ok() {
            break;
        }
        std::thread::yield_now();
        found = read_superblock(source);
    }
    match found? {
        SuperblockState::Valid(superblock) => Ok(superblock),
        SuperblockState::Zeroed => Err(Error::Blank),
    }
}

/// Holds a block device against everybody else who would hold it, a pool above all: `O_EXCL` without `O_CREAT`
/// (open(2)). A file cannot be held; that it stays the same is checked at the end of every answer.
pub(crate) fn claim(path: &Path) -> Result<Option<File>, Failure> {
    let is_device = path
        .metadata()
        .is_ok_and(|metadata| metadata.file_type().is_block_device());
    if !is_device {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    match options
        .read(true)
        .custom_flags(OFlag::O_EXCL.bits())
        .open(path)
    {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => Err(in_use(path)),
        Err(source) => Err(opening(path, source)),
    }
}

fn in_use(path: &Path) -> Failure {
    let hint = "its metadata changes while it is read: reserve a metadata snapshot and use --metadata-snap, or deactivate the pool";
    Failure::told(format!("{} is in use", path.display()), Some(hint))
}

fn opening(path: &Path, source: io::Error) -> Failure {
    Failure::from(Error::Open {
        path: path.to_owned(),
        source,
    })
}
