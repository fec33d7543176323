//! The scratch disks of tests that run on this machine's own kernel.

use std::path::PathBuf;
use std::process::Command;

use crate::places;
use crate::run::quietly;

/// Sparse files on loop devices, gone when dropped.
pub(crate) struct LoopDisks {
    dir: PathBuf,
    devices: Vec<String>,
}

impl LoopDisks {
    /// Attaches so many, each of a size as truncate(1) reads it.
    pub(crate) fn attach(count: usize, size: &str) -> anyhow::Result<Self> {
        let dir = nix::unistd::mkdtemp(&places::lab_cache()?.join("disks-XXXXXX"))?;
        let mut disks = Self {
            dir,
            devices: Vec::new(),
        };
        for number in 0..count {
            let file = disks.dir.join(number.to_string());
            quietly(Command::new("truncate").args(["-s", size]).arg(&file))?;
            let device = quietly(
                Command::new("losetup")
                    .args(["--find", "--show"])
                    .arg(&file),
            )?;
            disks.devices.push(device.trim().to_owned());
        }
        Ok(disks)
    }

    /// Their nodes.
    pub(crate) fn devices(&self) -> &[String] {
        &self.devices
    }
}

impl Drop for LoopDisks {
    fn drop(&mut self) {
        for device in &self.devices {
            // The tests leave their scratch folder mounted for the next module. Nothing mounted is no error.
            quietly(Command::new("umount").args(["--all-targets", device])).ok();
            if let Err(error) = quietly(Command::new("losetup").arg("--detach").arg(device)) {
                eprintln!("test: {error:#}");
            }
        }
        std::fs::remove_dir_all(&self.dir).ok();
    }
}
