//! Who serves a bucket: told once for a destination, remembered since the destination has answered there.
//!
//! A backup's URL carries no endpoint, as it carries no secret; the catalog has it. What was told and did not
//! answer is forgotten, so that a slip of the pen does not stick.

use crate::engine::Engine;
use crate::error::{Doing, Error};
use convoy_catalog::{Change, Endpoint};
use convoy_fault::Kind;
use convoy_objectstore::{BackupUrl, Location, S3Options};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an endpoint waits for the verb that uses it: backups of a volume queue.
const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Debug)]
struct Offer {
    endpoint: String,
    told: Instant,
}

/// How buckets are reached.
#[derive(Debug)]
pub(crate) struct Buckets {
    options: S3Options,
    /// By destination: told, and not tried yet.
    offered: Mutex<BTreeMap<String, Offer>>,
}

impl Buckets {
    pub(crate) fn new(options: &S3Options) -> Self {
        Self {
            options: options.clone(),
            offered: Mutex::default(),
        }
    }

    fn offered(&self) -> MutexGuard<'_, BTreeMap<String, Offer>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was told of this destination not long ago, and has not been found wrong.
    fn offer(&self, url: &str) -> Option<String> {
        let offered = self.offered();
        let offer = offered.get(url)?;
        (offer.told.elapsed() < PATIENCE).then(|| offer.endpoint.clone())
    }
}

impl Engine {
    /// Tells who serves a destination, or the destination of a backup: `https://host[:port]`, or `http://` for who
    /// takes it that anybody on the way may read what is not encrypted.
    ///
    /// The next verb on that destination goes there. If it finds a repository, or makes one, that is remembered;
    /// else it is as if nothing had been told.
    ///
    /// # Errors
    /// `Invalid` for what is no destination in the cloud, and for what is no endpoint.
    pub fn offer_endpoint(&self, place: &str, endpoint: &str) -> Result<(), Error> {
        let location = match place.parse::<BackupUrl>() {
            Ok(backup) => backup.location,
            Err(_) => self.locate(place)?,
        };
        if !matches!(location, Location::S3 { .. }) {
            let what = format!("{location} has no endpoint: it is no bucket");
            return Err(Error::new(Kind::Invalid, what).hinting("leave --s3-endpoint out"));
        }
        let endpoint = convoy_objectstore::endpoint(endpoint)
            .doing(|| format!("reading the endpoint of {location}"))?;
        let url = location.normalised().to_string();
        let offer = Offer {
            endpoint,
            told: Instant::now(),
        };
        self.buckets.offered().insert(url, offer);
        Ok(())
    }

    /// How to reach this destination.
    pub(crate) fn s3_options(&self, url: &str) -> Result<S3Options, Error> {
        let mut options = self.buckets.options.clone();
        if let Some(offer) = self.buckets.offer(url) {
            options.endpoint = Some(offer);
            return Ok(options);
        }
        let known = self
            .catalog
            .endpoint(url)
            .doing(|| format!("looking for the endpoint of {url}"))?;
        if let Some(known) = known {
            options.endpoint = Some(known.endpoint);
        }
        Ok(options)
    }

    /// The destination has answered where it was told to be. An engine that only looks remembers nothing.
    pub(crate) fn keep_endpoint(&self, url: &str) -> Result<(), Error> {
        let Some(endpoint) = self.buckets.offer(url) else {
            return Ok(());
        };
        if self.reading.is_some() {
            return Ok(());
        }
        let kept = Endpoint {
            url: url.to_owned(),
            endpoint,
            since: Timestamp::now(),
        };
        self.catalog
            .apply(&[Change::PutEndpoint(kept)])
            .doing(|| format!("remembering the endpoint of {url}"))?;
        self.withdraw_endpoint(url);
        Ok(())
    }

    pub(super) fn withdraw_endpoint(&self, url: &str) {
        self.buckets.offered().remove(url);
    }
}
