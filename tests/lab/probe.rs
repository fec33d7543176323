//! A thin device through a device of our own, read-only, for a look at what is on it.

use convoy_thinpool::{Control, DmName, DmUuid, TableLine};
use convoy_units::{Bytes, DevId, Sectors};
use std::path::Path;

/// Brings the thin device of this pool up under a name of its own, lets `look` see its node, and takes it down.
#[track_caller]
pub(crate) fn look_at<T>(
    control: &dyn Control,
    pool: &str,
    dev_id: DevId,
    size: Bytes,
    look: impl FnOnce(&Path) -> T,
) -> T {
    let pool = control.info(&DmName::new(pool).unwrap()).unwrap().unwrap();
    let name = DmName::new("probe").unwrap();
    let made = control
        .create(&name, &DmUuid::new("PROBE").unwrap())
        .unwrap();
    let table = TableLine {
        start: Sectors(0),
        len: size.sectors_floor(),
        target: "thin".to_owned(),
        params: format!("{} {dev_id}", pool.number),
    };
    control.load(&name, &[table], true).unwrap();
    control.resume(&name).unwrap();
    let seen = look(&control.node(&name, made.number).unwrap());
    control.remove(&name).unwrap();
    seen
}
