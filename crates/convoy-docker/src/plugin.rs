//! The nine calls, over the engine.

use crate::call::Call;
use crate::making::{Draft, Making};
use crate::options::{self, Wish};
use crate::reply::{Refusal, Reply};
use crate::status;
use convoy_engine::{CreateVolume, Created, Engine, Error, OnRemove, Operation, VolumeState};
use convoy_fault::{Fault, Kind};
use convoy_names::VolumeName;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How the plugin behaves where that is a matter of taste.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// What removing a volume means that was not told its own.
    pub on_remove: OnRemove,
    /// Make a volume that is mounted and does not exist.
    pub create_on_mount: bool,
    /// Restore backups from any destination, not only from those that backups went to from here.
    pub restore_from_any: bool,
    /// How long `Create` is waited for before it goes on by itself: Podman's patience ends after 5 s.
    pub create_patience: Duration,
    /// How long `Mount` waits for a volume that is being made: Docker's patience ends after 120 s.
    pub mount_patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            on_remove: OnRemove::Trash,
            create_on_mount: false,
            restore_from_any: false,
            create_patience: Duration::from_secs(3),
            mount_patience: Duration::from_secs(100),
        }
    }
}

/// Verbs that change something and run at one time; further ones wait. What only asks is never behind them.
pub(crate) const VERBS: u32 = 200;
/// From one look at a volume that somebody else is making to the next.
const PAUSE: Duration = Duration::from_millis(200);

/// The plugin.
#[derive(Debug)]
pub(crate) struct Plugin {
    engine: Arc<Engine>,
    settings: Settings,
    making: Making,
    pub(crate) verbs: Arc<Semaphore>,
}

impl Plugin {
    pub(crate) fn new(engine: Arc<Engine>, settings: Settings) -> Arc<Self> {
        let verbs = Arc::new(Semaphore::new(VERBS as usize));
        Arc::new(Self {
            engine,
            settings,
            making: Making::default(),
            verbs,
        })
    }

    /// Asks what can stop to do so.
    pub(crate) fn stop(&self) {
        self.making.stop();
    }

    /// Answers one call.
    pub(crate) async fn answer(self: Arc<Self>, call: Call) -> Result<Reply, Refusal> {
        match call {
            Call::Activate => Ok(Reply::activated()),
            Call::Capabilities => Ok(Reply::capabilities()),
            Call::List => self.asked(Self::list).await,
            Call::Get(name) => self.asked(move |plugin| plugin.get(&name)).await,
            Call::Path(name) => self.asked(move |plugin| plugin.path(&name)).await,
            Call::Create { name, options } => self.create(&name, options).await,
            Call::Remove(name) => self.run(move |plugin| plugin.remove(&name)).await,
            Call::Mount { name, id } => self.mount(name, id).await,
            Call::Unmount { name, id } => self.run(move |plugin| plugin.unmount(&name, &id)).await,
        }
    }

    /// Runs what only reads the catalog.
    async fn asked(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<Reply, Refusal> + Send + 'static,
    ) -> Result<Reply, Refusal> {
        let plugin = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || question(&plugin));
        task.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Runs a verb to its end, whether or not somebody waits for it.
    async fn run(
        self: &Arc<Self>,
        verb: impl FnOnce(&Self) -> Result<Reply, Refusal> + Send + 'static,
    ) -> Result<Reply, Refusal> {
        let place = Arc::clone(&self.verbs).acquire_owned().await;
        let plugin = Arc::clone(self);
        let task = tokio::task::spawn_blocking(move || {
            let _place = place;
            verb(&plugin)
        });
        task.await.unwrap_or_else(|_| Err(panicked()))
    }

    fn list(&self) -> Result<Reply, Refusal> {
        let volumes = self.engine.names().map_err(|error| Refusal::of(&error))?;
        let mut all: BTreeMap<String, _> = volumes
            .into_iter()
            .map(|(name, path)| (name.as_str().to_owned(), path))
            .collect();
        for name in self.making.names() {
            all.entry(name).or_default();
        }
        let shown = all
            .iter()
            .map(|(name, path)| (name.clone(), path.as_deref()));
        Ok(Reply::volumes(shown))
    }

