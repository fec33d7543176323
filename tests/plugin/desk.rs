//! A daemon's plugin over a model: an engine, a socket, and a thread that looks after volumes.

use crate::control::Holding;
use crate::machine::Table;
use convoy_docker::{Limits, Settings};
use convoy_engine::{Config, Engine, PoolConfig, Seams};
use convoy_thinpool::fake::FakeKernel;
use convoy_units::{Bytes, DataBlockSize, Sectors};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Bytes of a pool's data block.
pub(crate) const BLOCK: u64 = 64 << 10;
/// How many of them a pool has.
pub(crate) const BLOCKS: u64 = 256;
pub(crate) const METADATA: &str = "/model/metadata";
const DATA: &str = "/model/data";

/// A machine on which daemons are started one after the other.
pub(crate) struct Desk {
    pub(crate) table: Table,
    pub(crate) settings: Settings,
    pub(crate) limits: Limits,
    pub(crate) grace: Duration,
    directory: TempDir,
}

/// A running daemon's plugin.
pub(crate) struct Daemon {
    pub(crate) engine: Arc<Engine>,
    pub(crate) socket: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<bool>>,
    looking: Arc<AtomicBool>,
    looks: Option<JoinHandle<()>>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let kernel = FakeKernel::new();
        kernel.add_device(METADATA, Bytes::mib(16));
        kernel.add_device(DATA, Bytes(BLOCKS * BLOCK));
        Self {
            table: Table::new(kernel),
            settings: Settings::default(),
            limits: Limits::default(),
            grace: Duration::from_hours(24),
            directory: TempDir::new().unwrap(),
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new(self.directory.path().join("root"));
        config.pool = PoolConfig {
            data: Some(DATA.into()),
            metadata: Some(METADATA.into()),
            block_size: Some(DataBlockSize::new(Sectors(128)).unwrap()),
            default_volume_size: Some(Bytes(16 * BLOCK)),
            ..PoolConfig::default()
        };
        config.idle_delay = Duration::from_millis(50);
        config.trash_grace = self.grace;
        config
    }

    /// Starts a daemon.
    pub(crate) fn start(&self) -> Daemon {
        let mut seams = Seams::over(Arc::new(Holding(self.table.kernel.clone())));
        seams.machine = Arc::new(self.table.clone());
        let engine = Engine::open_with(&self.config(), seams);
        let engine = engine.unwrap_or_else(|error| panic!("{}", convoy_fault::chain(&error)));
        let engine = Arc::new(engine);
        let socket = self.directory.path().join("convoy.sock");
        std::fs::remove_file(&socket).ok();
        let (stop, stopped) = oneshot::channel();
        let served = serve(&engine, &socket, self.settings, self.limits, stopped);
        let looking = Arc::new(AtomicBool::new(true));
        let looks = look(&engine, &looking);
        Daemon {
            engine,
            socket,
            stop: Some(stop),
            served: Some(served),
            looking,
            looks: Some(looks),
        }
    }

    /// Where something is mounted now.
    pub(crate) fn mounted(&self) -> Vec<PathBuf> {
        let state = self.table.state.lock().unwrap();
        state
            .mounts
            .iter()
            .map(|mount| mount.target.clone())
            .collect()
    }

    /// Whether the model has nothing mounted, within a second.
    pub(crate) fn comes_to_rest(&self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(3) {
            if self.mounted().is_empty() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Everything that a reboot ends, but for the pool.
    pub(crate) fn reboot(&self) {
        let mut state = self.table.state.lock().unwrap();
        for mount in std::mem::take(&mut state.mounts) {
            let name = self.table.kernel.named(&mount.source).unwrap();
            self.table.kernel.close(&name);
        }
        state.boot = uuid::Uuid::now_v7().to_string();
    }
}

fn serve(
    engine: &Arc<Engine>,
    socket: &Path,
    settings: Settings,
    limits: Limits,
    stopped: oneshot::Receiver<()>,
) -> JoinHandle<bool> {
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    listener.set_nonblocking(true).unwrap();
    let engine = Arc::clone(engine);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let stopped = async move { drop(stopped.await) };
            convoy_docker::serve(engine, &listener, settings, limits, stopped).await
        })
    })
}

fn look(engine: &Arc<Engine>, looking: &Arc<AtomicBool>) -> JoinHandle<()> {
    let (engine, looking) = (Arc::clone(engine), Arc::clone(looking));
    std::thread::spawn(move || {
        while looking.load(Ordering::SeqCst) {
            engine.look_after_volumes();
            std::thread::sleep(Duration::from_millis(10));
        }
    })
}

impl Daemon {
    /// Stops looking after volumes, whose requests would be counted.
    pub(crate) fn look_away(&mut self) {
        self.looking.store(false, Ordering::SeqCst);
        self.looks.take().unwrap().join().unwrap();
    }

    /// Ends, as a SIGTERM lets it: whether every verb came to its end.
    pub(crate) fn stop(mut self) -> bool {
        self.end()
    }

    fn end(&mut self) -> bool {
        drop(self.stop.take());
        self.looking.store(false, Ordering::SeqCst);
        if let Some(looks) = self.looks.take() {
            looks.join().ok();
        }
        self.served
            .take()
            .is_none_or(|served| served.join().unwrap_or(false))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
