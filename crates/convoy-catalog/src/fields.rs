//! Between columns and types: every value is parsed when it is read, as if a stranger had typed it.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use convoy_units::{Bytes, DataBlockSize, DevId, IdError, Sectors, TransactionId};
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::{Action, Error};

/// One row of a table being read.
pub(crate) struct Fields<'r> {
    pub(crate) table: &'static str,
    pub(crate) row: &'r Row<'r>,
}

impl Fields<'_> {
    fn value(&self, column: &'static str) -> Result<ValueRef<'_>, Error> {
        self.row
            .get_ref(column)
            .map_err(|source| Error::sqlite(format!("reading {}.{column}", self.table), source))
    }

    pub(crate) fn wrong(&self, column: &'static str) -> Error {
        let value = match self.value(column) {
            Ok(ValueRef::Text(text)) => format!("{:.200?}", String::from_utf8_lossy(text)),
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Null) => "nothing".to_owned(),
            _ => "a value of another type".to_owned(),
        };
        Error::Record {
            table: self.table,
            column,
            value,
        }
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, Error> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(text) => {
                let text = std::str::from_utf8(text).map_err(|_| self.wrong(column))?;
                Ok(Some(text.to_owned()))
            }
            _ => Err(self.wrong(column)),
        }
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, Error> {
        self.optional_text(column)?
            .ok_or_else(|| self.wrong(column))
    }

    pub(crate) fn parsed<T: FromStr>(&self, column: &'static str) -> Result<T, Error> {
        self.text(column)?.parse().map_err(|_| self.wrong(column))
    }

    pub(crate) fn optional_parsed<T: FromStr>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, Error> {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|_| self.wrong(column)))
            .transpose()
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(
        &self,
        column: &'static str,
        all: &[T],
        as_str: fn(T) -> &'static str,
    ) -> Result<T, Error> {
        let text = self.text(column)?;
        let found = all.iter().copied().find(|state| as_str(*state) == text);
        found.ok_or_else(|| self.wrong(column))
    }

    pub(crate) fn labels(&self, column: &'static str) -> Result<BTreeMap<String, String>, Error> {
        serde_json::from_str(&self.text(column)?).map_err(|_| self.wrong(column))
    }

    pub(crate) fn actions(&self, column: &'static str) -> Result<Vec<Action>, Error> {
        let stored: Vec<StoredAction> =
            serde_json::from_str(&self.text(column)?).map_err(|_| self.wrong(column))?;
        let actions: Result<_, _> = stored.iter().map(load_action).collect();
        actions.map_err(|_| self.wrong(column))
    }

    pub(crate) fn signed(&self, column: &'static str) -> Result<i64, Error> {
        self.value(column)?.as_i64().map_err(|_| self.wrong(column))
    }

    pub(crate) fn number(&self, column: &'static str) -> Result<u64, Error> {
        u64::try_from(self.signed(column)?).map_err(|_| self.wrong(column))
    }

    pub(crate) fn optional_number(&self, column: &'static str) -> Result<Option<u64>, Error> {
        match self.value(column)? {
            ValueRef::Null => Ok(None),
            _ => self.number(column).map(Some),
        }
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, Error> {
        match self.number(column)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong(column)),
        }
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Result<Bytes, Error> {
        self.number(column).map(Bytes)
    }

    pub(crate) fn transaction(&self, column: &'static str) -> Result<TransactionId, Error> {
        self.number(column).map(TransactionId)
    }

    pub(crate) fn dev_id(&self, column: &'static str) -> Result<DevId, Error> {
        let id = DevId::new(self.number(column)?).map_err(|_| self.wrong(column))?;
        if id == DevId::LABEL {
            Err(self.wrong(column))
        } else {
            Ok(id)
        }
    }

    pub(crate) fn block_size(&self, column: &'static str) -> Result<DataBlockSize, Error> {
        DataBlockSize::new(Sectors(self.number(column)?)).map_err(|_| self.wrong(column))
    }
}

/// A number as `SQLite` holds it: 63 bits.
pub(crate) fn integer(what: &str, number: u64) -> Result<i64, Error> {
    let invalid = |_| Error::Invalid {
        what: format!("{what} {number}, which needs 64 bits,"),
    };
    i64::try_from(number).map_err(invalid)
}

/// A path as the catalog holds it: UTF-8.
pub(crate) fn path(path: &Path) -> Result<&str, Error> {
    let invalid = || Error::Invalid {
        what: format!("path {}, which is not UTF-8,", path.display()),
    };
    path.to_str().ok_or_else(invalid)
}

/// Labels as the catalog holds them.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> String {
    serde_json::to_string(labels).expect("a map of strings is JSON")
}

/// An action as the catalog writes it: a promise of the format, apart from the type of our callers.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
enum StoredAction {
    CreateThin {
        dev_id: u32,
    },
    CreateSnapshot {
        dev_id: u32,
        origin: u32,
    },
    RollBack {
        dev_id: u32,
        origin: u32,
        instead_of: u32,
    },
    Delete {
        dev_id: u32,
    },
}

/// Actions as the catalog holds them.
pub(crate) fn actions(actions: &[Action]) -> String {
    let stored: Vec<StoredAction> = actions.iter().map(store_action).collect();
    serde_json::to_string(&stored).expect("numbers in structs are JSON")
}

fn store_action(action: &Action) -> StoredAction {
    match *action {
        Action::CreateThin { dev_id } => StoredAction::CreateThin {
            dev_id: dev_id.get(),
        },
        Action::CreateSnapshot { dev_id, origin } => StoredAction::CreateSnapshot {
            dev_id: dev_id.get(),
            origin: origin.get(),
        },
        Action::RollBack {
            dev_id,
            origin,
            instead_of,
        } => StoredAction::RollBack {
            dev_id: dev_id.get(),
            origin: origin.get(),
            instead_of: instead_of.get(),
        },
        Action::Delete { dev_id } => StoredAction::Delete {
            dev_id: dev_id.get(),
        },
    }
}

fn load_action(stored: &StoredAction) -> Result<Action, IdError> {
    let id = |id: u32| DevId::new(u64::from(id));
    Ok(match *stored {
        StoredAction::CreateThin { dev_id } => Action::CreateThin {
            dev_id: id(dev_id)?,
        },
        StoredAction::CreateSnapshot { dev_id, origin } => Action::CreateSnapshot {
            dev_id: id(dev_id)?,
            origin: id(origin)?,
        },
        StoredAction::RollBack {
            dev_id,
            origin,
            instead_of,
        } => Action::RollBack {
            dev_id: id(dev_id)?,
            origin: id(origin)?,
            instead_of: id(instead_of)?,
        },
        StoredAction::Delete { dev_id } => Action::Delete {
            dev_id: id(dev_id)?,
        },
    })
}