    fn get(&self, name: &str) -> Result<Reply, Refusal> {
        let parsed = parse(name)?;
        match (self.engine.glance(&parsed), self.making.get(name)) {
            (Ok(volume), going) => {
                let mut status = status::of(&volume, Timestamp::now());
                if let Some(going) = going {
                    status.insert("progress".to_owned(), json!(going.progress()));
                }
                let created = volume.created.to_string();
                Ok(Reply::volume(
                    name,
                    volume.mountpoint.as_deref(),
                    &created,
                    &status,
                ))
            }
            (Err(_), Some(going)) => {
                let status = Map::from_iter([
                    ("state".to_owned(), json!("creating")),
                    ("progress".to_owned(), Value::from(going.progress())),
                ]);
                Ok(Reply::volume(name, None, &going.since.to_string(), &status))
            }
            (Err(error), None) => Err(self.missing(name, &error)),
        }
    }

    fn path(&self, name: &str) -> Result<Reply, Refusal> {
        let parsed = parse(name)?;
        match self.engine.glance(&parsed) {
            Ok(volume) => Ok(Reply::mountpoint(volume.mountpoint.as_deref())),
            Err(_) if self.making.get(name).is_some() => Ok(Reply::mountpoint(None)),
            Err(error) => Err(self.missing(name, &error)),
        }
    }

    /// A volume that is not there: if its restore failed, that is why.
    fn missing(&self, name: &str, error: &Error) -> Refusal {
        match self.making.failure(name) {
            Some(why) if error.kind() == Kind::NotFound => {
                Refusal::new(format!("volume {name} could not be made: {why}"))
            }
            _ => Refusal::of(error),
        }
    }

    async fn create(
        self: Arc<Self>,
        name: &str,
        options: BTreeMap<String, String>,
    ) -> Result<Reply, Refusal> {
        let parsed = parse(name)?;
        let wish = options::read(&parsed, &options)?;
        let (plugin, looked) = (Arc::clone(&self), wish.clone());
        let there = tokio::task::spawn_blocking(move || plugin.there(&parsed, &looked)).await;
        if there.unwrap_or_else(|_| Err(panicked()))? {
            return Ok(Reply::done());
        }
        let (draft, is_new) = self.making.begin(name, &options, &wish);
        if is_new {
            self.make(name.to_owned(), wish, &draft);
        } else if draft.options != options {
            return Err(Refusal::new(format!(
                "volume {name} is {} with other options",
                draft.progress()
            )));
        }
        match timeout(self.settings.create_patience, draft.ended()).await {
            Ok(Err(why)) => Err(Refusal::new(why)),
            // Made; or it goes on, `Get` shows how far it is, and the first `Mount` waits for it.
            Ok(Ok(())) | Err(_) => Ok(Reply::done()),
        }
    }

    /// Whether a volume is there as wished; one that is not so is refused. Before anything is begun, so is a backup
    /// of a strange place.
    fn there(&self, name: &VolumeName, wish: &Wish) -> Result<bool, Refusal> {
        let making = self.making.get(name.as_str()).is_some();
        match self.engine.glance(name) {
            Ok(_) if making => Ok(false),
            Ok(volume) => {
                let asked = &wish.volume;
                let differs = |what: &str, has: &dyn std::fmt::Display| {
                    Refusal::new(format!("volume {name} exists, and its {what} is {has}"))
                };
                if asked
                    .size
                    .is_some_and(|size| size.0 > 0 && size != volume.size)
                {
                    return Err(differs("size", &volume.size.0));
                }
                if asked
                    .filesystem
                    .as_ref()
                    .is_some_and(|fs| *fs != volume.filesystem)
                {
                    return Err(differs("filesystem", &volume.filesystem));
                }
                if asked.backup.is_some() && asked.backup != volume.restored_from {
                    let from = volume.restored_from.as_deref().unwrap_or("no backup");
                    return Err(differs("content", &from));
                }
                self.say_on_remove(name, wish)?;
                Ok(true)
            }
            Err(error) if error.kind() != Kind::NotFound => Err(Refusal::of(&error)),
            Err(_) => self.refuse_strange(wish).map(|()| false),
        }
    }

