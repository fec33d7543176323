//! What kind of failure is it: one taxonomy for exit codes, HTTP statuses and error codes.
//!
//! Every error of every crate answers `kind()` with one of these, so that a script, an HTTP client
//! and a log reader all branch on the same word. The table is a golden file in the tests
//! (`crates/convoy-fault/tests/taxonomy.txt`): codes and numbers are promises, rows are only added.

use std::fmt;

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])* $kind:ident => $code:literal, exit $exit:literal, http $http:literal, $retry:ident; )*) => {
        /// The kind of a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Kind { $( $(#[doc = $doc])* $kind, )* }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Kind] = &[ $( Kind::$kind, )* ];

            /// The stable code that messages and the API carry, such as `E_POOL_FULL`.
            pub const fn code(self) -> &'static str {
                match self { $( Kind::$kind => $code, )* }
            }

            /// The exit status of a command that fails so.
            pub const fn exit_code(self) -> u8 {
                match self { $( Kind::$kind => $exit, )* }
            }

            /// The HTTP status of a response that reports it.
            pub const fn http_status(self) -> u16 {
                match self { $( Kind::$kind => $http, )* }
            }

            /// Whether the same request may succeed later with nothing changed by the caller.
            pub const fn retryable(self) -> bool {
                match self { $( Kind::$kind => $retry, )* }
            }
        }
    };
}

kinds! {
    /// A step failed for a reason that has no kind of its own.
    Failed => "E_FAILED", exit 1, http 500, false;
    /// What the caller asked for breaks a rule; nothing was touched.
    Invalid => "E_INVALID", exit 2, http 400, false;
    /// Some of several things were done, the message says which.
    Partial => "E_PARTIAL", exit 3, http 500, false;
    /// The thing named does not exist.
    NotFound => "E_NOT_FOUND", exit 10, http 404, false;
    /// It exists already with other settings, or its state forbids the verb.
    Conflict => "E_CONFLICT", exit 11, http 409, false;
    /// Somebody holds it; it may be free later.
    Busy => "E_BUSY", exit 12, http 409, true;
    /// The pool has no space left for this.
    PoolFull => "E_POOL_FULL", exit 13, http 507, false;
    /// The pool is read-only, failed, or disagrees with the catalog.
    PoolUnhealthy => "E_POOL_UNHEALTHY", exit 13, http 503, false;
    /// The pool's metadata must be checked before the kernel changes it again.
    PoolNeedsCheck => "E_POOL_NEEDS_CHECK", exit 13, http 503, false;
    /// Stored data or metadata does not verify.
    Integrity => "E_INTEGRITY", exit 14, http 500, false;
    /// The daemon does not answer.
    Unreachable => "E_DAEMON_UNREACHABLE", exit 15, http 503, true;
    /// The backup destination does not answer or is not the one it should be.
    DestinationUnavailable => "E_DESTINATION_UNAVAILABLE", exit 16, http 503, true;
    /// The caller may not do this.
    NotPermitted => "E_NOT_PERMITTED", exit 17, http 403, false;
    /// A key is missing or wrong.
    Key => "E_KEY", exit 18, http 403, false;
    /// What is stored was written by a newer version, or needs a feature this one lacks.
    Unsupported => "E_UNSUPPORTED", exit 1, http 501, false;
    /// The caller cancelled it.
    Interrupted => "E_INTERRUPTED", exit 130, http 499, false;
}

impl Kind {
    /// The kind that carries this code, if any: what a client reads from a problem body.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.code() == code)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What an error of ours can tell beyond its message.
pub trait Fault: std::error::Error {
    /// The kind callers branch on.
    fn kind(&self) -> Kind;

    /// What to do next, as one sentence without a full stop; `None` where nothing useful is known.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// Of the operating system's failures only those have a kind of their own that mean the same everywhere.
/// `NotFound` does not: a missing file of ours is not the thing the caller named.
impl Fault for std::io::Error {
    fn kind(&self) -> Kind {
        match self.kind() {
            std::io::ErrorKind::PermissionDenied => Kind::NotPermitted,
            std::io::ErrorKind::ResourceBusy => Kind::Busy,
            _ => Kind::Failed,
        }
    }
}

/// The message of an error and of everything that caused it, joined by `: `.
///
/// Each `Display` says only its own part, so the chain is put together once, at the edge.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
