//! Which kernel the lab runs: an installed one, else Debian's package from the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::debs;

/// The Debian package with the kernel.
const PACKAGE: &str = "user-mode-linux";

/// A kernel and the folder with its `modules.dep`.
pub(crate) struct Kernel {
    pub(crate) binary: PathBuf,
    pub(crate) modules: PathBuf,
}

/// Finds the kernel, fetching it at first use.
pub(crate) fn find(cache: &Path) -> anyhow::Result<Kernel> {
    if !cfg!(target_arch = "x86_64") {
        bail!(
            "the lab's kernel exists for x86-64 only; --host runs on this machine's own kernel \
             (as root, with dm-thin)"
        );
    }
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let binary = match named("CONVOY_LAB_KERNEL") {
        Some(binary) => binary,
        None => default_root(cache)?.join("usr/bin/linux.uml"),
    };
    let modules = match named("CONVOY_LAB_MODULES") {
        Some(modules) => modules,
        None => modules_beside(&binary)?,
    };
    let real = |path: PathBuf| {
        path.canonicalize()
            .with_context(|| format!("find {}", path.display()))
    };
    Ok(Kernel {
        binary: real(binary)?,
        modules: real(modules)?,
    })
}

fn default_root(cache: &Path) -> anyhow::Result<PathBuf> {
    if Path::new("/usr/bin/linux.uml").exists() {
        return Ok(PathBuf::from("/"));
    }
    debs::fetch(cache, &[PACKAGE.to_owned()])?
        .pop()
        .context("no package was fetched")
}

/// `usr/lib/uml/modules/<release>` beside `usr/bin/linux.uml`; the newest release wins.
fn modules_beside(binary: &Path) -> anyhow::Result<PathBuf> {
    let usr = binary
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/usr"));
    let top = usr.join("lib/uml/modules");
    let releases = std::fs::read_dir(&top).with_context(|| format!("list {}", top.display()))?;
    let newest = releases.flatten().map(|entry| entry.path()).max();
    newest.with_context(|| format!("no modules in {}", top.display()))
}
