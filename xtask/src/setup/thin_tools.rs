//! Debian's `thin-provisioning-tools`, judges over ours: the installed ones, else unpacked in the cache.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{children, name};
use crate::run::find_program;
use crate::{debs, places};

/// The variable that tells tests the folder of the tools.
pub(crate) const VARIABLE: &str = "CONVOY_THIN_TOOLS";
const PACKAGE: &str = "thin-provisioning-tools";
const TOOLS: &[&str] = &[
    "thin_check",
    "thin_delta",
    "thin_dump",
    "thin_ls",
    "thin_metadata_size",
];

/// The folder that holds the tools; the caller's own choice wins.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    if let Some(chosen) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(chosen.into());
    }
    if let Some(installed) = find_program("thin_delta") {
        return Ok(installed.parent().unwrap_or(Path::new("/")).to_owned());
    }
    let cache = places::lab_cache()?;
    let root = debs::closure(&cache, &[PACKAGE])
        .with_context(|| format!("fetch Debian's {PACKAGE}; or install it by hand"))?
        .with_context(|| format!("{PACKAGE} is installed, yet thin_delta was not found"))?;
    let folder = cache.join("thin-tools");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    for tool in TOOLS {
        write_wrapper(&root, tool, &folder)?;
    }
    Ok(folder)
}

/// A script that runs the unpacked tool with the libraries unpacked beside it, and those for it alone.
fn write_wrapper(root: &Path, tool: &str, folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let libraries: Vec<String> = children(&root.join("usr/lib"))
        .filter(|dir| name(dir).ends_with("-linux-gnu"))
        .map(|dir| dir.display().to_string())
        .collect();
    let program = root.join("usr/sbin").join(tool);
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n",
        libraries.join(":"),
        program.display()
    );
    let file = folder.join(tool);
    // Written aside and renamed: another run may be using it.
    let aside = folder.join(format!(".{tool}.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        std::fs::write(&aside, script)?;
        std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o755))?;
        std::fs::rename(&aside, &file)
    };
    write().with_context(|| format!("write {}", file.display()))
}
