//! From flags and file to settings: one precedence, every value checked, nothing ignored in silence.

use crate::args::Args;
use crate::docker::{self, Docker};
use crate::error::Error;
use crate::file::File;
use convoy_engine::{PoolConfig, pool_options};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

const ROOT: &str = "/var/lib/convoy";
const LEVEL: &str = "info";
const DRIVER: &str = "devicemapper";

/// Everything the daemon is started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The engine's root directory.
    pub root: PathBuf,
    /// The socket to serve on.
    pub socket: PathBuf,
    /// The log file, else stderr.
    pub log: Option<PathBuf>,
    /// A filter of `tracing_subscriber`.
    pub log_level: String,
    /// How container engines are served.
    pub docker: Docker,
    /// Settings of the pool; `None` in them means what the catalog has.
    pub pool: PoolConfig,
    /// What was accepted and has no effect, one sentence each.
    pub warnings: Vec<String>,
}

/// Flags (clap has put the environment behind them already) over the file over defaults.
///
/// # Errors
/// `Invalid` for whatever breaks a rule: an unreadable or unknown setting, an unknown driver or driver
/// option, a flag that would change what the daemon does and is not supported. Nothing is touched.
pub fn resolve(args: Args) -> Result<Settings, Error> {
    let file = match &args.config {
        Some(path) => File::read(path)?,
        None => File::default(),
    };
    over(args, &file)
}

pub(crate) fn over(args: Args, file: &File) -> Result<Settings, Error> {
    refuse(&args)?;
    let warnings = warnings(&args);
    drivers(if args.drivers.is_empty() {
        &file.drivers
    } else {
        &args.drivers
    })?;
    let options = driver_options(&args, file)?;
    let log_level = level(&args, file)?;
    let docker = docker::resolve(&args, file)?;
    Ok(Settings {
        root: args
            .root
            .or_else(|| file.root.clone())
            .unwrap_or_else(|| ROOT.into()),
        socket: args
            .socket
            .or_else(|| file.socket.clone())
            .unwrap_or_else(|| crate::SOCKET.into()),
        log: args.log.or_else(|| file.log.clone()),
        log_level,
        docker,
        pool: pool_options(&options)?,
        warnings,
    })
}

fn refuse(args: &Args) -> Result<(), Error> {
    if args.mnt_ns.is_some() {
        return Err(setting(
            "--mnt-ns is not supported: volumes are mounted in the daemon's own mount namespace",
            "start the daemon inside that namespace: nsenter --mount=PATH convoy daemon",
        ));
    }
    Ok(())
}

fn warnings(args: &Args) -> Vec<String> {
    let given = [
        (
            args.cmd_timeout.is_some(),
            "--cmd-timeout has no effect: nothing that works is killed by a clock",
        ),
        (
            args.ignore_config_file,
            "--ignore-config-file has no effect: flags are never overruled by stored settings",
        ),
    ];
    given
        .into_iter()
        .filter(|(given, _)| *given)
        .map(|(_, text)| text.to_owned())
        .collect()
}

fn drivers(names: &[String]) -> Result<(), Error> {
    match names.iter().find(|name| *name != DRIVER) {
        Some(other) => Err(setting(
            &format!("driver {other:?} is not supported: {DRIVER} is the only driver"),
            "leave --drivers out, or write --drivers devicemapper",
        )),
        None => Ok(()),
    }
}

/// The options of the file that no flag repeats, then those of the flags.
fn driver_options(args: &Args, file: &File) -> Result<Vec<(String, String)>, Error> {
    let mut given = Vec::new();
    // An environment variable holds several, parted by white space.
    for option in args
        .driver_opts
        .iter()
        .flat_map(|text| text.split_ascii_whitespace())
    {
        given.push(key_value(option)?);
    }
    let stored = file
        .driver_options()
        .map_err(|error| setting(&error.to_string(), "write key = \"value\""))?;
    let mut options: Vec<_> = stored
        .into_iter()
        .filter(|(name, _)| given.iter().all(|(other, _)| other != name))
        .collect();
    options.append(&mut given);
    Ok(options)
}

/// At the first `=`: a value may hold more of them.
pub(crate) fn key_value(option: &str) -> Result<(String, String), Error> {
    match option.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err(setting(
            &format!("driver option {option:?} is not KEY=VALUE"),
            "write for example --driver-opts dm.datadev=/dev/vdb",
        )),
    }
}

fn level(args: &Args, file: &File) -> Result<String, Error> {
    let debug = args.debug.then(|| "debug".to_owned());
    let level = args
        .log_level
        .clone()
        .or(debug)
        .or_else(|| file.log_level.clone());
    let level = level.unwrap_or_else(|| LEVEL.to_owned());
    match EnvFilter::try_new(&level) {
        Ok(_) => Ok(level),
        Err(error) => Err(setting(
            &format!("log level {level:?}: {error}"),
            "write error, warn, info, debug or trace",
        )),
    }
}

pub(crate) fn setting(what: &str, hint: &str) -> Error {
    Error::Setting {
        what: what.to_owned(),
        hint: Some(hint.to_owned()),
    }
}
