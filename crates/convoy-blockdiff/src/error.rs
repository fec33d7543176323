//! Why there is no answer.

use convoy_fault::{Fault, Kind};
use convoy_units::DevId;

/// A question that could not be answered, or not to its end. What was handed out before is not the whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The metadata cannot be read or is damaged.
    #[error("cannot compare {} with thin device {right}", side(*.left))]
    Metadata {
        /// The older side; `None` is the empty device.
        left: Option<DevId>,
        /// The newer side.
        right: DevId,
        /// What is wrong with it.
        source: convoy_thin_metadata::Error,
    },
    /// `finish` was called before the iteration had come to its end.
    #[error("the comparison of {} with thin device {right} was not carried to its end", side(*.left))]
    Unfinished {
        /// The older side; `None` is the empty device.
        left: Option<DevId>,
        /// The newer side.
        right: DevId,
    },
    /// What the devices take up could not be measured, for a reason in the metadata.
    #[error("cannot measure what the pool's devices take up")]
    Usage {
        /// What is wrong with it.
        source: convoy_thin_metadata::Error,
    },
}

fn side(dev_id: Option<DevId>) -> String {
    dev_id.map_or_else(|| "nothing".to_owned(), |id| format!("thin device {id}"))
}

impl Fault for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Metadata { source, .. } | Self::Usage { source } => source.kind(),
            Self::Unfinished { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Metadata { source, .. } | Self::Usage { source } => source.hint(),
            Self::Unfinished { .. } => None,
        }
    }
}
