//! A container image of one program, made here: no registry is needed.

use super::program;
use std::fs;
use std::path::{Path, PathBuf};

/// What the image has in `/data`, for a fresh volume to be given.
pub(super) const GIVEN: &str = "from the image";

/// Makes the image's file tree as a tar archive.
pub(super) fn archive(folder: &Path) -> PathBuf {
    let tree = folder.join("image");
    for part in ["bin", "data", "tmp", "proc", "sys", "dev", "etc"] {
        fs::create_dir_all(tree.join(part)).unwrap();
    }
    let busybox = tree.join("bin/busybox");
    fs::copy("/bin/busybox", &busybox).unwrap();
    for word in ["sh", "cat", "sleep", "sync", "true", "echo", "ls", "mv"] {
        std::os::unix::fs::symlink("busybox", tree.join("bin").join(word)).unwrap();
    }
    fs::write(tree.join("data/given"), GIVEN).unwrap();
    let archive = folder.join("image.tar");
    let words = [
        "-C",
        tree.to_str().unwrap(),
        "-cf",
        archive.to_str().unwrap(),
        ".",
    ];
    program("tar", &words).ok();
    archive
}
