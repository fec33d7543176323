//! The system calls that change something, and the ways in which each may end.

use crate::kills::verb::Verb;
use std::fmt;

/// How a system call ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// The process is killed before the call is carried out.
    Kill,
    /// The call is not carried out; this error is its answer.
    Once(&'static str),
    /// And so are all that follow.
    FromThenOn(&'static str),
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::Once(_) => "once",
            Self::FromThenOn(_) => "for-good",
        }
    }

    /// As strace is told: what happens, and when.
    pub(super) fn inject(self, nth: u32) -> String {
        match self {
            Self::Kill => format!("signal=KILL:when={nth}"),
            Self::Once(errno) => format!("error={errno}:when={nth}"),
            Self::FromThenOn(errno) => format!("error={errno}:when={nth}+"),
        }
    }
}

/// `CONVOY_SYSCALLS=create,ioctl,killed` leaves out what it does not name, among verbs, calls and ends alike. Of
/// a kind that it names none of, all are in.
#[derive(Debug)]
pub(super) struct Asked(Vec<String>);

impl Asked {
    pub(super) fn new() -> Self {
        let asked = std::env::var("CONVOY_SYSCALLS").unwrap_or_default();
        Self(asked.split(',').map(str::to_owned).collect())
    }

    pub(super) fn verb(&self, verb: Verb) -> bool {
        self.names(verb.word(), Verb::ALL.map(Verb::word))
    }

    pub(super) fn call(&self, call: &Call) -> bool {
        self.names(call.name, CALLS.iter().map(|call| call.name))
    }

    pub(super) fn end(&self, end: End) -> bool {
        self.names(end.word(), ["killed", "once", "for-good"])
    }

    fn names<'a>(&self, word: &str, of: impl IntoIterator<Item = &'a str>) -> bool {
        let is_named = |word: &str| self.0.iter().any(|asked| asked == word);
        is_named(word) || !of.into_iter().any(is_named)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "killed"),
            Self::Once(errno) => write!(f, "{errno}"),
            Self::FromThenOn(errno) => write!(f, "{errno}, from then on"),
        }
    }
}

/// A system call by strace's name, and its ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) ends: &'static [End],
}

const fn call(name: &'static str, ends: &'static [End]) -> Call {
    Call { name, ends }
}

use End::{FromThenOn, Kill, Once};

/// What answers with an error that is no error of storage is tried once with it; what may fail for good, also
/// for good.
pub(super) const CALLS: &[Call] = &[
    call("fsync", &[Kill, Once("EIO"), FromThenOn("EIO")]),
    call("fdatasync", &[Kill, Once("EIO"), FromThenOn("EIO")]),
    call("syncfs", &[Kill, Once("EIO")]),
    call("pwrite64", &[Kill, Once("EIO"), FromThenOn("ENOSPC")]),
    call("write", &[Kill, Once("EINTR"), FromThenOn("ENOSPC")]),
    call("pread64", &[Once("EIO")]),
    call("ftruncate", &[Kill, Once("EIO"), FromThenOn("ENOSPC")]),
    call("fallocate", &[Kill, Once("EIO"), FromThenOn("ENOSPC")]),
    // Not for good: a store that cannot open a file is asked again for half a minute, at each of them.
    call("openat", &[Kill, Once("EMFILE")]),
    call("mkdir", &[Kill, Once("ENOSPC")]),
    call("rename", &[Kill, Once("EIO")]),
    call("renameat", &[Kill, Once("EIO")]),
    call("renameat2", &[Kill, Once("EIO")]),
    call("link", &[Kill, Once("EIO")]),
    call("linkat", &[Kill, Once("EIO")]),
    call("unlink", &[Kill, Once("EIO")]),
    call("unlinkat", &[Kill, Once("EIO")]),
    call(
        "ioctl",
        &[Kill, Once("EIO"), Once("ENOMEM"), FromThenOn("EINTR")],
    ),
    call("mount", &[Kill, Once("EIO")]),
    call("umount2", &[Kill, Once("EBUSY")]),
    call("clone3", &[Kill, Once("EAGAIN")]),
    call("execve", &[Once("ENOMEM")]),
];
