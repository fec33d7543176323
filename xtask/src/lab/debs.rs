//! Debian packages fetched and unpacked in the cache: no root, nothing installed, no script run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::run::{find_program, quietly};

/// Returns for each package the folder that holds its files; missing ones are fetched together.
///
/// Safe when several processes ask at once: a lock file lets one fetch, and a package appears whole,
/// by renaming.
pub(crate) fn fetch(cache: &Path, packages: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let top = cache.join("debs");
    std::fs::create_dir_all(&top).with_context(|| format!("make {}", top.display()))?;
    if packages.iter().any(|package| !top.join(package).is_dir()) {
        let lock = File::create(top.join(".lock")).context("open the cache's lock")?;
        lock.lock().context("lock the cache")?;
        let missing: Vec<&str> = packages
            .iter()
            .copied()
            .filter(|package| !top.join(package).is_dir())
            .collect();
        fetch_missing(&top, &missing)?;
    }
    Ok(packages.iter().map(|package| top.join(package)).collect())
}

fn fetch_missing(top: &Path, packages: &[&str]) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    for tool in ["apt-get", "dpkg-deb", "tar"] {
        if find_program(tool).is_none() {
            bail!(
                "{tool} is needed to fetch {}: only Debian and its kin work",
                packages.join(" ")
            );
        }
    }
    eprintln!("lab: fetching {}", packages.join(" "));
    let work = nix::unistd::mkdtemp(&top.join(".fetch-XXXXXX")).context("make a folder")?;
    let outcome = download(top, &work, packages).and_then(|()| unpack_all(top, &work));
    std::fs::remove_dir_all(&work).ok();
    outcome?;
    match packages.iter().find(|package| !top.join(package).is_dir()) {
        Some(package) => bail!("apt-get gave no package called {package}"),
        None => Ok(()),
    }
}

fn download(top: &Path, work: &Path, packages: &[&str]) -> anyhow::Result<()> {
    let get = |options: &[String]| {
        let mut command = Command::new("apt-get");
        command
            .args(options)
            .arg("download")
            .args(packages)
            .current_dir(work);
        quietly(&mut command)
    };
    if get(&[]).is_ok() {
        return Ok(());
    }
    // No package lists on this machine, or stale ones: private lists, which need no root.
    let options = private_lists(&top.join(".apt"))?;
    quietly(Command::new("apt-get").args(&options).arg("update"))
        .context("read the package lists")?;
    get(&options).context("download packages").map(drop)
}

fn private_lists(top: &Path) -> anyhow::Result<Vec<String>> {
    for dir in ["state/lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(top.join(dir))
            .with_context(|| format!("make {}", top.display()))?;
    }
    let top = top.display();
    let settings = [
        format!("Dir::State={top}/state"),
        format!("Dir::Cache={top}/cache"),
        "Dir::State::status=/var/lib/dpkg/status".to_owned(),
        "APT::Sandbox::User=".to_owned(),
    ];
    Ok(settings
        .into_iter()
        .flat_map(|setting| ["-o".to_owned(), setting])
        .collect())
}

fn unpack_all(top: &Path, work: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(work).context("list what was downloaded")? {
        let archive = entry?.path();
        if archive
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            unpack(top, work, &archive).with_context(|| format!("unpack {}", archive.display()))?;
        }
    }
    Ok(())
}

fn unpack(top: &Path, work: &Path, archive: &Path) -> anyhow::Result<()> {
    let name = archive.file_name().unwrap_or_default().to_string_lossy();
    let package = name.split('_').next().unwrap_or_default();
    let root = work.join(package);
    make_merged_usr(&root)?;
    let mut files = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let tar = Command::new("tar")
        .args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C"])
        .arg(&root)
        .stdin(files.stdout.take().context("dpkg-deb has no output")?)
        .status()
        .context("start tar")?;
    if !files.wait().context("wait for dpkg-deb")?.success() || !tar.success() {
        bail!("dpkg-deb or tar failed");
    }
    std::fs::rename(&root, top.join(package)).context("put the package in its place")
}

/// A real `/lib` in a layer would hide the host's symbolic link of that name.
fn make_merged_usr(root: &Path) -> anyhow::Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let dir = root.join("usr").join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        std::os::unix::fs::symlink(format!("usr/{name}"), root.join(name)).context("link")?;
    }
    Ok(())
}
