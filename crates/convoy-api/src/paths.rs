//! Where things are: the paths of `/v1`, and their parts made safe.

/// `GET`: alive; answers without touching the pool.
pub const HEALTH: &str = "/healthz";
/// `GET`: the daemon in numbers, as text for Prometheus.
pub const METRICS: &str = "/metrics";
/// `GET`: the daemon and its pool.
pub const INFO: &str = "/v1/info";
/// `GET`: what disagrees between catalog, pool and devices, and what to do.
pub const DOCTOR: &str = "/v1/doctor";
/// `GET`: all volumes; `POST`: make one.
pub const VOLUMES: &str = "/v1/volumes";
/// `GET`, `DELETE`: one volume.
pub const VOLUME: &str = "/v1/volumes/{name}";
/// `POST`: mount it.
pub const VOLUME_MOUNT: &str = "/v1/volumes/{name}/mount";
/// `POST`: unmount it.
pub const VOLUME_UNMOUNT: &str = "/v1/volumes/{name}/unmount";
/// `POST`: give back to the pool what its filesystem does not use.
pub const VOLUME_TRIM: &str = "/v1/volumes/{name}/trim";
/// `POST`: make it larger.
pub const VOLUME_RESIZE: &str = "/v1/volumes/{name}/resize";
/// `POST`: call it by another name.
pub const VOLUME_RENAME: &str = "/v1/volumes/{name}/rename";
/// `POST`: set and remove labels of it.
pub const VOLUME_LABELS: &str = "/v1/volumes/{name}/labels";
/// `POST`: its volume becomes what it was.
pub const SNAPSHOT_ROLLBACK: &str = "/v1/snapshots/{name}/rollback";
/// `POST`: take snapshots of several volumes at one instant.
pub const SNAPSHOT_GROUPS: &str = "/v1/snapshot-groups";
/// `GET`: all snapshots, or those of `?volume=`; `POST`: take one.
pub const SNAPSHOTS: &str = "/v1/snapshots";
/// `GET`, `DELETE`: one snapshot, as `SNAPSHOT` or `VOLUME@SNAPSHOT`.
pub const SNAPSHOT: &str = "/v1/snapshots/{name}";
/// `GET`: the backups in `?destination=`, perhaps only those of `&volume=`; `POST`: make one.
pub const BACKUPS: &str = "/v1/backups";
/// `POST`: one backup, its URL in the body.
pub const BACKUP_INSPECT: &str = "/v1/backups/inspect";
/// `POST`: delete one backup.
pub const BACKUP_DELETE: &str = "/v1/backups/delete";
/// `POST`: read one backup back and check it.
pub const BACKUP_VERIFY: &str = "/v1/backups/verify";
/// `POST`: who serves a destination, for the next verb on it and since it worked.
pub const ENDPOINTS: &str = "/v1/endpoints";
/// `POST`: make a volume that exists what a backup holds.
pub const BACKUP_RESTORE: &str = "/v1/backups/restore";
/// `POST`: read all of the pool's metadata and check it.
pub const POOL_CHECK: &str = "/v1/pool/check";
/// `POST`: make the pool larger.
pub const POOL_GROW: &str = "/v1/pool/grow";
/// `GET`: long operations, running and ended.
pub const JOBS: &str = "/v1/jobs";
/// `GET`: one job, by its id or the beginning of one; `?wait_milliseconds=` waits for its end.
pub const JOB: &str = "/v1/jobs/{name}";
/// `POST`: ask it to stop.
pub const JOB_CANCEL: &str = "/v1/jobs/{name}/cancel";
/// `GET`: what is in the trash; `DELETE`: all of it for good.
pub const TRASH: &str = "/v1/trash";
/// `DELETE`: one volume in the trash for good.
pub const TRASHED: &str = "/v1/trash/{name}";
/// `POST`: take a volume back from the trash.
pub const TRASH_UNDELETE: &str = "/v1/trash/{name}/undelete";

/// A path with its `{name}` filled in, percent-encoded.
pub fn with_name(path: &str, name: &str) -> String {
    path.replace("{name}", &encode(name))
}

/// A path with a query: pairs without a value are left out, the rest percent-encoded.
pub fn with_query(path: &str, pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs
        .iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", encode((*value)?))));
    let query: Vec<String> = given.collect();
    if query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}

/// All but the unreserved characters of RFC 3986 §2.3 as `%XX`.
fn encode(text: &str) -> String {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F',
    ];
    let digit = |nibble: u8| {
        DIGITS
            .get(usize::from(nibble))
            .copied()
            .expect("a nibble is below 16")
    };
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    encoded
}
