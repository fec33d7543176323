//! Servers that tests start: moto, in a Python environment of its own, and Ceph's gateway, unpacked. Nothing is
//! installed on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::Environment;
use crate::run::quietly;
use crate::{debs, places};

/// The variable that names moto's environment, and what pip is asked for.
const MOTO: (&str, &[&str]) = ("CONVOY_MOTO", &["moto[server]==5.2.5", "boto3==1.44.*"]);
/// The variable that names the folder with Ceph's packages, and those.
const CEPH: (&str, &[&str]) = (
    "CONVOY_RADOSGW",
    &["radosgw", "ceph-common", "ceph-mon", "ceph-osd"],
);

/// The servers by the name of their tests, and the folder of each, or why there is none.
pub(crate) fn folders() -> Vec<(&'static str, &'static str, anyhow::Result<PathBuf>)> {
    vec![
        ("moto", MOTO.0, chosen_or(MOTO.0, moto)),
        ("radosgw", CEPH.0, chosen_or(CEPH.0, ceph)),
    ]
}

impl Environment {
    /// The same, and for tests the folder of a server.
    pub(crate) fn with_server(mut self, variable: &'static str, folder: PathBuf) -> Self {
        self.0.insert(variable, folder.into());
        self
    }
}

/// The caller's own choice wins.
fn chosen_or(variable: &str, make: fn() -> anyhow::Result<PathBuf>) -> anyhow::Result<PathBuf> {
    match std::env::var_os(variable).filter(|value| !value.is_empty()) {
        Some(chosen) => Ok(chosen.into()),
        None => make(),
    }
}

fn moto() -> anyhow::Result<PathBuf> {
    let place = places::lab_cache()?.join("moto");
    let whole = place.join("whole");
    if whole.exists() {
        return Ok(place);
    }
    eprintln!(
        "setup: installing {} under {}",
        MOTO.1.join(" "),
        place.display()
    );
    make_moto(&place).with_context(|| {
        format!(
            "install moto; or name an environment that has it by {}",
            MOTO.0
        )
    })?;
    std::fs::write(&whole, "").with_context(|| format!("make {}", whole.display()))?;
    Ok(place)
}

fn make_moto(place: &Path) -> anyhow::Result<()> {
    quietly(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(place),
    )?;
    let mut pip = Command::new(place.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    quietly(pip.args(MOTO.1)).map(drop)
}

fn ceph() -> anyhow::Result<PathBuf> {
    let cache = places::lab_cache()?;
    let root = debs::closure(&cache, CEPH.1)
        .context("fetch Ceph's packages; or install them and set CONVOY_RADOSGW=/")?;
    // None is missing where all are installed.
    Ok(root.unwrap_or_else(|| PathBuf::from("/")))
}
