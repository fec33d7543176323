//! From answers to text: pure, so that every screen has its golden file.

mod columns;
mod doctor;
mod failure;
mod fitted;
mod json;
mod lists;
mod object;
mod plan;
mod summary;
mod table;
mod time;

pub(crate) use columns::{Chosen, Column};
pub(crate) use doctor::{diagnosis, diagnosis_object};
pub(crate) use failure::{failure_event, failure_object, failure_text};
pub(crate) use json::document;
pub(crate) use lists::{BACKUPS, SNAPSHOTS, VOLUMES, held};
pub(crate) use object::{
    backup, backups, created_backup, created_snapshot, created_volume, deleted, done, info,
    mounted, snapshot, snapshots, verification, volume, volumes, volumes_driver,
};
pub(crate) use plan::{Doomed, doomed_backup, doomed_snapshot, doomed_volume, plan, plan_text};
pub(crate) use summary::{backup_summary, verified};
pub(crate) use table::{details, info_table};

#[cfg(test)]
pub(crate) mod tests;
