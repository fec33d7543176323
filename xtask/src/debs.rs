//! Debian packages fetched and unpacked under the build's folder: no root, nothing installed, no
//! maintainer script run.

mod apt;
mod unpack;

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

pub(crate) use apt::Apt;

/// Returns for each package the folder that holds its files; missing ones are fetched together.
///
/// Safe when several processes ask at once: a lock file lets one fetch, and a package appears whole,
/// by renaming.
pub(crate) fn fetch(cache: &Path, packages: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    let top = cache.join("debs");
    let missing = |package: &&String| !top.join(package).is_dir();
    if packages.iter().any(|package| missing(&package)) {
        let _lock = lock(cache)?;
        let missing: Vec<String> = packages.iter().filter(missing).cloned().collect();
        if !missing.is_empty() {
            fetch_missing(cache, &top, &missing)?;
        }
    }
    Ok(packages.iter().map(|package| top.join(package)).collect())
}

fn fetch_missing(cache: &Path, top: &Path, packages: &[String]) -> anyhow::Result<()> {
    eprintln!("lab: fetching {}", packages.join(" "));
    let work = Work::make(cache)?;
    std::fs::create_dir_all(top).with_context(|| format!("make {}", top.display()))?;
    for archive in Apt::new(cache)?.download(packages, &work.0)? {
        let root = work.0.join(&archive.package);
        unpack::into_root(&archive.file, &root)?;
        let place = top.join(&archive.package);
        std::fs::rename(&root, &place).with_context(|| format!("make {}", place.display()))?;
    }
    match packages.iter().find(|package| !top.join(package).is_dir()) {
        Some(package) => bail!("apt-get gave no package called {package}"),
        None => Ok(()),
    }
}

/// Returns one folder with the packages and everything they need that this machine lacks, laid
/// together as if installed; none when this machine lacks nothing.
pub(crate) fn closure(cache: &Path, packages: &[&str]) -> anyhow::Result<Option<PathBuf>> {
    let _lock = lock(cache)?;
    let apt = Apt::new(cache)?;
    let wanted = apt.would_install(packages)?;
    if wanted.is_empty() {
        return Ok(None);
    }
    let place = cache.join("closures").join(fingerprint(&wanted));
    if place.is_dir() {
        return Ok(Some(place));
    }
    let names: Vec<String> = wanted.iter().map(|package| package.name.clone()).collect();
    eprintln!("unpacking {} (nothing is installed)", names.join(" "));
    let work = Work::make(cache)?;
    let root = work.0.join("root");
    for archive in apt.download(&names, &work.0)? {
        unpack::into_root(&archive.file, &root)?;
    }
    std::fs::create_dir_all(cache.join("closures")).context("make the cache's folder")?;
    std::fs::rename(&root, &place).with_context(|| format!("make {}", place.display()))?;
    Ok(Some(place))
}

/// A name for a set of packages with versions: another set or version is another folder.
fn fingerprint(packages: &[apt::Package]) -> String {
    let mut hasher = DefaultHasher::new();
    packages.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn lock(cache: &Path) -> anyhow::Result<File> {
    let lock = File::create(cache.join(".lock")).context("open the cache's lock")?;
    lock.lock().context("lock the cache")?;
    Ok(lock)
}

/// A folder for work under way, removed with whatever is left in it.
struct Work(PathBuf);

impl Work {
    fn make(cache: &Path) -> anyhow::Result<Self> {
        Ok(Self(
            nix::unistd::mkdtemp(&cache.join(".fetch-XXXXXX")).context("make a folder")?,
        ))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}
