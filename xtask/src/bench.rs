//! Measuring ours beside the tools it is to be better than, in one run, on images of known content.

mod backup;
mod diff;
mod folder;
mod measure;

use std::process::ExitCode;

use crate::run::usage;

pub(crate) use measure::hidden;

const HELP: &str = "\
usage: cargo xtask bench diff [--rounds N] [--mappings N,..] [--folder DIR]
       cargo xtask bench backup [--mib N] [--folder DIR]

diff: writes pools of so many mappings (1000000,10000000) whose two devices differ by 0.1 % or 1 %, singly or
in runs of 1024 blocks, and asks our release build and Debian's thin_delta what changed, in turn. The two answers
are compared first, and the pool by thin_check. Prints medians of N rounds (5), their ratio and peak memory.

backup: backs an image of N MiB (2048: half noise, a quarter text, a quarter zeros) up to a directory with our release
build, Debian's restic and Debian's borg: all of it, after a change of 1 % in one run, and unchanged; restores it, and
compares. Prints time, processor time, peak memory, and the bytes and objects that each step added. One run of each.

All lies in DIR (the build's folder) and is removed: 600 MB for diff, five times the image for backup.";

/// `cargo xtask bench`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    match words {
        [word, ..] if word == "--help" || word == "-h" => {
            println!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        [word, rest @ ..] if word == "diff" => {
            diff::run(&diff::parse(rest)?).map(|()| ExitCode::SUCCESS)
        }
        [word, rest @ ..] if word == "backup" => {
            backup::run(&backup::parse(rest)?).map(|()| ExitCode::SUCCESS)
        }
        [word, ..] => Err(usage(format!("there is no benchmark {word}"))),
        [] => Err(usage("which benchmark? There are: diff, backup")),
    }
}
