//! Checks of the house itself: layers, code map, file headers, manifests, licences, words.
//!
//! Each check is a function from the project's text or cargo's metadata to the problems found.

mod layers;
mod licences;
mod manifests;
mod map;
mod metadata;
mod text;
mod tree;

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::places;
use crate::run::{find_program, usage};
use crate::setup::Environment;
use metadata::Metadata;
use tree::Tree;

const HELP: &str = "\
usage: cargo xtask tidy

Checks that every edge between our crates is in the table (xtask/src/tidy/layers.rs), that the code map
in docs/architecture.md names the folders there are, that every Rust file begins with `//!`, that
dependencies are declared at the root, that licences allow what we do, and that nothing unfinished or
of one machine is left. Runs cargo-deny too, where it is installed.";

/// `cargo xtask tidy`.
pub(crate) fn main(words: &[String]) -> anyhow::Result<ExitCode> {
    match words {
        [] => {}
        [word] if word == "--help" || word == "-h" => {
            println!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        _ => return Err(usage("tidy takes no words")),
    }
    run(&Environment::default())?;
    println!("tidy: nothing to say");
    Ok(ExitCode::SUCCESS)
}

/// Prints every problem; fails if there is one.
pub(crate) fn run(env: &Environment) -> anyhow::Result<()> {
    let tree = Tree::read(&places::workspace())?;
    let metadata = Metadata::ask(env)?;
    let mut problems = layers::check(&metadata);
    problems.extend(map::check(&tree));
    problems.extend(manifests::check(&tree));
    problems.extend(licences::check(&metadata, &tree));
    problems.extend(text::headers(&tree));
    problems.extend(text::words(&tree));
    for problem in &problems {
        println!("tidy: {problem}");
    }
    if !problems.is_empty() {
        bail!("{} problems", problems.len());
    }
    cargo_deny(env)
}

/// Bans, licences and sources; advisories too where their database can be reached.
fn cargo_deny(env: &Environment) -> anyhow::Result<()> {
    if find_program("cargo-deny").is_none() {
        return Ok(());
    }
    let mut fetch = env.command("cargo-deny");
    let fetched = fetch
        .args(["--log-level", "error", "fetch"])
        .status()
        .context("start cargo-deny")?;
    let mut checks = vec!["bans", "licenses", "sources"];
    if fetched.success() {
        checks.push("advisories");
    } else {
        println!("tidy: the advisory database cannot be reached: advisories are not checked");
    }
    let mut deny = env.command("cargo-deny");
    let status = deny
        .args(["--log-level", "error", "check"])
        .args(&checks)
        .status()?;
    if !status.success() {
        bail!("cargo-deny ended with {status}");
    }
    Ok(())
}
