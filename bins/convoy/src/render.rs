//! From answers to text: pure, so that every screen has its golden file.

mod failure;
mod json;
mod object;
mod summary;
mod table;
mod time;

pub(crate) use failure::{failure_event, failure_object, failure_text};
pub(crate) use json::document;
pub(crate) use object::{
    backup, backups, created_backup, created_snapshot, created_volume, deleted, done, info,
    mounted, snapshot, snapshots, verification, volume, volumes, volumes_driver,
};
pub(crate) use summary::{backup_summary, verified};
pub(crate) use table::{backup_table, details, held, info_table, snapshot_table, volume_table};

#[cfg(test)]
pub(crate) mod tests;
