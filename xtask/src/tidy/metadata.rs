//! What cargo says of the packages.

use std::collections::BTreeSet;

use anyhow::Context;
use serde::Deserialize;

use crate::run::quietly;
use crate::setup::Environment;

/// `cargo metadata`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: BTreeSet<String>,
}

/// A package, ours or not.
#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A dependency as declared.
#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `dev`, `build`, or nothing for a normal one.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo for every package the lock file names for Linux.
    pub(crate) fn ask(env: &Environment) -> anyhow::Result<Self> {
        let words = [
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--all-features",
        ];
        let mut cargo = env.command(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let said = quietly(cargo.args(words).args(["--filter-platform", &platform]))?;
        serde_json::from_str(&said).context("read cargo's metadata")
    }

    /// Our own packages.
    pub(crate) fn ours(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
    }

    /// Everybody else's.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Package> {
        self.packages
            .iter()
            .filter(|package| !self.workspace_members.contains(&package.id))
    }
}
