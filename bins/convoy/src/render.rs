//! From answers to text: pure, so that every screen has its golden file.

mod columns;
mod doctor;
mod failure;
mod fitted;
mod jobs;
mod json;
mod lists;
mod object;
mod plan;
mod reshape;
mod summary;
mod table;
mod time;
mod trash;
mod trim;

pub(crate) use columns::{Chosen, Column};
pub(crate) use doctor::{diagnosis, diagnosis_object};
pub(crate) use failure::{failure_event, failure_object, failure_text};
pub(crate) use jobs::{
    JOBS, detached, job, jobs, pool_check, pool_check_object, restored, restored_summary,
};
pub(crate) use json::document;
pub(crate) use lists::{BACKUPS, SNAPSHOTS, VOLUMES, held};
pub(crate) use object::{
    backup, backups, created_backup, created_snapshot, created_volume, deleted, done, info,
    mounted, snapshot, snapshots, verification, volume, volumes, volumes_driver,
};
pub(crate) use object::{grown, pool_status};
pub(crate) use plan::{Doomed, doomed_backup, doomed_snapshot, doomed_volume, plan, plan_text};
pub(crate) use reshape::{
    resized, resized_remark, rolled_back, rolled_back_remark, taken_together,
};
pub(crate) use summary::{backup_summary, verified};
pub(crate) use table::{details, info_table, pool_table};
pub(crate) use trash::{TRASH, emptied, trash};
pub(crate) use trim::{trimmed, trimmed_object};

#[cfg(test)]
pub(crate) mod tests;
