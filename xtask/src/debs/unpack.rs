//! A package's files laid into a folder.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Unpacks an archive into a root folder, which may hold other packages already.
pub(crate) fn into_root(archive: &Path, root: &Path) -> anyhow::Result<()> {
    make_merged_usr(root)?;
    extract(archive, root).with_context(|| format!("unpack {}", archive.display()))
}

/// Debian's merged `/usr`: a real `/lib` here would hide the host's symbolic link of that name.
fn make_merged_usr(root: &Path) -> anyhow::Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let dir = root.join("usr").join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let link = root.join(name);
        if !link.is_symlink() {
            std::os::unix::fs::symlink(format!("usr/{name}"), &link).context("make a link")?;
        }
    }
    Ok(())
}

/// `dpkg-deb -x` would replace those links by folders; tar can be told not to.
fn extract(archive: &Path, root: &Path) -> anyhow::Result<()> {
    let mut files = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(archive)
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let tar = Command::new("tar")
        .args(["-x", "--keep-directory-symlink", "--no-same-owner", "-C"])
        .arg(root)
        .stdin(files.stdout.take().context("dpkg-deb has no output")?)
        .status()
        .context("start tar")?;
    if !files.wait().context("wait for dpkg-deb")?.success() || !tar.success() {
        bail!("dpkg-deb or tar failed");
    }
    Ok(())
}
