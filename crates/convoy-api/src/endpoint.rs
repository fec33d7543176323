//! Who serves a destination in the cloud.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/endpoints`: the next verb on the destination goes there, and it is remembered once that
/// destination has answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferEndpoint {
    /// The destination, or the URL of a backup at it.
    pub place: String,
    /// `https://host[:port]`.
    pub endpoint: String,
}
