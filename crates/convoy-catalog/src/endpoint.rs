//! Where a destination in the cloud is served, if not by Amazon: told once, remembered since it worked.

use jiff::Timestamp;

use crate::fields::Fields;
use crate::write::Writer;
use crate::{Catalog, Error};

/// The server of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The destination, in its one spelling.
    pub url: String,
    /// `https://host[:port]`.
    pub endpoint: String,
    /// For people.
    pub since: Timestamp,
}

impl Catalog {
    /// The server of this destination, where one was told.
    pub fn endpoint(&self, url: &str) -> Result<Option<Endpoint>, Error> {
        self.select_one("endpoints", "WHERE url = ?1", &url, endpoint)
    }
}

impl Writer<'_> {
    pub(crate) fn endpoint(&self, endpoint: &Endpoint) -> Result<(), Error> {
        self.upsert(
            &format!("the endpoint of {}", endpoint.url),
            "endpoints",
            &[],
            &[
                ("url", &endpoint.url),
                ("endpoint", &endpoint.endpoint),
                ("since", &endpoint.since.to_string()),
            ],
        )
    }
}

fn endpoint(row: &Fields<'_>) -> Result<Endpoint, Error> {
    Ok(Endpoint {
        url: row.text("url")?,
        endpoint: row.text("endpoint")?,
        since: row.parsed("since")?,
    })
}

#[cfg(test)]
mod tests {
    //! What is remembered.

    use super::*;
    use crate::Change;
    use crate::samples::{Fixture, created};

    #[test]
    fn the_latest_endpoint_of_a_destination_is_remembered() {
        let fixture = Fixture::new();
        let put = |endpoint: &str| {
            let endpoint = Endpoint {
                url: "s3://b@r/p/".to_owned(),
                endpoint: endpoint.to_owned(),
                since: created(),
            };
            let change = Change::PutEndpoint(endpoint.clone());
            fixture.catalog.apply(&[change]).unwrap();
            endpoint
        };
        assert_eq!(fixture.catalog.endpoint("s3://b@r/p/").unwrap(), None);
        put("https://one");
        let two = put("https://two:8443");
        assert_eq!(fixture.catalog.endpoint("s3://b@r/p/").unwrap(), Some(two));
        assert_eq!(fixture.catalog.endpoint("s3://b@r/q/").unwrap(), None);
    }
}