    fn refuse_strange(&self, wish: &Wish) -> Result<(), Refusal> {
        let Some(url) = wish.volume.backup.as_deref() else {
            return Ok(());
        };
        let known = self.engine.knows_destination_of(url);
        if known.map_err(|error| Refusal::of(&error))? || self.settings.restore_from_any {
            return Ok(());
        }
        Err(Refusal::new(format!(
            "no backup went from this host to the destination of {url}: restore it with `convoy create --backup`, or start the daemon with --docker-restore-from-any"
        )))
    }

    fn say_on_remove(&self, name: &VolumeName, wish: &Wish) -> Result<(), Refusal> {
        wish.on_remove.map_or(Ok(()), |on_remove| {
            let said = self.engine.set_on_remove(name, on_remove);
            said.map_err(|error| Refusal::of(&error))
        })
    }

    /// Makes a volume in a task of its own.
    fn make(self: &Arc<Self>, name: String, wish: Wish, draft: &Arc<Draft>) {
        let (plugin, draft) = (Arc::clone(self), Arc::clone(draft));
        tokio::spawn(async move {
            let ended = {
                let (draft, name) = (Arc::clone(&draft), name.clone());
                plugin
                    .run(move |plugin| plugin.made(&name, &wish, &draft))
                    .await
            };
            let outcome = ended.map(drop).map_err(|refusal| refusal.text().to_owned());
            if let Err(why) = &outcome {
                tracing::error!(volume = name, why, "volume not made for a container engine");
            }
            plugin.making.end(&name, outcome);
        });
    }

    fn made(&self, name: &str, wish: &Wish, draft: &Draft) -> Result<Reply, Refusal> {
        let op = Operation::new(draft);
        let _span =
            tracing::info_span!("verb", verb = "docker create", volume = name, operation = %op.id)
                .entered();
        let made = self.engine.create_volume(&wish.volume, &op);
        match made.map_err(|error| Refusal::of(&error))? {
            Created::New(volume) | Created::Unchanged(volume) => {
                self.say_on_remove(&volume.name, wish)?;
                Ok(Reply::done())
            }
        }
    }

    async fn mount(self: Arc<Self>, name: String, id: String) -> Result<Reply, Refusal> {
        let parsed = parse(&name)?;
        self.usable(&name, &parsed).await?;
        self.run(move |plugin| plugin.mounted(&parsed, &id)).await
    }

    /// Waits for a volume that is being made, for as long as a caller may be expected to. Given up when the caller
    /// hangs up: nothing was done for it yet.
    async fn usable(self: &Arc<Self>, name: &str, parsed: &VolumeName) -> Result<(), Refusal> {
        let end = Instant::now() + self.settings.mount_patience;
        loop {
            if let Some(draft) = self.making.get(name) {
                match timeout_at(end, draft.ended()).await {
                    Ok(Ok(())) => (),
                    Ok(Err(why)) => {
                        return Err(Refusal::new(format!(
                            "volume {name} could not be made: {why}"
                        )));
                    }
                    Err(_) => return Err(still(name, &draft.progress())),
                }
            }
            let (plugin, looked) = (Arc::clone(self), parsed.clone());
            let glance = tokio::task::spawn_blocking(move || plugin.engine.glance(&looked)).await;
            match glance {
                Ok(Ok(volume)) => match volume.state {
                    VolumeState::Creating | VolumeState::Restoring if Instant::now() < end => {
                        sleep(PAUSE).await;
                    }
                    VolumeState::Creating | VolumeState::Restoring => {
                        return Err(still(name, volume.state.as_str()));
                    }
                    _ => return Ok(()),
                },
                Ok(Err(error))
                    if error.kind() == Kind::NotFound && self.settings.create_on_mount =>
                {
                    return Ok(());
                }
                Ok(Err(error)) => return Err(self.missing(name, &error)),
                Err(_) => return Err(panicked()),
            }
        }
    }

