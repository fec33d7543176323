//! Where backups go: from what a caller names to an open repository of known identity.

mod endpoint;

pub(crate) use endpoint::Buckets;

use crate::engine::Engine;
use crate::error::{Doing, Error};
use crate::model::DestinationInfo;
use convoy_catalog::{Change, Destination};
use convoy_fault::{Fault, Kind};
use convoy_names::DestinationName;
use convoy_objectstore::{BackupUrl, Location};
use convoy_repository::{CreateOptions, OpenOptions, Repository};
use jiff::Timestamp;

/// A destination with its repository open.
pub(crate) struct OpenDestination {
    /// As it stands in backup URLs.
    pub(crate) location: Location,
    pub(crate) repository: Repository,
}

/// What to do where no repository is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make one, unless one was there before.
    Create,
    /// It is an error.
    Refuse,
}

/// Who is asked for the log and the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// This host's copies, as far as there are any.
    Cache,
    /// The destination, about everything: what another host would find there.
    Store,
}

impl Engine {
    /// Opens the repository at a destination.
    ///
    /// A destination that was used before and has no repository now, or another one, is refused: an
    /// unmounted share leaves an empty directory that looks like a new destination.
    pub(crate) fn open_location(
        &self,
        location: &Location,
        missing: Missing,
        ask: Ask,
    ) -> Result<OpenDestination, Error> {
        let location = location.normalised();
        let url = location.to_string();
        let opened = self.open_repository(location, missing, ask);
        match &opened {
            Ok(_) => self.keep_endpoint(&url)?,
            // There may be backups of the original's, which are looked for next.
            Err(error) if error.kind() == Kind::NotFound => (),
            Err(_) => self.withdraw_endpoint(&url),
        }
        opened
    }

    fn open_repository(
        &self,
        location: Location,
        missing: Missing,
        ask: Ask,
    ) -> Result<OpenDestination, Error> {
        let url = location.to_string();
        let known = self
            .catalog
            .destination_by_url(&url)
            .doing(|| format!("looking for destination {url}"))?;
        let s3 = self.s3_options(&url)?;
        // A folder that is not there is the destination's failure, never "no backup yet".
        let store = match self.machine.store_with(&location, &s3) {
            Ok(store) => self.steps.store(store),
            Err(error) => {
                let missing = error.kind() == Kind::NotFound;
                let error = Error::of(format!("opening destination {url}"), error);
                return Err(if missing {
                    error
                        .being(Kind::DestinationUnavailable)
                        .hinting("make the directory, or mount the share that has it")
                } else {
                    error
                });
            }
        };
        let options = OpenOptions {
            host: self.catalog.host(),
            cache_dir: known
                .as_ref()
                .map(|known| self.root.cache(known.repository)),
            ask_store: ask == Ask::Store,
            patience: self.machine.patience(),
            ..OpenOptions::default()
        };
        let repository = match Repository::open(store.clone(), &options) {
            Ok(repository) => repository,
            Err(error) if error.kind() == Kind::NotFound => match (&known, missing) {
                (Some(known), _) => return Err(gone(&url, known)),
                (None, Missing::Create) => {
                    let new = CreateOptions {
                        host: self.catalog.host(),
                        patience: self.machine.patience(),
                        ..CreateOptions::default()
                    };
                    match Repository::create(store.clone(), &new) {
                        // Somebody else made it in this moment.
                        Err(error) if error.kind() == Kind::Conflict => {
                            Repository::open(store, &options)
                        }
                        made => made,
                    }
                    .doing(|| format!("making a repository at {url}"))?
                }
                (None, Missing::Refuse) => {
                    return Err(Error::of(format!("opening the repository at {url}"), error));
                }
            },
            Err(error) => return Err(Error::of(format!("opening the repository at {url}"), error)),
        };
        match known {
            Some(known) if known.repository != repository.id() => {
                let what = format!(
                    "destination {url} holds repository {}, but it was {} before",
                    repository.id(),
                    known.repository
                );
                return Err(Error::new(Kind::DestinationUnavailable, what)
                    .hinting("check that the right share is mounted there"));
            }
            None if missing == Missing::Create => self.remember(&url, &repository)?,
            Some(_) | None => (),
        }
        Ok(OpenDestination {
            location,
            repository,
        })
    }

