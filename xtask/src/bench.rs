//! Measuring ours beside the tools it is to be better than, in one run, on images of known content.

mod diff;
mod measure;

use std::process::ExitCode;

use crate::run::usage;

pub(crate) use measure::hidden;

const HELP: &str = "\
usage: cargo xtask bench diff [--rounds N] [--mappings N,..] [--folder DIR]

Writes pools of so many mappings (1000000,10000000) whose two devices differ by 0.1 % or 1 %, singly or
in runs of 1024 blocks, and asks our release build and Debian's thin_delta what changed, in turn. The two answers
are compared first, and the pool by thin_check. Prints medians of N rounds (5), their ratio and peak memory.

The images lie in DIR (the build's folder) and are removed; the largest takes 600 MB.";

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
        [word, ..] => Err(usage(format!("there is no benchmark {word}"))),
        [] => Err(usage("which benchmark? There is: diff")),
    }
}
