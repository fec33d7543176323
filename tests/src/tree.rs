//! A file tree as one value that two trees share exactly when they are equal.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Each entry below a folder, with all of it that a backup must carry.
pub type Tree = BTreeMap<PathBuf, Entry>;

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is, and its permissions (`st_mode`).
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// When it was last written: seconds and nanoseconds since 1970.
    pub modified: (i64, i64),
    /// Its size in bytes; zero for what is neither file nor link.
    pub size: u64,
    /// BLAKE3 of a file's bytes or a link's target, a device's number, or nothing.
    pub content: String,
}

/// Reads the tree below `root`, the root itself under an empty path. `lost+found` is left out.
///
/// # Panics
///
/// When something in it cannot be read.
#[track_caller]
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    tree.insert(PathBuf::new(), entry(root));
    while let Some(folder) = folders.pop() {
        for child in fs::read_dir(&folder).expect("the folder can be listed") {
            let path = child.expect("the folder can be listed").path();
            let name = path
                .strip_prefix(root)
                .expect("a child lies below its root")
                .to_owned();
            if name == Path::new("lost+found") {
                continue;
            }
            let found = entry(&path);
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            }
            tree.insert(name, found);
        }
    }
    tree
}

#[track_caller]
fn entry(path: &Path) -> Entry {
    let meta = fs::symlink_metadata(path).expect("the entry exists");
    let sized = meta.is_file() || meta.is_symlink();
    Entry {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        modified: (meta.mtime(), meta.mtime_nsec()),
        size: if sized { meta.len() } else { 0 },
        content: content(path, &meta),
    }
}

#[track_caller]
fn content(path: &Path, meta: &Metadata) -> String {
    let kind = meta.file_type();
    if kind.is_file() {
        return hash_file(path);
    }
    if kind.is_symlink() {
        return fs::read_link(path)
            .expect("the link can be read")
            .to_string_lossy()
            .into_owned();
    }
    if kind.is_block_device() || kind.is_char_device() {
        return meta.rdev().to_string();
    }
    String::new()
}

/// BLAKE3 of a file's or a device's bytes, in hexadecimal.
///
/// # Panics
///
/// When it cannot be read.
#[track_caller]
pub fn hash_file(path: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    let file = File::open(path).expect("the file can be opened");
    hasher.update_reader(file).expect("the file can be read");
    hasher.finalize().to_hex().to_string()
}

/// Compares two trees.
///
/// # Panics
///
/// When they differ, naming the first entries that do.
#[track_caller]
pub fn assert_same(left: &Tree, right: &Tree) {
    let paths: std::collections::BTreeSet<&PathBuf> = left.keys().chain(right.keys()).collect();
    let differing = paths
        .into_iter()
        .filter(|path| left.get(*path) != right.get(*path));
    let first: Vec<_> = differing
        .take(5)
        .map(|path| (path, left.get(path), right.get(path)))
        .collect();
    assert!(first.is_empty(), "the trees differ: {first:#?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(dir: &Path) {
        fs::create_dir_all(dir.join("sub")).unwrap();
        fs::write(dir.join("sub/file"), b"bytes").unwrap();
        std::os::unix::fs::symlink("file", dir.join("sub/link")).unwrap();
    }

    #[test]
    fn a_tree_equals_itself_until_a_byte_changes() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let before = read(dir.path());
        assert_eq!(before.len(), 4);
        assert_same(&before, &read(dir.path()));
        fs::write(dir.path().join("sub/file"), b"bytez").unwrap();
        assert_ne!(before, read(dir.path()));
    }

    #[test]
    #[should_panic(expected = "the trees differ")]
    fn a_difference_is_named() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let before = read(dir.path());
        fs::remove_file(dir.path().join("sub/link")).unwrap();
        assert_same(&before, &read(dir.path()));
    }
}
