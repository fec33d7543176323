//! What can go wrong in a verb.

use convoy_fault::{Fault, Kind};

/// The error of every verb: what was being done, of what kind the failure is, and what caused it.
///
/// One struct instead of an enum: callers branch on [`Fault::kind`], which is the promise; the words are
/// for people, and the chain of causes keeps the column's own error.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    kind: Kind,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure that begins here.
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            kind,
            hint: None,
            source: None,
        }
    }

    /// A failure of a column: its kind and hint become ours, its message stays its own.
    pub(crate) fn of<E>(what: impl Into<String>, source: E) -> Self
    where
        E: Fault + Send + Sync + 'static,
    {
        let (kind, hint) = (source.kind(), source.hint());
        Self {
            what: what.into(),
            kind,
            hint,
            source: Some(Box::new(source)),
        }
    }

    /// The same with what to do next.
    #[must_use]
    pub(crate) fn hinting(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same as another kind, where the caller knows better than a column what its failure means here.
    #[must_use]
    pub(crate) fn being(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Adds what was being done to a column's result.
pub(crate) trait Doing<T> {
    /// `what` reads as the beginning of a sentence that the cause ends: `creating volume "a"`.
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, Error>;
}

impl<T, E: Fault + Send + Sync + 'static> Doing<T> for Result<T, E> {
    fn doing<W: Into<String>>(self, what: impl FnOnce() -> W) -> Result<T, Error> {
        self.map_err(|error| Error::of(what(), error))
    }
}
