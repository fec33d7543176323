//! One method for each of the daemon's verbs.

use crate::connection::{Ask, ask};
use crate::error::Error;
use crate::reply;
use convoy_api::{
    Answer, Backup, BackupUrl, Backups, CreateBackup, CreateSnapshot, CreateVolume, CreatedBackup,
    CreatedSnapshot, CreatedVolume, Diagnosis, Done, Frame, Info, MountVolume, Snapshot, Snapshots,
    Verification, Volume, Volumes, paths, stream,
};
use hyper::Method;
use hyper::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
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

    /// All volumes with their snapshots.
    pub fn volumes(&self) -> Result<Answer<Volumes>, Error> {
        self.get(paths::VOLUMES)
    }

    /// One volume.
    pub fn volume(&self, name: &str) -> Result<Answer<Volume>, Error> {
        self.get(&paths::with_name(paths::VOLUME, name))
    }

    /// Takes a snapshot.
    pub fn create_snapshot(
        &self,
        request: &CreateSnapshot,
    ) -> Result<Answer<CreatedSnapshot>, Error> {
        self.post(paths::SNAPSHOTS, request)
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
        };
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
