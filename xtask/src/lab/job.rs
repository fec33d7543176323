//! What the runner tells the guest: one JSON file in the run's folder, read by process 1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// Where the guest sees the run's folder of the host.
pub(crate) const GUEST_RUN_DIR: &str = "/run/convoy-lab";
/// The job's file in the run's folder.
pub(crate) const JOB_FILE: &str = "job.json";
/// The file that carries the command's exit status, in decimal, out of the guest.
pub(crate) const STATUS_FILE: &str = "status";
/// The guest makes this file when its input line is open.
pub(crate) const STDIN_OPEN_FILE: &str = "stdin-open";

/// One run of the lab.
#[derive(Debug, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one option of the command line"
)]
pub(crate) struct Job {
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: PathBuf,
    /// Folders of the host that lie over its root in the guest, first on top.
    pub(crate) layers: Vec<PathBuf>,
    /// The folder with `modules.dep`.
    pub(crate) modules: PathBuf,
    /// More modules to load, each `NAME` or `NAME=PARAMETERS`.
    pub(crate) load: Vec<String>,
    /// Folders below `/tmp` or `/run` that stay visible.
    pub(crate) visible: Vec<PathBuf>,
    /// Folders the guest may write on the host.
    pub(crate) writable: Vec<PathBuf>,
    pub(crate) hostname: String,
    /// The address of `vec0`, when the guest has that interface: `Some("")` is up without one.
    pub(crate) network: Option<String>,
    pub(crate) udev: bool,
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) sync: bool,
}

impl Job {
    /// Writes the job into the run's folder.
    pub(crate) fn save(&self, run_dir: &Path) -> anyhow::Result<PathBuf> {
        let file = run_dir.join(JOB_FILE);
        let text = serde_json::to_vec(self).context("encode the job")?;
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }

    /// Reads a job back.
    pub(crate) fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        serde_json::from_slice(&text).context("decode the job")
    }
}
