//! Why a tool failed, ready to be shown.

use convoy_fault::Fault;
use std::io;

/// A failure at the edge. Its exit status is always 1: the reference tools know no other.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Whoever read the answer went away: they know, and nobody else needs to.
    Closed,
    /// What there is to say has been said, or was asked to be left unsaid.
    Silent,
    /// The command line is wrong; the whole text.
    Usage(String),
    /// A chain of causes, and what to do next.
    Told {
        message: String,
        hint: Option<String>,
    },
}

impl Failure {
    pub(crate) fn told(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self::Told {
            message: message.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// With the name of the tool in front.
    pub(crate) fn of(self, tool: &str) -> Self {
        match self {
            Self::Told { message, hint } => Self::Told {
                message: format!("{tool}: {message}"),
                hint,
            },
            other => other,
        }
    }

    /// What to print on stderr; empty when there is nothing to say.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Closed | Self::Silent => String::new(),
            Self::Usage(text) => text.clone(),
            Self::Told { message, hint } => {
                let hint = hint.as_ref().map(|hint| format!("hint: {hint}\n"));
                format!("{message}\n{}", hint.unwrap_or_default())
            }
        }
    }
}

fn told(error: &dyn Fault) -> Failure {
    Failure::Told {
        message: convoy_fault::chain(error),
        hint: error.hint(),
    }
}

impl From<convoy_thin_metadata::Error> for Failure {
    fn from(error: convoy_thin_metadata::Error) -> Self {
        told(&error)
    }
}

impl From<convoy_blockdiff::Error> for Failure {
    fn from(error: convoy_blockdiff::Error) -> Self {
        told(&error)
    }
}

/// The only IO of the tools themselves is writing the answer; reading has errors of its own.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        let message = format!("cannot write the answer: {error}");
        Self::told(
            message,
            Some("what has been written is not the whole answer"),
        )
    }
}
