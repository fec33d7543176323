//! One method for each of the daemon's verbs.

use crate::connection::{Ask, ask};
use crate::error::Error;
use crate::reply;
use convoy_api::{
    Answer, Backup, BackupUrl, Backups, CreateBackup, CreateSnapshot, CreateSnapshots,
    CreateVolume, CreatedBackup, CreatedSnapshot, CreatedSnapshots, CreatedVolume, Detached,
    Diagnosis, Done, Frame, GrowPool, Info, Job, Jobs, LabelVolume, MountVolume, OfferEndpoint,
    Pool, PoolCheck, RenameVolume, ResizeVolume, ResizedVolume, Restore, RestoredBackup,
    RolledBack, Snapshot, Snapshots, Trash, TrimmedVolume, Undelete, Verification, Volume, Volumes,
    paths, stream,
};
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// Hears of a long verb's progress: `started`, `phase` and `progress`, never the last line.
pub type Progress<'a> = &'a mut (dyn FnMut(&Frame<()>) + 'a);

/// A daemon, by its socket. Each call makes a connection of its own; calls block until the verb is done.
///
/// Dropping the process in the midst of a call does not undo or stop the verb.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    operation: Option<Uuid>,
    runtime: Runtime,
}

impl Client {
    /// A daemon at this socket; nothing is asked yet. Must not be made or used inside another runtime.
    pub fn new(socket: impl Into<PathBuf>) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        Ok(Self {
            socket: socket.into(),
            operation: None,
            runtime,
        })
    }

    /// Names the calls that create and delete, rather than let each have a name of its own.
    ///
    /// To repeat one whose answer was lost ([`Error::CutOff`], or `E_DESTINATION_UNAVAILABLE`) under the
    /// name its error told: then nothing is done twice. Not for two different calls.
    #[must_use]
    pub fn under_operation(mut self, operation: Uuid) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Where the daemon is asked.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The daemon and its pool.
    pub fn info(&self) -> Result<Answer<Info>, Error> {
        self.get(paths::INFO)
    }

    /// What disagrees between catalog, pool and devices, and what to do.
    pub fn doctor(&self) -> Result<Answer<Diagnosis>, Error> {
        self.get(paths::DOCTOR)
    }

    /// Makes a volume, perhaps of a backup.
    pub fn create_volume(
        &self,
        request: &CreateVolume,
        progress: Progress<'_>,
    ) -> Result<Answer<CreatedVolume>, Error> {
        self.long(Method::POST, paths::VOLUMES, request, progress)
    }

    /// Deletes a volume and its snapshots.
    pub fn delete_volume(&self, name: &str, progress: Progress<'_>) -> Result<Answer<Done>, Error> {
        self.long(
            Method::DELETE,
            &paths::with_name(paths::VOLUME, name),
            &Done {},
            progress,
        )
    }

    /// Mounts a volume, at an absolute path or under the daemon's root.
    pub fn mount_volume(&self, name: &str, request: &MountVolume) -> Result<Answer<Volume>, Error> {
        self.post(&paths::with_name(paths::VOLUME_MOUNT, name), request)
    }

    /// Unmounts a volume; one that is not mounted is left so.
    pub fn unmount_volume(&self, name: &str) -> Result<Answer<Done>, Error> {
        self.post(&paths::with_name(paths::VOLUME_UNMOUNT, name), &Done {})
    }

    /// Gives back to the pool what the filesystem of a mounted volume does not use.
    pub fn trim_volume(
        &self,
        name: &str,
        progress: Progress<'_>,
    ) -> Result<Answer<TrimmedVolume>, Error> {
        let path = paths::with_name(paths::VOLUME_TRIM, name);
        self.long(Method::POST, &path, &Done {}, progress)
    }

    /// All volumes with their snapshots.
    pub fn volumes(&self) -> Result<Answer<Volumes>, Error> {
        self.get(paths::VOLUMES)
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> Result<Answer<Volume>, Error> {
        self.get(&paths::with_name(paths::VOLUME, name))
    }

    /// What is in the trash.
    pub fn trash(&self) -> Result<Answer<Trash>, Error> {
        self.get(paths::TRASH)
    }

    /// Deletes what is in the trash for good: one volume, or all. Gives what was deleted.
    pub fn empty_trash(
        &self,
        name: Option<&str>,
        progress: Progress<'_>,
    ) -> Result<Answer<Trash>, Error> {
        let path = match name {
            Some(name) => paths::with_name(paths::TRASHED, name),
            None => paths::TRASH.to_owned(),
        };
        self.long(Method::DELETE, &path, &Done {}, progress)
    }

    /// Takes a volume back from the trash.
    pub fn undelete(&self, name: &str, request: &Undelete) -> Result<Answer<Volume>, Error> {
        self.post(&paths::with_name(paths::TRASH_UNDELETE, name), request)
    }

    /// Takes a snapshot.
    pub fn create_snapshot(
        &self,
        request: &CreateSnapshot,
    ) -> Result<Answer<CreatedSnapshot>, Error> {
        self.post(paths::SNAPSHOTS, request)
    }

    /// Makes a volume larger, its filesystem too: now if it is mounted, else at its next mount.
    pub fn resize_volume(
        &self,
        name: &str,
        request: &ResizeVolume,
    ) -> Result<Answer<ResizedVolume>, Error> {
        self.post(&paths::with_name(paths::VOLUME_RESIZE, name), request)
    }

    /// Calls a volume by another name.
    pub fn rename_volume(
        &self,
        name: &str,
        request: &RenameVolume,
    ) -> Result<Answer<Volume>, Error> {
        self.post(&paths::with_name(paths::VOLUME_RENAME, name), request)
    }

    /// Sets and removes labels of a volume.
    pub fn label_volume(&self, name: &str, request: &LabelVolume) -> Result<Answer<Volume>, Error> {
        self.post(&paths::with_name(paths::VOLUME_LABELS, name), request)
    }

    /// Makes the volume of a snapshot what the snapshot was; what it is now is kept as a snapshot.
    pub fn roll_back(&self, snapshot: &str) -> Result<Answer<RolledBack>, Error> {
        self.post(
            &paths::with_name(paths::SNAPSHOT_ROLLBACK, snapshot),
            &Done {},
        )
    }

    /// Takes snapshots of several volumes at one instant.
    pub fn create_snapshots(
        &self,
        request: &CreateSnapshots,
    ) -> Result<Answer<CreatedSnapshots>, Error> {
        self.post(paths::SNAPSHOT_GROUPS, request)
    }

    /// Deletes a snapshot, named `SNAPSHOT` or `VOLUME@SNAPSHOT`.
    pub fn delete_snapshot(&self, name: &str) -> Result<Answer<Done>, Error> {
        self.plain(
            Method::DELETE,
            &paths::with_name(paths::SNAPSHOT, name),
            Vec::new(),
        )
    }

    /// All snapshots, or those of one volume.
    pub fn snapshots(&self, volume: Option<&str>) -> Result<Answer<Snapshots>, Error> {
        self.get(&paths::with_query(paths::SNAPSHOTS, &[("volume", volume)]))
    }

    /// One snapshot, named `SNAPSHOT` or `VOLUME@SNAPSHOT`.
    pub fn snapshot(&self, name: &str) -> Result<Answer<Snapshot>, Error> {
        self.get(&paths::with_name(paths::SNAPSHOT, name))
    }

    /// Backs a snapshot up.
    pub fn create_backup(
        &self,
        request: &CreateBackup,
        progress: Progress<'_>,
    ) -> Result<Answer<CreatedBackup>, Error> {
        self.long(Method::POST, paths::BACKUPS, request, progress)
    }

    /// Deletes a backup.
    pub fn delete_backup(
        &self,
        backup: &BackupUrl,
        progress: Progress<'_>,
    ) -> Result<Answer<Done>, Error> {
        self.long(Method::POST, paths::BACKUP_DELETE, backup, progress)
    }

    /// The backups of a destination, or those of one volume name in it.
    pub fn backups(
        &self,
        destination: &str,
        volume: Option<&str>,
    ) -> Result<Answer<Backups>, Error> {
        let pairs = [("destination", Some(destination)), ("volume", volume)];
        self.get(&paths::with_query(paths::BACKUPS, &pairs))
    }

    /// One backup.
    pub fn backup(&self, backup: &BackupUrl) -> Result<Answer<Backup>, Error> {
        self.post(paths::BACKUP_INSPECT, backup)
    }

    /// Reads a backup back and checks it. That it is bad is a result, not an error.
    pub fn verify_backup(
        &self,
        backup: &BackupUrl,
        progress: Progress<'_>,
    ) -> Result<Answer<Verification>, Error> {
        self.long(Method::POST, paths::BACKUP_VERIFY, backup, progress)
    }

    /// Tells who serves a destination, for the next verb on it.
    pub fn offer_endpoint(&self, offer: &OfferEndpoint) -> Result<Answer<Done>, Error> {
        self.post(paths::ENDPOINTS, offer)
    }

    /// Backs a snapshot up as a job of the daemon's, and returns once it is on record.
    pub fn detach_backup(&self, request: &CreateBackup) -> Result<Answer<Detached>, Error> {
        self.detach(paths::BACKUPS, request)
    }

    /// Makes a volume of a backup as a job of the daemon's, and returns once it is on record.
    pub fn detach_create(&self, request: &CreateVolume) -> Result<Answer<Detached>, Error> {
        self.detach(paths::VOLUMES, request)
    }

    /// Long operations, running and ended.
    pub fn jobs(&self) -> Result<Answer<Jobs>, Error> {
        self.get(paths::JOBS)
    }

    /// One job, by its id or the beginning of one. With `patience` the answer comes when it is over, or after
    /// that time; the daemon bounds it.
    pub fn job(&self, reference: &str, patience: Option<Duration>) -> Result<Answer<Job>, Error> {
        let milliseconds = patience.map(|patience| patience.as_millis().to_string());
        let path = paths::with_name(paths::JOB, reference);
        let pairs = [("wait_milliseconds", milliseconds.as_deref())];
        self.get(&paths::with_query(&path, &pairs))
    }

    /// Asks a job to stop; does not wait until it has.
    pub fn cancel_job(&self, reference: &str) -> Result<Answer<Job>, Error> {
        self.post(&paths::with_name(paths::JOB_CANCEL, reference), &Done {})
    }

    /// Makes a volume that exists what a backup holds.
    pub fn restore_backup(
        &self,
        request: &Restore,
        progress: Progress<'_>,
    ) -> Result<Answer<RestoredBackup>, Error> {
        self.long(Method::POST, paths::BACKUP_RESTORE, request, progress)
    }

    /// [`Client::restore_backup`] as a job of the daemon's; returns once it is on record.
    pub fn detach_restore(&self, request: &Restore) -> Result<Answer<Detached>, Error> {
        self.detach(paths::BACKUP_RESTORE, request)
    }

    /// Reads all of the pool's metadata and checks it. That it is bad is a result, not an error.
    pub fn check_pool(&self) -> Result<Answer<PoolCheck>, Error> {
        self.post(paths::POOL_CHECK, &Done {})
    }

    /// Makes the pool larger.
    pub fn grow_pool(&self, request: &GrowPool) -> Result<Answer<Pool>, Error> {
        self.post(paths::POOL_GROW, request)
    }

    fn detach(&self, path: &str, body: &impl Serialize) -> Result<Answer<Detached>, Error> {
        let what = Ask {
            operation: self.operation(&Method::POST),
            method: Method::POST,
            path: path.to_owned(),
            body: json(body),
            streamed: false,
            detached: true,
        };
        self.send(what)
    }

    /// Made up here and not by the daemon: a connection that is cut off early leaves us its name.
    fn operation(&self, method: &Method) -> Option<Uuid> {
        let changing = *method != Method::GET;
        changing.then(|| self.operation.unwrap_or_else(Uuid::now_v7))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        self.plain(Method::GET, path, Vec::new())
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        self.plain(Method::POST, path, json(body))
    }

    fn plain<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Answer<T>, Error> {
        let what = Ask {
            operation: self.operation(&method),
            method,
            path: path.to_owned(),
            body,
            streamed: false,
            detached: false,
        };
        self.send(what)
    }

    fn send<T: DeserializeOwned>(&self, what: Ask) -> Result<Answer<T>, Error> {
        let operation = what.operation;
        self.runtime.block_on(async {
            let response = ask(&self.socket, what).await?;
            reply::whole(&self.socket, response, operation).await
        })
    }

    fn long<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        progress: Progress<'_>,
    ) -> Result<Answer<T>, Error> {
        let what = Ask {
            operation: self.operation(&method),
            method,
            path: path.to_owned(),
            body: json(body),
            streamed: true,
            detached: false,
        };
        let operation = what.operation;
        self.runtime.block_on(async {
            let response = ask(&self.socket, what).await?;
            // A request refused at the door is answered as a plain problem.
            let kind = response.headers().get(CONTENT_TYPE);
            if kind.is_some_and(|kind| kind == stream::NDJSON) {
                reply::lines(&self.socket, response, operation, progress).await
            } else {
                reply::whole(&self.socket, response, operation).await
            }
        })
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("requests are structs of text, numbers and maps with text keys")
}
