//! Where the log goes: JSON lines appended to a file, or text on stderr.

use crate::error::Error;
use crate::settings::Settings;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// Subscribes this process. A second call in one process changes nothing.
pub(crate) fn subscribe(settings: &Settings) -> Result<(), Error> {
    let filter = EnvFilter::new(&settings.log_level);
    let builder = fmt().with_env_filter(filter);
    let done = if let Some(path) = &settings.log {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(path)
            .map_err(|source| Error::Log {
                path: path.clone(),
                source,
            })?;
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_writer(Mutex::new(file))
            .try_init()
    } else {
        let colour = std::io::IsTerminal::is_terminal(&std::io::stderr())
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        builder
            .with_ansi(colour)
            .with_writer(std::io::stderr)
            .try_init()
    };
    // Somebody in this process listens already: then it is heard there.
    drop(done);
    Ok(())
}
