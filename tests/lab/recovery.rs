//! What an engine does at its opening about everything that a kill or a power cut can leave.
//!
//! The states are made by hand: rows by the catalog, thin devices by messages to the pool and by `dmsetup`,
//! so that no code of the engine is trusted to have made them.

use crate::verbs::thin_ids;
use crate::world::World;
use convoy_catalog::Change;
use convoy_engine::Engine;
use convoy_tests::command::tool as run;
use convoy_tests::mapper;
use convoy_thinpool::{thin_name, thin_uuid};
use convoy_units::{Bytes, DevId, TransactionId};
use uuid::Uuid;

mod cut_short;
mod held;
mod mounts;
mod unexplained;

const POOL: &str = "convoy-pool";

/// Brings a thin device up under the name that the engine gives it; that name.
fn bring_up(pool: Uuid, uuid: Uuid, dev_id: DevId, size: Bytes, more: &[&str]) -> String {
    let device = thin_name(&POOL.parse().unwrap(), uuid).unwrap();
    let (uuid, number) = (thin_uuid(pool, uuid), mapper::number(POOL));
    let table = format!("0 {} thin {number} {dev_id}", size.0 / 512);
    let words = [
        "create",
        device.as_str(),
        "--uuid",
        uuid.as_str(),
        "--table",
        &table,
    ];
    run("dmsetup", &[&words[..], more].concat());
    device.as_str().to_owned()
}

/// Makes the catalog believe that the pool is at another transaction.
fn set_transaction(world: &World, pool: Uuid, transaction: u64) {
    let transaction = TransactionId(transaction);
    let change = Change::SetTransaction { pool, transaction };
    world.catalog().apply(&[change]).unwrap();
}

/// Everything that must hold after any opening.
#[track_caller]
fn all_is_settled(engine: &Engine) {
    let (volumes, snapshots) = (engine.volumes().unwrap(), engine.snapshots(None).unwrap());
    let mut known: Vec<DevId> = volumes.iter().map(|v| v.dev_id).collect();
    known.extend(snapshots.iter().map(|s| s.dev_id));
    known.sort_unstable();
    let known: Vec<String> = known.iter().map(ToString::to_string).collect();
    assert_eq!(
        thin_ids(engine),
        known,
        "thin devices of the pool and of the catalog"
    );
    let status = mapper::status(POOL);
    assert_eq!(
        status.split_whitespace().nth(3).unwrap(),
        engine.info().unwrap().pool.transaction.to_string(),
        "transaction ids of pool and catalog"
    );
    for device in mapper::devices() {
        assert!(!mapper::is_suspended(&device), "{device} is suspended");
    }
}
