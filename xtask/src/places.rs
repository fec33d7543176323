//! Where things are: the workspace, the build's folder and the lab's cache in it.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The workspace's root: the folder above this crate, else (when the binary was carried elsewhere)
/// the nearest one above the working directory that has a `Cargo.lock`.
pub(crate) fn workspace() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("/"));
    if built.join("Cargo.lock").exists() {
        return built.to_owned();
    }
    let here = std::env::current_dir().unwrap_or_else(|_| built.to_owned());
    let found = here
        .ancestors()
        .find(|dir| dir.join("Cargo.lock").exists())
        .map(Path::to_owned);
    found.unwrap_or(here)
}

/// The folder cargo builds into. `CARGO_TARGET_DIR` wins, as it does in cargo.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => workspace().join(dir),
        _ => workspace().join("target"),
    }
}

/// The lab's cache: kernel and unpacked packages. `CONVOY_LAB_CACHE` names another folder.
pub(crate) fn lab_cache() -> anyhow::Result<PathBuf> {
    let dir = match std::env::var_os("CONVOY_LAB_CACHE") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => target().join("lab"),
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    dir.canonicalize()
        .with_context(|| format!("find {}", dir.display()))
}
