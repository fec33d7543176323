//! A daemon's life: settings, log, engine, socket, signals, end.

use crate::args::Args;
use crate::buckets;
use crate::docker::Docker;
use crate::error::Error;
use crate::guard;
use crate::logs;
use crate::settings::{Settings, resolve};
use crate::watch;
use convoy_engine::{Config, Engine, Seams};
use convoy_server::{Ended, Limits, Listener, serve};
use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Runs a daemon in this process until SIGTERM or SIGINT; a second one ends the process at once, which is
/// as safe as any kill. Volumes stay mounted and the pool active.
///
/// One line goes to stderr when the socket answers.
///
/// # Errors
/// A setting that breaks a rule; `Busy` when another daemon has the root or the socket; whatever keeps
/// the engine from opening; [`Error::Abandoned`] when something would not stop.
pub fn run(args: Args) -> Result<(), Error> {
    if args.suspend_guard {
        return guard::run();
    }
    let settings = resolve(args)?;
    logs::subscribe(&settings)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let mut config = Config::new(&settings.root);
    config.pool = settings.pool.clone();
    config.trash_grace = settings.docker.trash_grace;
    config.s3 = buckets::options(|name| std::env::var(name).ok())?;
    // The engine's lock comes before the socket: of two daemons over one root the second ends here.
    let mut seams = Seams::kernel()?;
    seams.guard = guard::start();
    let engine = Arc::new(Engine::open_or_look(&config, seams)?);
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    let watch = (watch::start(&engine), watch::start_for_volumes(&engine));
    let ended = runtime.block_on(answer(&settings, Arc::clone(&engine)));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(watch);
    // Not dropped inside the event loop: closing a catalog and a store may block.
    drop(engine);
    match ended? {
        Ended::Drained => Ok(()),
        Ended::Abandoned => Err(Error::Abandoned),
    }
}

async fn answer(settings: &Settings, engine: Arc<Engine>) -> Result<Ended, Error> {
    // Before the socket: from the first client on, an end is a clean one.
    let shutdown = shutdown().map_err(Error::Runtime)?;
    let listener = Listener::bind(&settings.socket)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let plugin = tokio::spawn(plugin(
        plugin_socket(&settings.docker)?,
        settings.docker.clone(),
        Arc::clone(&engine),
        stopped,
    ));
    ready(&settings.socket, &engine);
    let shutdown = async move {
        shutdown.await;
        drop(stop);
    };
    let ended = serve(engine, listener, Limits::default(), shutdown).await;
    // Engines' verbs are waited for as everybody's are.
    match plugin.await {
        Ok(true) => Ok(ended),
        Ok(false) | Err(_) => Ok(Ended::Abandoned),
    }
}

/// The socket for container engines. One that nobody asked for is done without where it cannot be had.
fn plugin_socket(docker: &Docker) -> Result<Option<Listener>, Error> {
    let Some(path) = &docker.socket else {
        return Ok(None);
    };
    match Listener::bind_private(path) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if docker.required => Err(error.into()),
        Err(error) => {
            let error = convoy_fault::chain(&error);
            tracing::warn!("container engines are not served: {error}");
            Ok(None)
        }
    }
}

/// Serves container engines until the other end of `stopped` is gone; whether every verb came to its end.
async fn plugin(
    listener: Option<Listener>,
    docker: Docker,
    engine: Arc<Engine>,
    stopped: oneshot::Receiver<()>,
) -> bool {
    let Some(listener) = listener else {
        return true;
    };
    let settings = convoy_docker::Settings {
        on_remove: docker.on_remove,
        create_on_mount: docker.create_on_mount,
        restore_from_any: docker.restore_from_any,
        ..convoy_docker::Settings::default()
    };
    tracing::info!(socket = %listener.path().display(), "serving container engines");
    let stopped = async move { drop(stopped.await) };
    let limits = convoy_docker::Limits::default();
    convoy_docker::serve(engine, listener.inner(), settings, limits, stopped).await
}

fn ready(socket: &Path, engine: &Engine) {
    if let Some(why) = engine.read_only() {
        say(&format!(
            "convoyd: ready on {}, but only to be read: {why}\nconvoyd: run convoy doctor",
            socket.display()
        ));
        tracing::error!(socket = %socket.display(), why, "ready, but only to be read");
        return;
    }
    let pool = match engine.info() {
        Ok(info) if info.pool.loop_backed => {
            format!(", pool {} is loop (not for production)", info.pool.name)
        }
        Ok(info) => format!(", pool {}", info.pool.name),
        Err(error) => format!(
            ", but the pool is not well: {}",
            convoy_fault::chain(&error)
        ),
    };
    say(&format!("convoyd: ready on {}{pool}", socket.display()));
    tracing::info!(socket = %socket.display(), "ready");
}

/// Completes at the first signal to end; the second one ends the process.
fn shutdown() -> std::io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        say(&format!(
            "convoyd: caught {name}: stopping; once more to stop at once"
        ));
        tracing::info!(signal = name, "stopping");
        tokio::spawn(async move {
            either(&mut terminate, &mut interrupt).await;
            say("convoyd: stopped at once");
            #[expect(
                clippy::exit,
                reason = "the second signal means now, whatever still runs"
            )]
            std::process::exit(1)
        });
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// To the person or unit that started us, log file or not; nobody there is no reason to fail.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}
