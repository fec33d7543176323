//! Looks into a pool's metadata: `thin_check`, `thin_delta`, `thin_dump`, `thin_ls`, `thin_metadata_size`; and
//! makes room for a pool: `dm_dev_partition.sh`.
//!
//! One program for all of them: the tool is the name it was called by (a link named `thin_delta`), or else its
//! first word (`convoy-pdata_tools thin_delta …`). Options, output and exit status are those of the
//! thin-provisioning-tools 0.9.0 that Debian 12 ships: 0 is success, 1 is everything else.
//!
//! Nothing here ever writes to a pool's metadata; `dm_dev_partition.sh` writes to a blank disk, when told to. And no partial answer can be taken for whole: the end of every answer
//! (the closing tag, the JSON document's `end`, the line `end`) is written after the last check has passed,
//! and exit status 0 means that it has been written.

mod failure;
mod human;
mod input;
mod json;
mod output;
mod partition;
mod quantity;
mod ranges;
mod reference;
mod table;
mod thin_check;
mod thin_delta;
mod thin_dump;
mod thin_ls;
mod thin_metadata_size;
mod tool;
mod words;
mod xml;

use failure::Failure;
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::path::Path;
use tool::Tool;

const USAGE: &str = "\
Looks into a thin pool's metadata, and never writes to it; and cuts a disk up for a pool.

Usage: convoy-pdata_tools <TOOL> [OPTIONS]
       <TOOL> [OPTIONS]                      when called by the tool's name

Tools:
  thin_check          Check that the metadata is sound
  thin_delta          Compare the mappings of two devices
  thin_dump           Print all devices and their mappings
  thin_ls             List the devices
  thin_metadata_size  Estimate how large the metadata device of a pool should be
  dm_dev_partition.sh Cut a disk into a data device and a metadata device

`convoy-pdata_tools <TOOL> --help` tells each one's options.
Exit status: 0 for success, 1 for anything else.
";

/// Does what the command line says and returns the exit status: 0 for success, 1 for anything else.
///
/// `words` begins with the name the program was called by. The answer goes to `stdout` and is complete only if the status is
/// 0; everything else goes to `stderr`. A reader of `stdout` that went away is a failure, but one that
/// nobody is told of.
pub fn run(
    words: impl IntoIterator<Item = OsString>,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let mut words = words.into_iter();
    let called = words.next().unwrap_or_default();
    let called = Path::new(&called).file_name().and_then(Tool::named);
    let mut out = BufWriter::with_capacity(1 << 16, stdout);
    let result = match called {
        Some(tool) => tool.run(words, &mut out, stderr),
        None => by_word(words, &mut out, stderr),
    };
    let result = result.and_then(|()| Ok(out.flush()?));
    match result {
        Ok(()) => 0,
        Err(failure) => {
            // What the failure left in the buffer is not worth a second complaint.
            drop(out.into_parts());
            // Nobody at stderr changes nothing of what happened.
            drop(stderr.write_all(failure.text().as_bytes()));
            1
        }
    }
}

/// The tool is the first word.
fn by_word(
    mut words: impl Iterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failure> {
    let Some(word) = words.next() else {
        return Err(Failure::Usage(USAGE.to_owned()));
    };
    if let Some(tool) = Tool::named(&word) {
        return tool.run(words, out, err);
    }
    match word.to_str() {
        Some("-h" | "--help" | "help") => out.write_all(USAGE.as_bytes())?,
        Some("-V" | "--version") => {
            writeln!(out, "convoy-pdata_tools {}", env!("CARGO_PKG_VERSION"))?;
        }
        _ => {
            let message = format!(
                "convoy-pdata_tools: there is no tool {}",
                word.to_string_lossy()
            );
            let hint = "see convoy-pdata_tools --help";
            return Err(Failure::told(message, Some(hint)));
        }
    }
    Ok(())
}
