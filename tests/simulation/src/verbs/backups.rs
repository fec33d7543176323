//! Verbs on backups: make, delete, verify.

use super::{DESTINATION, Outcome, frame, snapshot_ref};
use crate::world::{Frame, World};
use convoy_engine::Operation;

impl World {
    /// Whether a backup that runs on this host keeps this volume's snapshots.
    pub(super) fn is_pinned(&self, host: usize, volume: &str) -> bool {
        let frames = self.frames();
        let mut backups = frames
            .iter()
            .filter(|frame| frame.host == host && frame.backup);
        backups.any(|frame| frame.pinned && frame.volume == volume)
    }

    pub(super) fn back_up(&self, host: usize, free: &dyn Fn(&String) -> bool) {
        let Some((name, volume)) = self.a_snapshot(host, free) else {
            return;
        };
        let what = format!("back up {name} of {volume}");
        let backing_up = Frame {
            taking: Some(name.clone()),
            backup: true,
            ..frame(host, &volume)
        };
        let answer = self.run(backing_up, &what, |engine| {
            engine.create_backup(&snapshot_ref(&name), DESTINATION, &Operation::silent())
        });
        if let Outcome::Done(made) = &answer.outcome {
            let mut backups = self.backups();
            backups
                .there
                .insert(made.backup.url.clone(), made.backup.snapshot);
        }
        self.unexpected(&answer, &what);
    }

    /// A backup that is known to be there.
    pub(super) fn a_backup(&self) -> Option<String> {
        let backups = self.backups();
        let there = backups
            .there
            .keys()
            .filter(|url| !backups.doubtful.contains(*url));
        let urls: Vec<String> = there.cloned().collect();
        drop(backups);
        self.random().pick(&urls).cloned()
    }

    pub(super) fn delete_backup(&self, host: usize) {
        let Some(url) = self.a_backup() else { return };
        self.backups().doubtful.insert(url.clone());
        let what = format!("delete {url}");
        let answer = self.run(frame(host, ""), &what, |engine| {
            engine.delete_backup(&url, &Operation::silent())
        });
        if let Outcome::Done(()) = &answer.outcome {
            let mut backups = self.backups();
            backups.there.remove(&url);
            backups.gone.insert(url);
        }
        self.unexpected(&answer, &what);
    }

    pub(super) fn verify(&self, host: usize) {
        let Some(url) = self.a_backup() else { return };
        let what = format!("verify {url}");
        let answer = self.run(frame(host, ""), &what, |engine| {
            engine.verify_backup(&url, &Operation::silent())
        });
        if let Outcome::Done(found) = &answer.outcome
            && let Some(problem) = found.problems.first()
        {
            self.violation(format!("{what}: {}: {}", problem.object, problem.what));
        }
        if !self.gone(Some(&url)) {
            self.unexpected(&answer, &what);
        }
    }
}
