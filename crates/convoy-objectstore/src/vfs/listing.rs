//! Listings: the directory tree walked in the order of keys, skipping what cannot match.

use std::io;
use std::os::fd::OwnedFd;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{SFlag, fstatat};

use super::directory::{self, Directories};
use super::{is, is_file, size_of};
use crate::folder::Folder;
use crate::{Entry, Key, Page};

pub(super) fn list(
    directories: &Directories,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> io::Result<Page> {
    let limit = limit.max(1);
    let (parent, _) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let mut page = Page::default();
    let folder = directories.folder();
    let is_segment = |segment: &str| folder.is_segment(segment);
    if !parent.is_empty() && !parent.split('/').all(is_segment) || prefix.starts_with("tmp/") {
        return Ok(page);
    }
    let start = match directories.open(parent) {
        Ok(start) => start,
        // Nothing was put there yet; or the prefix goes through an object.
        Err(error) if is(&error, Errno::ENOENT) => return Ok(page),
        Err(error) if is(&error, Errno::ENOTDIR) && is_below_object(directories, parent) => {
            return Ok(page);
        }
        Err(error) => return Err(error),
    };
    let mut walk = Walk {
        folder,
        prefix,
        after: after.map_or("", Key::as_str),
        limit,
        page: &mut page,
    };
    let top = if parent.is_empty() {
        String::new()
    } else {
        format!("{parent}/")
    };
    walk.directory(&start, &top)?;
    page.more = page.entries.len() > limit;
    page.entries.truncate(limit);
    Ok(page)
}

/// Whether the last segment of the path is a regular file: an object, not a planted link.
fn is_below_object(directories: &Directories, path: &str) -> bool {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    directories
        .open(parent)
        .ok()
        .and_then(|directory| fstatat(&directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok())
        .is_some_and(|stat| is_file(&stat))
}

struct Walk<'a> {
    folder: Folder,
    prefix: &'a str,
    after: &'a str,
    /// One more than this is collected, to know whether there is more.
    limit: usize,
    page: &'a mut Page,
}

impl Walk<'_> {
    fn directory(&mut self, directory: &OwnedFd, path: &str) -> io::Result<()> {
        let mut names = read_names(directory, self.folder)?;
        // With its slash a directory sorts among the files as its keys do.
        names.sort();
        for name in names {
            if self.page.entries.len() > self.limit {
                return Ok(());
            }
            let text = format!("{path}{name}");
            match name.strip_suffix('/') {
                Some(name) if self.may_hold(&text) => {
                    match directory::open_below(directory, name) {
                        Ok(below) => self.directory(&below, &text)?,
                        Err(Errno::ENOENT) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                }
                None if self.wants(&text) => self.object(directory, &name, text)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether a key that begins with this directory can match.
    fn may_hold(&self, directory: &str) -> bool {
        let matches = directory.starts_with(self.prefix) || self.prefix.starts_with(directory);
        matches && (directory > self.after || self.after.starts_with(directory))
    }

    fn wants(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && key > self.after
    }

    fn object(&mut self, directory: &OwnedFd, name: &str, text: String) -> io::Result<()> {
        let stat = match fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        };
        if let (true, Ok(key)) = (is_file(&stat), self.folder.key(text)) {
            self.page.entries.push(Entry {
                key,
                size: size_of(&stat),
            });
        }
        Ok(())
    }
}

/// The names in a directory that can be part of keys, directories with a `/` behind.
fn read_names(directory: &OwnedFd, folder: Folder) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut entries = Dir::openat(
        directory,
        ".",
        listing_flags(),
        nix::sys::stat::Mode::empty(),
    )?;
    for entry in entries.iter() {
        let entry = entry?;
        // `.nfs…` is what a share makes of a file that is removed while somebody reads it.
        let Some(name) = entry
            .file_name()
            .to_str()
            .ok()
            .filter(|name| is_ours(name, folder))
        else {
            continue;
        };
        let is_directory = match entry.file_type() {
            Some(kind) => kind == Type::Directory,
            None => fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| {
                SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR
            }),
        };
        names.push(if is_directory {
            format!("{name}/")
        } else {
            name.to_owned()
        });
    }
    Ok(names)
}

fn listing_flags() -> nix::fcntl::OFlag {
    use nix::fcntl::OFlag;
    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC
}

fn is_ours(name: &str, folder: Folder) -> bool {
    folder.is_segment(name) && !name.starts_with(".nfs")
}
