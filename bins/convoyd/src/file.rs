//! The configuration file: TOML, every key optional, unknown keys refused.

use crate::error::{Error, FileError};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What a configuration file may hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) root: Option<PathBuf>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_level: Option<String>,
    pub(crate) docker_socket: Option<PathBuf>,
    pub(crate) docker_on_remove: Option<String>,
    pub(crate) trash_grace: Option<String>,
    #[serde(default)]
    pub(crate) drivers: Vec<String>,
    #[serde(default)]
    driver_opts: toml::Table,
}

impl File {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let fail = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let text = std::fs::read_to_string(path).map_err(|error| fail(FileError::Read(error)))?;
        Self::parse(&text).map_err(fail)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, FileError> {
        let file: Self = toml::from_str(text)
            .map_err(|error| FileError::Parse(error.to_string().trim_end().to_owned()))?;
        file.driver_options()?;
        Ok(file)
    }

    /// Driver options by their full names: `dm.fs = "xfs"` is a table to TOML and an option to us, as
    /// `"dm.fs" = "xfs"` is.
    pub(crate) fn driver_options(&self) -> Result<Vec<(String, String)>, FileError> {
        let mut options = Vec::new();
        flatten("", &self.driver_opts, &mut options)?;
        Ok(options)
    }
}

fn flatten(
    prefix: &str,
    table: &toml::Table,
    into: &mut Vec<(String, String)>,
) -> Result<(), FileError> {
    for (key, value) in table {
        let name = format!("{prefix}{key}");
        match value {
            toml::Value::String(text) => into.push((name, text.clone())),
            toml::Value::Integer(number) => into.push((name, number.to_string())),
            toml::Value::Table(inner) => flatten(&format!("{name}."), inner, into)?,
            other => {
                let what = format!(
                    "driver_opts {name} is a {}, not a text or a number",
                    other.type_str()
                );
                return Err(FileError::Parse(what));
            }
        }
    }
    Ok(())
}
