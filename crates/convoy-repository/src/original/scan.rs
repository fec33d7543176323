//! Which volumes and backups are there.
//!
//! A store lists keys, and a volume's blocks may be millions of them. So the next key is asked for, then the
//! first behind the whole of that volume's directory: two requests a volume, and one for each backup.

use super::facts::OriginalFacts;
use super::layout::VolumeDirectory;
use super::wire::WireVolume;
use super::{MAX_BACKUP, Original, facts, wire};
use crate::error::Error;
use crate::patience::patiently;
use convoy_objectstore::{Key, Page};

/// Keys asked for at once where all are wanted.
const PAGE: usize = 1000;

impl Original {
    /// The backups there are, volume by volume in the order of their names, oldest first as far as their texts
    /// tell; of one volume only, by its name or what its directory is called.
    ///
    /// A backup whose text cannot be read is there too, with its problem: one hides no other. No backup at all
    /// is no error.
    ///
    /// # Errors
    /// `Store`.
    pub fn list(&self, volume_name: Option<&str>) -> Result<Vec<OriginalFacts>, Error> {
        let mut all = Vec::new();
        let mut after = None;
        while let Some(entry) = self.page("volumes/", after.as_ref(), 1)?.entries.pop() {
            after = Some(behind(&entry.key));
            let Some(directory) = VolumeDirectory::of_key(&entry.key) else {
                continue;
            };
            let volume = self.volume(&directory)?;
            let label = volume.as_ref().map(|volume| volume.name.as_str());
            if volume_name.is_none_or(|name| name == directory.name() || Ok(name) == label) {
                all.extend(self.backups_of(&directory, &volume)?);
            }
        }
        Ok(all)
    }

    fn backups_of(
        &self,
        directory: &VolumeDirectory,
        volume: &Result<WireVolume, String>,
    ) -> Result<Vec<OriginalFacts>, Error> {
        let mut all = Vec::new();
        let mut after: Option<Key> = None;
        loop {
            let page = self.page(&directory.backups(), after.as_ref(), PAGE)?;
            for entry in &page.entries {
                if let Some(name) = directory.backup_of(&entry.key) {
                    all.extend(self.look(directory, name, &entry.key, volume)?);
                }
            }
            after = page.entries.last().map(|entry| entry.key.clone());
            if !page.more || after.is_none() {
                break;
            }
        }
        all.sort_by(|one, other| (one.created, &one.name).cmp(&(other.created, &other.name)));
        Ok(all)
    }

    /// What one backup's text tells; nothing if it was deleted meanwhile.
    fn look(
        &self,
        directory: &VolumeDirectory,
        name: &str,
        key: &Key,
        volume: &Result<WireVolume, String>,
    ) -> Result<Option<OriginalFacts>, Error> {
        let broken = |what: String| OriginalFacts {
            problem: Some(what),
            ..facts::unknown(directory, name, volume)
        };
        let text = match self.text(key, MAX_BACKUP) {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(None),
            Err(error) if error.is_of_one_object() => {
                return Ok(Some(broken(convoy_fault::chain(&error))));
            }
            Err(error) => return Err(error),
        };
        let read = wire::backup(&text)
            .and_then(|text| facts::backup(directory, name, text, volume))
            .map_or_else(
                |what| broken(format!("{key} is damaged: {what}")),
                |backup| backup.facts,
            );
        Ok(Some(read))
    }

    fn page(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        let page = patiently(
            &*self.patience,
            || format!("list {prefix}"),
            || self.store.list(prefix, after, limit),
        )?;
        // A store that begins again would have us ask for ever.
        if let (Some(entry), Some(after)) = (page.entries.first(), after)
            && entry.key <= *after
        {
            let what = format!("asked for what follows {after}, it lists {}", entry.key);
            return Err(Error::StoreLies { what });
        }
        Ok(page)
    }
}

/// A key behind everything in the directory that would be a volume's, if this key lies in one: `0` comes after
/// `/`. So blocks are passed over, whatever else they lie in.
fn behind(key: &Key) -> Key {
    let text = key.as_str();
    let fourth = text.match_indices('/').nth(3).map(|(at, _)| at);
    fourth
        .and_then(|end| Key::of_original(format!("{}0", text.get(..end)?)).ok())
        .unwrap_or_else(|| key.clone())
}
