//! The steps on this machine: single checks, and the tests that need no kernel.

use std::io::{BufRead, BufReader, IsTerminal};
use std::process::{Command, Stdio};

use anyhow::Context;

use super::tally::{Libtest, Tally};
use crate::run::{quietly, show};
use crate::setup::Environment;
use crate::tidy;

/// A step that is one check.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    run: fn(&Environment) -> anyhow::Result<()>,
}

pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "formatting",
        run: |env| cargo(env, &["fmt", "--all", "--check"]),
    },
    Check {
        name: "tidy",
        run: |env| tidy::run(env),
    },
    Check {
        name: "clippy",
        run: |env| {
            let words = [
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--keep-going",
                "--locked",
            ];
            cargo(env, &[&words[..], &["--", "-D", "warnings"]].concat())
        },
    },
    Check {
        name: "the client builds alone",
        run: |env| {
            cargo(
                env,
                &["check", "-p", "convoy", "--no-default-features", "--locked"],
            )
        },
    },
    Check {
        name: "the client is small",
        run: client_is_small,
    },
];

/// What the client without its feature `daemon` must not bring.
const NOT_IN_CLIENT: &[&str] = &["devicemapper", "rusqlite", "convoy-engine", "zstd"];

/// Runs a check; what it said is on the terminal already.
pub(crate) fn check(check: &Check, env: &Environment) -> anyhow::Result<Tally> {
    (check.run)(env).map(|()| Tally::one_passed())
}

fn cargo(env: &Environment, words: &[&str]) -> anyhow::Result<()> {
    let mut command = cargo_command(env, words);
    let status = command.status().context("start cargo")?;
    anyhow::ensure!(status.success(), "`{}` ended with {status}", show(&command));
    Ok(())
}

/// cargo with our environment; colour as the terminal wants it, though its output is read here.
pub(crate) fn cargo_command(env: &Environment, words: &[&str]) -> Command {
    let mut command = env.command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.args(words).stdin(Stdio::null());
    if std::io::stderr().is_terminal() && std::env::var_os("CARGO_TERM_COLOR").is_none() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    command
}

fn client_is_small(env: &Environment) -> anyhow::Result<()> {
    let words = [
        "tree",
        "-p",
        "convoy",
        "--no-default-features",
        "-e",
        "normal,build",
    ];
    let more = [
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--locked",
        "--offline",
    ];
    let tree = quietly(&mut cargo_command(env, &[&words[..], &more].concat()))?;
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let unwanted = NOT_IN_CLIENT.contains(&name);
        anyhow::ensure!(
            !unwanted,
            "convoy without its default features depends on {name}"
        );
    }
    Ok(())
}

/// All tests that need no kernel, documentation tests among them.
pub(crate) fn host_tests(env: &Environment, filter: Option<&str>) -> anyhow::Result<Tally> {
    let mut words = vec!["test", "--workspace", "--locked", "--no-fail-fast"];
    words.extend(filter);
    counted(env, &words)
}

/// Runs a `cargo test`, shows what it says and counts.
pub(crate) fn counted(env: &Environment, words: &[&str]) -> anyhow::Result<Tally> {
    let mut command = cargo_command(env, words);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo")?;
    let mut libtest = Libtest::default();
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).split(b'\n') {
        let line = line.context("read cargo's output")?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        libtest.line(&line);
    }
    let status = child.wait().context("wait for cargo")?;
    Ok(libtest.finish("cargo test", status.success()))
}
