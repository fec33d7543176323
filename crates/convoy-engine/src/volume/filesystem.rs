//! A volume's filesystem: which, made how, and mounted with what.

use crate::error::{Doing, Error};
use crate::machine::Machine;
use crate::model::CreateVolume;
use crate::operation::{Operation, Phase};
use convoy_catalog as catalog;
use convoy_catalog::Change;
use convoy_fault::Kind;
use convoy_mount::{Filesystem, MakeOptions, MountOptions};
use convoy_thinpool::ThinDevice;
use convoy_units::Bytes;
use uuid::Uuid;

/// A filesystem we can make and mount.
pub(crate) fn parse_filesystem(name: &str) -> Result<Filesystem, Error> {
    name.parse().map_err(|_| {
        let what = format!("Unsupported filesystem type specified: {name}");
        Error::new(Kind::Invalid, what).hinting("the filesystem is ext4 or xfs")
    })
}

/// What the filesystem of a new volume is made and mounted with; every rule is kept.
#[derive(Debug)]
pub(super) struct Plan {
    make: MakeOptions,
    mount: Vec<String>,
}

/// What was asked of a new volume's filesystem. `given` names what it comes from, if it is not to be made.
///
/// # Errors
/// `Invalid`: options that are not in the lists, a volume too small for its filesystem, or settings of a
/// filesystem that exists already.
pub(super) fn plan(
    request: &CreateVolume,
    filesystem: &str,
    size: Bytes,
    given: Option<&str>,
) -> Result<Plan, Error> {
    let make = MakeOptions {
        label: None,
        uuid: None,
        settings: request.mkfs_options.clone(),
        owner: request.owner,
        mode: request.mode,
    };
    if let Some(given) = given {
        if make != MakeOptions::default() {
            let what = format!(
                "mkfs options, owner and mode are for a new filesystem, and this volume gets the one of its {given}"
            );
            return Err(Error::new(Kind::Invalid, what)
                .hinting("leave them out, and change what is in the volume once it is mounted"));
        }
        // Whatever a backup holds can be restored; to be mounted it must be one of ours.
        if request.mount_options.is_empty() {
            let mount = Vec::new();
            return Ok(Plan { make, mount });
        }
    }
    let kind = parse_filesystem(filesystem)?;
    MountOptions::of(kind, &request.mount_options).doing(|| "reading the mount options")?;
    if given.is_none() {
        make.check(kind).doing(|| "reading the mkfs options")?;
        refuse_small(kind, size)?;
    }
    Ok(Plan {
        make,
        mount: request.mount_options.clone(),
    })
}

fn refuse_small(filesystem: Filesystem, size: Bytes) -> Result<(), Error> {
    let least = filesystem.least_size();
    if size >= least {
        return Ok(());
    }
    let what = format!("an {filesystem} needs at least {least}, and the volume would have {size}");
    Err(Error::new(Kind::Invalid, what).hinting(format!("ask for {least} or more, or for an ext4")))
}

impl Plan {
    /// What is recorded together with the volume.
    pub(super) fn changes(&self, volume: Uuid) -> Option<Change> {
        let options = self.mount.clone();
        (!options.is_empty()).then_some(Change::PutMountOptions(catalog::MountOptions {
            volume,
            options,
        }))
    }

    /// Makes a volume's filesystem.
    pub(super) fn format(
        &self,
        volume: &catalog::Volume,
        device: &ThinDevice,
        machine: &dyn Machine,
        op: &Operation<'_>,
    ) -> Result<(), Error> {
        op.phase(Phase::Formatting);
        let filesystem = parse_filesystem(&volume.filesystem)?;
        // The filesystem bears the volume's identity: what proves later that a data device is the pool's.
        let options = MakeOptions {
            uuid: Some(volume.uuid.to_string()),
            ..self.make.clone()
        };
        machine
            .make_filesystem(&device.node, filesystem, &options)
            .doing(|| format!("making the filesystem of volume {}", volume.name))
    }
}

#[cfg(test)]
mod tests {
    //! What is refused before anything is touched.

    use super::*;
    use convoy_fault::Fault;

    #[track_caller]
    fn refused(request: &CreateVolume, filesystem: &str, given: Option<&str>, words: &str) {
        let error = plan(request, filesystem, Bytes::gib(1), given).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        let text = convoy_fault::chain(&error);
        assert!(text.contains(words), "{text}");
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_not_in_the_lists_is_refused_with_the_lists() {
        let mount = |options: &[&str]| CreateVolume {
            mount_options: words(options),
            ..CreateVolume::default()
        };
        let make = |options: &[&str]| CreateVolume {
            mkfs_options: words(options),
            ..CreateVolume::default()
        };
        refused(&mount(&["suid"]), "ext4", None, "noatime");
        refused(&mount(&["noatime", "inode64"]), "ext4", None, "commit=N");
        refused(&mount(&["noatime,suid"]), "xfs", Some("backup"), "inode64");
        refused(&make(&["-O"]), "xfs", None, "reflink=0|1");
        refused(
            &make(&["inodes=9"]),
            "ext4",
            Some("backup"),
            "of its backup",
        );
        let mode = CreateVolume {
            mode: Some("0700".parse().unwrap()),
            ..CreateVolume::default()
        };
        refused(&mode, "ext4", Some("snapshot"), "of its snapshot");
        refused(&mount(&["noatime"]), "btrfs", Some("backup"), "btrfs");
        plan(&mount(&[]), "btrfs", Bytes::mib(1), Some("backup")).unwrap();
    }

    #[test]
    fn a_volume_is_large_enough_for_its_filesystem() {
        let request = CreateVolume::default();
        let error = plan(&request, "xfs", Bytes::mib(298), None).unwrap_err();
        assert!(error.to_string().contains("300"), "{error}");
        plan(&request, "xfs", Bytes::mib(300), None).unwrap();
        plan(&request, "ext4", Bytes::mib(2), None).unwrap();
        // What holds one already is as large as it was.
        plan(&request, "xfs", Bytes::mib(64), Some("backup")).unwrap();
    }
}
