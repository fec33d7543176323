//! What volumes are mounted with, wherever and whenever they are: rows and queries.

use rusqlite::ToSql;
use uuid::Uuid;

use crate::fields::Fields;
use crate::write::Writer;
use crate::{Catalog, Error};

/// The options of a volume's mounts. Kept apart from the volume's own row, which most volumes have alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    /// The volume; it has at most one of these, which goes with it.
    pub volume: Uuid,
    /// Each one word without a comma; never empty.
    pub options: Vec<String>,
}

impl Catalog {
    /// What this volume is mounted with, besides what every volume is.
    pub fn mount_options(&self, volume: Uuid) -> Result<Vec<String>, Error> {
        let found = self.select_one(
            "mount_options",
            "WHERE volume = ?1",
            &volume.to_string(),
            mount_options,
        )?;
        Ok(found.map(|found| found.options).unwrap_or_default())
    }
}

impl Writer<'_> {
    pub(crate) fn mount_options(&self, mount_options: &MountOptions) -> Result<(), Error> {
        let MountOptions { volume, options } = mount_options;
        let what = format!("the mount options of volume {volume}");
        let words = options.iter().all(|option| is_word(option));
        if options.is_empty() || !words {
            return Err(Error::Invalid { what });
        }
        let values: [(&'static str, &dyn ToSql); 2] = [
            ("volume", &volume.to_string()),
            ("options", &options.join(",")),
        ];
        self.upsert(&what, "mount_options", &[], &values)
    }
}

fn is_word(option: &str) -> bool {
    !option.is_empty() && option.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

fn mount_options(row: &Fields<'_>) -> Result<MountOptions, Error> {
    let text = row.text("options")?;
    let options: Vec<String> = text.split(',').map(str::to_owned).collect();
    if !options.iter().all(|option| is_word(option)) {
        return Err(row.wrong("options"));
    }
    Ok(MountOptions {
        volume: row.parsed("volume")?,
        options,
    })
}

#[cfg(test)]
mod tests {
    //! There and back, gone with the volume, and nothing that is no word.

    use super::*;
    use crate::Change;
    use crate::samples::{Fixture, volume};

    #[test]
    fn they_live_as_long_as_their_volume() {
        let fixture = Fixture::new();
        let catalog = &fixture.catalog;
        let of = volume(1);
        let put = |options: &[&str]| {
            Change::PutMountOptions(MountOptions {
                volume: of.uuid,
                options: options.iter().map(ToString::to_string).collect(),
            })
        };
        assert!(catalog.apply(&[put(&["noatime"])]).is_err(), "no volume");
        let both = [
            Change::PutVolume(of.clone()),
            put(&["noatime", "commit=30"]),
        ];
        catalog.apply(&both).unwrap();
        assert_eq!(
            catalog.mount_options(of.uuid).unwrap(),
            ["noatime", "commit=30"]
        );
        catalog.apply(&[Change::PutVolume(of.clone())]).unwrap();
        assert_eq!(catalog.mount_options(of.uuid).unwrap().len(), 2);
        for bad in [&["a,b"][..], &[""], &[], &["a b"]] {
            let error = catalog.apply(&[put(bad)]).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{bad:?}: {error}");
        }
        catalog.apply(&[Change::RemoveVolume(of.uuid)]).unwrap();
        assert_eq!(catalog.mount_options(of.uuid).unwrap(), [""; 0]);
    }
}