    fn mounted(&self, name: &VolumeName, id: &str) -> Result<Reply, Refusal> {
        let op = Operation::silent();
        let _span =
            tracing::info_span!("verb", verb = "docker mount", volume = %name, operation = %op.id)
                .entered();
        let held = match self.engine.hold_volume(name, id, &op) {
            Err(error) if error.kind() == Kind::NotFound && self.settings.create_on_mount => {
                let request = CreateVolume {
                    name: Some(name.clone()),
                    ..CreateVolume::default()
                };
                match self.engine.create_volume(&request, &op) {
                    Err(error) if error.kind() != Kind::Conflict => Err(error),
                    _ => self.engine.hold_volume(name, id, &op),
                }
            }
            held => held,
        };
        match held {
            Ok(path) => Ok(Reply::mountpoint(Some(&path))),
            Err(error) => Err(told(&error)),
        }
    }

    fn unmount(&self, name: &str, id: &str) -> Result<Reply, Refusal> {
        // What cannot be a volume's name was never mounted.
        let Ok(parsed) = parse(name) else {
            return Ok(Reply::done());
        };
        let op = Operation::silent();
        let _span =
            tracing::info_span!("verb", verb = "docker unmount", volume = name, operation = %op.id)
                .entered();
        match self.engine.release_volume(&parsed, id, &op) {
            Ok(()) => Ok(Reply::done()),
            // Gone in this moment.
            Err(error) if error.kind() == Kind::NotFound => Ok(Reply::done()),
            Err(error) => Err(told(&error)),
        }
    }

    fn remove(&self, name: &str) -> Result<Reply, Refusal> {
        let parsed = parse(name)?;
        if let Some(draft) = self.making.get(name) {
            return Err(still(name, &draft.progress()));
        }
        self.making.forget_failure(name);
        let op = Operation::silent();
        let _span =
            tracing::info_span!("verb", verb = "docker remove", volume = name, operation = %op.id)
                .entered();
        match self.removed(&parsed, &op) {
            Ok(()) => Ok(Reply::done()),
            // Removed before, by a call whose answer was lost.
            Err(error) if error.kind() == Kind::NotFound => Ok(Reply::done()),
            Err(error) => Err(told(&error)),
        }
    }

    fn removed(&self, name: &VolumeName, op: &Operation<'_>) -> Result<(), Error> {
        let volume = self.engine.glance(name)?;
        match volume.on_remove.unwrap_or(self.settings.on_remove) {
            OnRemove::Keep => {
                tracing::info!("kept, as was said of it");
                Ok(())
            }
            OnRemove::Trash => self.engine.trash_volume(name, op).map(drop),
            // Through the trash: a kill on the way leaves it there, where it can be had back or is deleted later.
            OnRemove::Delete => {
                let trashed = self.engine.trash_volume(name, op)?;
                let identity: VolumeName = trashed
                    .uuid
                    .to_string()
                    .parse()
                    .expect("hexadecimal digits and hyphens are a name");
                self.engine.empty_trash(Some(&identity), op).map(drop)
            }
        }
    }
}

fn parse(name: &str) -> Result<VolumeName, Refusal> {
    name.parse()
        .map_err(|error| Refusal::new(format!("{error}")))
}

fn still(name: &str, progress: &str) -> Refusal {
    Refusal::new(format!("volume {name} is {progress}; try again later"))
}

/// A verb's failure, logged where it is handled.
fn told(error: &Error) -> Refusal {
    let refusal = Refusal::of(error);
    tracing::error!(error = refusal.text(), "failed");
    refusal
}

fn panicked() -> Refusal {
    Refusal::new("the daemon broke one of its own rules; restart it, and report its log")
}
