//! Running the host's file-system tools: in one language, with nothing to type, to their end.
//!
//! The host's own tools, not bundled ones: they fit the host's kernel. No time limit: a tool killed
//! half-way leaves half a file system.

use crate::error::Error;
use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// Where the tools are; a daemon's own `PATH` often lacks the `sbin` folders.
const PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

pub(crate) fn run<I, S>(tool: &'static str, arguments: I) -> Result<Output, Error>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    tracing::debug!(tool, "run");
    Command::new(tool)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("PATH", PATH)
        // e2fsprogs read their answers to questions from here, too.
        .env_remove("E2FSCK_CONFIG")
        .env_remove("MKE2FS_CONFIG")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run { tool, source })
}

/// The last lines of what a tool said, fit for a terminal.
pub(crate) fn said(output: &Output) -> String {
    let text = if output.stderr.trim_ascii().is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let last = lines
        .get(lines.len().saturating_sub(4)..)
        .unwrap_or_default()
        .join("; ");
    last.chars().filter(|c| !c.is_control()).take(600).collect()
}
