//! Verbs on snapshots: take, delete, also one that is being backed up.

use super::{Outcome, frame, snapshot_ref, volume_name};
use crate::expect::{Known, Snapshot};
use crate::world::{Frame, World};
use convoy_engine::Operation;
use convoy_fault::{Fault, Kind};
use convoy_names::SnapshotName;

impl World {
    /// A snapshot that is known to be there, and its volume.
    pub(super) fn a_snapshot(
        &self,
        host: usize,
        free: &dyn Fn(&String) -> bool,
    ) -> Option<(String, String)> {
        let expected = self.host(host).expected();
        let there = expected
            .snapshots
            .iter()
            .filter(|(_, snapshot)| snapshot.known == Known::There && free(&snapshot.volume));
        let names: Vec<(String, String)> = there
            .map(|(name, snapshot)| (name.clone(), snapshot.volume.clone()))
            .collect();
        drop(expected);
        self.random().pick(&names).cloned()
    }

    pub(super) fn snapshot(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let name = self.name('s');
        let Some(volume) = self.volume(host, free).filter(|_| free(&name)) else {
            return;
        };
        if self.host(host).expected().snapshots.contains_key(&name) {
            return;
        }
        let begun = Snapshot {
            volume: volume.clone(),
            known: Known::Unknown,
            contents: None,
        };
        self.host(host)
            .expected()
            .snapshots
            .insert(name.clone(), begun);
        let what = format!("snapshot {name} of {volume}");
        let taking = Frame {
            taking: Some(name.clone()),
            ..frame(host, &volume)
        };
        let answer = self.run(taking, &what, |engine| {
            let parsed: SnapshotName = name.parse().expect("a letter and digits");
            engine.create_snapshot(&volume_name(&volume), Some(&parsed), &Operation::silent())
        });
        if let Outcome::Done(made) = &answer.outcome {
            let made = made.clone().into_inner();
            let mut expected = self.host(host).expected();
            if let Some(snapshot) = expected.snapshots.get_mut(&name) {
                snapshot.known = Known::There;
                match &snapshot.contents {
                    Some(contents) => {
                        let contents = contents.clone();
                        self.backups().contents.insert(made.uuid, contents);
                    }
                    None => self.violation(format!("{what} worked without a message")),
                }
            }
        }
        self.unexpected(&answer, &what);
    }

    pub(super) fn delete_snapshot(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        if let Some((name, volume)) = self.a_snapshot(host, free) {
            self.delete_this_snapshot(host, &name, &volume);
        }
    }

    pub(super) fn delete_this_snapshot(&self, host: usize, name: &str, volume: &str) {
        let mut expected = self.host(host).expected();
        if let Some(snapshot) = expected.snapshots.get_mut(name) {
            snapshot.known = Known::Unknown;
        }
        drop(expected);
        let pinned = self.is_pinned(host, volume);
        let read = self.frames().iter().any(|frame| {
            frame.host == host && frame.pinned && frame.taking.as_deref() == Some(name)
        });
        let what = format!("delete snapshot {name}");
        let answer = self.run(frame(host, volume), &what, |engine| {
            engine.delete_snapshot(&snapshot_ref(name), &Operation::silent())
        });
        let mut expected = self.host(host).expected();
        match &answer.outcome {
            Outcome::Done(()) => {
                expected.snapshots.remove(name);
                if read {
                    self.violation(format!("{what} worked although a backup reads it"));
                }
            }
            Outcome::Refused(error) if error.kind() == Kind::Busy && pinned => {
                if let Some(snapshot) = expected.snapshots.get_mut(name) {
                    snapshot.known = Known::There;
                }
            }
            _ => {
                drop(expected);
                self.unexpected(&answer, &what);
            }
        }
    }

    /// Somebody deletes the very snapshot that is being backed up.
    pub(super) fn delete_what_is_read(&self, host: usize) -> bool {
        let frames = self.frames();
        let mut own = frames.iter().rev().filter(|frame| frame.host == host);
        let Some(frame) = own.next().filter(|frame| frame.backup).cloned() else {
            return false;
        };
        drop(frames);
        let expected = self.host(host).expected();
        let known = frame
            .taking
            .as_ref()
            .and_then(|name| expected.snapshots.get(name));
        let there = known.is_some_and(|snapshot| snapshot.known == Known::There);
        drop(expected);
        if there && let Some(name) = frame.taking {
            self.delete_this_snapshot(host, &name, &frame.volume);
        }
        there
    }
}