    /// Every destination that backups have gone to.
    ///
    /// # Errors
    /// Only when the catalog cannot be read.
    pub fn destinations(&self) -> Result<Vec<DestinationInfo>, Error> {
        let known = self
            .catalog
            .destinations()
            .doing(|| "reading destinations")?;
        let info = |known: Destination| DestinationInfo {
            name: known.name,
            url: known.url,
            repository: known.repository,
        };
        Ok(known.into_iter().map(info).collect())
    }

    /// Whether a backup's URL is of a destination that backups have gone to from here; by the catalog alone.
    ///
    /// # Errors
    /// `Invalid` for what is no URL of a backup.
    pub fn knows_destination_of(&self, url: &str) -> Result<bool, Error> {
        let parsed: BackupUrl = url
            .parse()
            .doing(|| format!("reading backup URL {url:?}"))?;
        let location = parsed.location.normalised().to_string();
        let known = self.catalog.destination_by_url(&location);
        Ok(known
            .doing(|| format!("looking for destination {location}"))?
            .is_some())
    }

    fn remember(&self, url: &str, repository: &Repository) -> Result<(), Error> {
        let destination = Destination {
            name: Some(self.free_name(url)?),
            url: url.to_owned(),
            repository: repository.id(),
            created: Timestamp::now(),
        };
        self.catalog
            .apply(&[Change::PutDestination(destination)])
            .doing(|| format!("remembering destination {url}"))
    }

    /// A name for a new destination: the last part of its URL, with a number where that is taken.
    fn free_name(&self, url: &str) -> Result<DestinationName, Error> {
        let taken = self.destinations()?;
        let last = url.rsplit('/').next().unwrap_or_default();
        let word = last.parse::<DestinationName>().map_or("backups", |_| last);
        // Names have an end: room is kept for the number.
        let word = word.get(..100).unwrap_or(word);
        let numbered = (2..10_000).map(|n| format!("{word}-{n}"));
        let free = std::iter::once(word.to_owned())
            .chain(numbered)
            .find_map(|name| {
                let name: DestinationName = name.parse().ok()?;
                let is_taken = taken.iter().any(|known| known.name.as_ref() == Some(&name));
                (!is_taken).then_some(name)
            });
        free.ok_or_else(|| Error::new(Kind::Failed, format!("no name is left for {url}")))
    }

    /// The location of a destination given by URL or by name.
    pub(crate) fn locate(&self, destination: &str) -> Result<Location, Error> {
        if destination.is_empty() {
            return Err(
                Error::new(Kind::Invalid, "Destination URL hasn't been specified")
                    .hinting("give one with --dest, such as vfs:///mnt/backups"),
            );
        }
        let parse = |url: &str| {
            url.parse::<Location>()
                .doing(|| format!("reading destination {url:?}"))
        };
        if destination.contains("://") {
            return parse(destination);
        }
        let name: DestinationName = destination.parse().map_err(|_| {
            let what = format!("{destination:?} is neither a destination's URL nor a name");
            Error::new(Kind::Invalid, what).hinting("a URL is such as vfs:///mnt/backups")
        })?;
        let known = self
            .catalog
            .destination_by_name(&name)
            .doing(|| format!("looking for destination {name}"))?
            .ok_or_else(|| {
                Error::new(
                    Kind::NotFound,
                    format!("there is no destination named {name}"),
                )
            })?;
        parse(&known.url)
    }
}

fn gone(url: &str, known: &Destination) -> Error {
    let what = format!(
        "destination {url} held repository {} before, and there is none now",
        known.repository
    );
    Error::new(Kind::DestinationUnavailable, what).hinting(
        "is the share mounted? Nothing was written; a repository given up for good needs another path",
    )
}
