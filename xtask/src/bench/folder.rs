//! A folder that goes when the run ends.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The folder; what cannot be removed is told.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    /// Makes one below `parent`, for this process alone.
    pub(super) fn make(parent: &Path) -> anyhow::Result<Self> {
        static MADE: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let folder = parent.join(format!("bench-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// A path in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("left behind: {}: {error}", self.0.display());
        }
    }
}
