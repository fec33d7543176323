//! Two builds of `convoy-fuzz`: one with coverage and libFuzzer, one plain for seeds and words.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::places;
use crate::run::{quietly, show};
use crate::setup::Environment;

/// What makes stable Rust count edges and compare operands for libFuzzer: LLVM's own pass, asked for by name.
/// One codegen unit, or the parts of a crate would share counters.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Optimised, yet with every check that a debug build has, and with names in what a crash prints.
const PROFILE: &[&str] = &[
    "profile.release.lto=\"off\"",
    "profile.release.debug-assertions=true",
    "profile.release.strip=\"none\"",
    "profile.release.debug=\"line-tables-only\"",
];

/// The two programs, and where their files go.
#[derive(Debug)]
pub(super) struct Programs {
    /// With libFuzzer in it.
    pub(super) fuzzer: PathBuf,
    plain: PathBuf,
    /// Corpora, logs and what broke.
    pub(super) work: PathBuf,
}

impl Programs {
    /// Builds both. The first build compiles libFuzzer, which needs a C++ compiler.
    pub(super) fn build(env: &Environment, work: &Path) -> anyhow::Result<Self> {
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let build = work.join("build");
        let mut command = cargo(env, &["build", "--release", "--locked"]);
        command.args([
            "--package",
            "convoy-fuzz",
            "--bin",
            "convoy-fuzz",
            "--target",
            &triple,
        ]);
        for setting in PROFILE {
            command.args(["--config", setting]);
        }
        command
            .env("RUSTFLAGS", FLAGS)
            .env("CARGO_TARGET_DIR", &build);
        run(&mut command).context("build the targets for libFuzzer; it needs g++ or clang++")?;
        let words = [
            "build",
            "--locked",
            "--package",
            "convoy-fuzz",
            "--bin",
            "convoy-fuzz",
        ];
        run(&mut cargo(env, &words)).context("build the targets")?;
        Ok(Self {
            fuzzer: build.join(triple).join("release/convoy-fuzz"),
            plain: places::target().join("debug/convoy-fuzz"),
            work: work.to_owned(),
        })
    }

    /// Asks the plain program.
    pub(super) fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        quietly(Command::new(&self.plain).args(words))
    }
}

fn cargo(env: &Environment, words: &[&str]) -> Command {
    let mut command = env.command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.args(words);
    command
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context("start cargo")?;
    anyhow::ensure!(status.success(), "`{}` ended with {status}", show(command));
    Ok(())
}
