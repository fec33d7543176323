//! The tools by name, and how each is run.

use crate::failure::Failure;
use crate::{
    partition, reference, thin_check, thin_delta, thin_dump, thin_ls, thin_metadata_size, words,
};
use clap::Parser;
use clap::error::ErrorKind;
use std::ffi::{OsStr, OsString};
use std::io::Write;

/// One of the six.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Check,
    Delta,
    Dump,
    Ls,
    MetadataSize,
    Partition,
}

impl Tool {
    const ALL: [Self; 6] = [
        Self::Check,
        Self::Delta,
        Self::Dump,
        Self::Ls,
        Self::MetadataSize,
        Self::Partition,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Check => "thin_check",
            Self::Delta => "thin_delta",
            Self::Dump => "thin_dump",
            Self::Ls => "thin_ls",
            Self::MetadataSize => "thin_metadata_size",
            Self::Partition => "dm_dev_partition.sh",
        }
    }

    /// The tool of this name.
    pub(crate) fn named(name: &OsStr) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| name == tool.name())
    }

    /// Runs it on the words after its name.
    pub(crate) fn run(
        self,
        words: impl Iterator<Item = OsString>,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<(), Failure> {
        let words = words::getopt(self, words);
        let result = match self {
            Self::Check => with(self, words, out, |a, out| thin_check::run(a, out, err)),
            Self::Delta => with(self, words, out, |a, out| thin_delta::run(a, out, err)),
            Self::Dump => with(self, words, out, thin_dump::run),
            Self::Ls => with(self, words, out, thin_ls::run),
            Self::MetadataSize => with(self, words, out, |a, out| {
                thin_metadata_size::run(a, out, err)
            }),
            Self::Partition => with(self, words, out, |a, out| {
                partition::run(a, &partition::Host, out, err)
            }),
        };
        // The original's helper says its words as they are documented, without its name.
        match self {
            Self::Partition => result,
            _ => result.map_err(|failure| failure.of(self.name())),
        }
    }
}

/// Parses the words and runs the tool on them, unless they ask for help or the version.
fn with<A: Parser>(
    tool: Tool,
    words: impl Iterator<Item = OsString>,
    out: &mut dyn Write,
    run: impl FnOnce(&A, &mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match A::try_parse_from(std::iter::once(tool.name().into()).chain(words)) {
        Ok(arguments) => run(&arguments, out),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp => Ok(out.write_all(error.render().to_string().as_bytes())?),
            // As the reference tools print it, and as scripts compare it.
            ErrorKind::DisplayVersion => Ok(writeln!(out, "{}", reference::VERSION)?),
            _ => Err(Failure::Usage(error.render().to_string())),
        },
    }
}

#[cfg(test)]
mod tests;
