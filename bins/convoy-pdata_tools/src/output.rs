//! The file that an answer is written to in place of stdout.

use crate::failure::Failure;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Makes the file at `path` hold what `write` writes; durable once this has returned.
///
/// A file that was there before is overwritten, but never a block device and never `source`, which is what
/// is being read. After a failure the file holds a part of the answer, without its end.
pub(crate) fn to_file(
    path: &Path,
    source: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::told(message, None)
    };
    // Not emptied before it is known what it is.
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false);
    let file = file.open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let source = source.metadata().map_err(failed)?;
    if let Some(why) = harm(&metadata, &source) {
        let message = format!("{} is not written to: {why}", path.display());
        return Err(Failure::told(message, Some("name another file")));
    }
    if metadata.is_file() {
        file.set_len(0).map_err(failed)?;
    }
    let mut out = BufWriter::with_capacity(1 << 16, &file);
    write(&mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    durable(&file, &metadata).map_err(failed)
}

/// What would be lost by writing there.
fn harm(target: &Metadata, source: &Metadata) -> Option<&'static str> {
    if target.file_type().is_block_device() {
        Some("it is a block device")
    } else if (target.dev(), target.ino()) == (source.dev(), source.ino()) {
        Some("it is the metadata being read")
    } else {
        None
    }
}

/// Pipes and terminals keep nothing.
fn durable(file: &File, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        file.sync_all()
    } else {
        Ok(())
    }
}
