//! Verbs on volumes: create, restore, delete, mount, unmount.

use super::{Answer, Outcome, frame, volume_name};
use crate::content::Content;
use crate::expect::{Block, Known, Volume};
use crate::world::World;
use convoy_engine::{CreateVolume, Engine, Error, Operation};
use convoy_fault::{Fault, Kind};

/// Blocks of a volume.
const BLOCKS: usize = 6;

impl World {
    /// A volume that is known to be there.
    pub(super) fn volume(&self, host: usize, free: &dyn Fn(&String) -> bool) -> Option<String> {
        let expected = self.host(host).expected();
        let there = expected
            .volumes
            .iter()
            .filter(|(name, volume)| volume.known == Known::There && free(name));
        let names: Vec<String> = there.map(|(name, _)| name.clone()).collect();
        drop(expected);
        self.random().pick(&names).cloned()
    }

    pub(super) fn create(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let name = self.name('v');
        if !free(&name) {
            return;
        }
        let blocks = vec![Block::durable(Content::Zero); BLOCKS];
        let request = CreateVolume {
            name: Some(volume_name(&name)),
            ..CreateVolume::default()
        };
        self.make(host, &name, &request, blocks, true);
    }

    pub(super) fn restore(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let name = self.name('v');
        let backups = self.backups();
        let there: Vec<_> = backups
            .there
            .iter()
            .filter(|(url, _)| !backups.doubtful.contains(*url))
            .map(|(url, snapshot)| (url.clone(), *snapshot))
            .collect();
        drop(backups);
        let picked = self.random().pick(&there).cloned();
        let Some((url, snapshot)) = picked.filter(|_| free(&name)) else {
            return;
        };
        let contents = self.backups().contents.get(&snapshot).cloned();
        let blocks = contents.unwrap_or_default();
        let blocks = blocks.into_iter().map(Block::durable).collect();
        let request = CreateVolume {
            name: Some(volume_name(&name)),
            backup: Some(url),
            ..CreateVolume::default()
        };
        self.make(host, &name, &request, blocks, false);
    }

    pub(super) fn make(
        &self,
        host: usize,
        name: &str,
        request: &CreateVolume,
        blocks: Vec<Block>,
        own_head: bool,
    ) {
        let taken = self
            .host(host)
            .expected()
            .volumes
            .get(name)
            .map(|volume| volume.known);
        if taken == Some(Known::Unknown) {
            return;
        }
        if taken.is_none() {
            let volume = Volume {
                uuid: None,
                known: Known::Unknown,
                blocks,
                mounted: Some(false),
                own_head,
            };
            self.host(host)
                .expected()
                .volumes
                .insert(name.to_owned(), volume);
        }
        let what = match &request.backup {
            Some(url) => format!("create {name} of {url}"),
            None => format!("create {name}"),
        };
        let answer = self.run(frame(host, name), &what, |engine| {
            engine.create_volume(request, &Operation::silent())
        });
        let mut expected = self.host(host).expected();
        match &answer.outcome {
            Outcome::Done(_) if taken.is_some() => {
                self.violation(format!("{what} worked although there is one"));
            }
            Outcome::Done(made) => {
                let made = made.clone().into_inner();
                if let Some(volume) = expected.volumes.get_mut(name) {
                    volume.uuid = Some(made.uuid);
                    volume.known = Known::There;
                    volume.identified();
                }
            }
            Outcome::Refused(error) if taken.is_some() => {
                if error.kind() != Kind::Conflict && !answer.disturbed {
                    let error = convoy_fault::chain(error);
                    self.violation(format!("{what}: not the expected conflict: {error}"));
                }
            }
            Outcome::Refused(_) | Outcome::Died => {
                drop(expected);
                if request.backup.is_none() || !self.gone(request.backup.as_ref()) {
                    self.unexpected(&answer, &what);
                }
            }
        }
    }

    pub(super) fn gone(&self, url: Option<&String>) -> bool {
        url.is_some_and(|url| !self.backups().there.contains_key(url))
    }

    pub(super) fn delete(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some(name) = self.volume(host, free) else {
            return;
        };
        let what = format!("delete {name}");
        let pinned = self.is_pinned(host, &name);
        let mut expected = self.host(host).expected();
        let Some(volume) = expected.volumes.get_mut(&name) else {
            return;
        };
        volume.known = Known::Unknown;
        let mounted = volume.mounted;
        drop(expected);
        let answer = self.run(frame(host, &name), &what, |engine| {
            engine.delete_volume(&volume_name(&name), &Operation::silent())
        });
        match &answer.outcome {
            Outcome::Done(()) => {
                if mounted == Some(true) {
                    self.violation(format!("{what} worked although it is mounted"));
                }
                if pinned {
                    self.violation(format!("{what} worked although a backup reads it"));
                }
                let mut expected = self.host(host).expected();
                expected.volumes.remove(&name);
                expected
                    .snapshots
                    .retain(|_, snapshot| snapshot.volume != name);
            }
            Outcome::Refused(error) if error.kind() == Kind::Busy && !answer.disturbed => {
                if mounted == Some(false) && !pinned {
                    let error = convoy_fault::chain(error);
                    self.violation(format!("{what} was refused: {error}"));
                }
                if let Some(volume) = self.host(host).expected().volumes.get_mut(&name) {
                    volume.known = Known::There;
                }
            }
            _ => {
                self.unexpected(&answer, &what);
                let mut expected = self.host(host).expected();
                let snapshots = expected.snapshots.values_mut();
                for snapshot in snapshots.filter(|snapshot| snapshot.volume == name) {
                    snapshot.known = Known::Unknown;
                }
            }
        }
    }

    pub(super) fn mount(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some(name) = self.volume(host, free) else {
            return;
        };
        let what = format!("mount {name}");
        let answer = self.mounting(host, &name, &what, |engine| {
            let name = volume_name(&name);
            engine
                .mount_volume(&name, None, &Operation::silent())
                .map(drop)
        });
        self.unexpected(&answer, &what);
        self.mounted(host, &name, &answer.outcome, true);
    }

    pub(super) fn unmount(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some(name) = self.volume(host, free) else {
            return;
        };
        let what = format!("umount {name}");
        let answer = self.mounting(host, &name, &what, |engine| {
            engine.unmount_volume(&volume_name(&name), &Operation::silent())
        });
        self.unexpected(&answer, &what);
        self.mounted(host, &name, &answer.outcome, false);
    }

    pub(super) fn mounting(
        &self,
        host: usize,
        name: &str,
        what: &str,
        act: impl FnOnce(&Engine) -> Result<(), Error>,
    ) -> Answer<()> {
        if let Some(volume) = self.host(host).expected().volumes.get_mut(name) {
            volume.mounted = None;
        }
        self.run(frame(host, name), what, act)
    }

    pub(super) fn mounted(&self, host: usize, name: &str, outcome: &Outcome<()>, mounted: bool) {
        if matches!(outcome, Outcome::Done(()))
            && let Some(volume) = self.host(host).expected().volumes.get_mut(name)
        {
            volume.mounted = Some(mounted);
        }
    }
}
