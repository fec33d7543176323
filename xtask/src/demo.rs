//! The demonstration: not there yet.

use std::process::ExitCode;

use anyhow::bail;

/// Runs the main job for real, with `--host` on this kernel, else in the lab.
pub(crate) fn main(_words: &[String]) -> anyhow::Result<ExitCode> {
    bail!("the demonstration is not there yet")
}
