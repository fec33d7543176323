//! The schema, its version, and the way from older ones: `docs/formats/catalog.md` as SQL.

/// The schema this version writes.
pub(crate) const VERSION: i64 = 3;
/// The oldest schema whose readers may read what this version writes.
pub(crate) const MIN_READER: i64 = 1;
/// `Conv`: tells our databases from other programs'.
pub(crate) const APPLICATION_ID: i64 = 0x436f_6e76;
/// Who writes, for the message of a version that cannot read it.
pub(crate) const WRITTEN_BY: &str = concat!("convoy ", env!("CARGO_PKG_VERSION"));

/// What brings a catalog of schema `to - 1` to schema `to`.
pub(crate) struct Migration {
    pub(crate) to: i64,
    pub(crate) sql: &'static str,
}

/// In order, one for each schema after the first. Their fixtures stay in the tests for good.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        to: 2,
        sql: "
CREATE TABLE suspects (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    why TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
",
    },
    Migration {
        to: 3,
        sql: "
CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    place TEXT,
    volume TEXT,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
    since TEXT NOT NULL,
    ended TEXT,
    outcome TEXT
) STRICT;
CREATE TABLE endpoints (
    url TEXT PRIMARY KEY NOT NULL,
    endpoint TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE overwrites (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    backup TEXT NOT NULL,
    safety TEXT NOT NULL,
    op TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE trash (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    name TEXT NOT NULL,
    since TEXT NOT NULL,
    left_seconds INTEGER NOT NULL CHECK (left_seconds >= 0)
) STRICT;
CREATE TABLE removals (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    on_remove TEXT NOT NULL CHECK (on_remove IN ('trash', 'delete', 'keep'))
) STRICT;
CREATE TABLE holds (
    volume TEXT NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    boot TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    since TEXT NOT NULL,
    PRIMARY KEY (volume, holder)
) STRICT;
CREATE TABLE mount_options (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    options TEXT NOT NULL
) STRICT;
CREATE INDEX snapshots_by_op ON snapshots(op);
CREATE INDEX snapshots_unsettled ON snapshots(state) WHERE state <> 'ready';
DROP TRIGGER volumes_keep_their_device;
DROP TRIGGER snapshots_keep_their_device;
CREATE TRIGGER volumes_keep_their_device BEFORE UPDATE ON volumes
WHEN OLD.pool <> NEW.pool OR (OLD.dev_id <> NEW.dev_id AND NOT EXISTS (
    SELECT 1 FROM intents, json_each(intents.actions) AS action WHERE intents.pool = OLD.pool
    AND json_extract(action.value, '$.do') = 'roll_back'
    AND json_extract(action.value, '$.dev_id') = NEW.dev_id
    AND json_extract(action.value, '$.instead_of') = OLD.dev_id))
BEGIN SELECT RAISE(ABORT, 'its pool and device id never change'); END;
CREATE TRIGGER snapshots_keep_their_device BEFORE UPDATE ON snapshots
WHEN OLD.pool <> NEW.pool OR OLD.volume <> NEW.volume OR (OLD.dev_id <> NEW.dev_id AND NOT EXISTS (
    SELECT 1 FROM intents, json_each(intents.actions) AS action WHERE intents.pool = OLD.pool
    AND json_extract(action.value, '$.do') = 'roll_back'
    AND json_extract(action.value, '$.dev_id') = OLD.dev_id
    AND json_extract(action.value, '$.instead_of') = NEW.dev_id))
BEGIN SELECT RAISE(ABORT, 'its volume, pool and device id never change'); END;
",
    },
];

/// The present schema, whole.
pub(crate) const CREATE: &str = "
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    schema INTEGER NOT NULL,
    min_reader INTEGER NOT NULL,
    written_by TEXT NOT NULL,
    host TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE TABLE pools (
    uuid TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    driver TEXT NOT NULL,
    data TEXT NOT NULL,
    metadata TEXT NOT NULL,
    loop_backed INTEGER NOT NULL CHECK (loop_backed IN (0, 1)),
    block_sectors INTEGER NOT NULL,
    default_volume_size INTEGER NOT NULL,
    filesystem TEXT NOT NULL,
    transaction_id INTEGER NOT NULL CHECK (transaction_id >= 0),
    data_size INTEGER NOT NULL,
    metadata_size INTEGER NOT NULL,
    initialised INTEGER NOT NULL CHECK (initialised IN (0, 1)),
    next_dev_id INTEGER NOT NULL DEFAULT 1 CHECK (next_dev_id BETWEEN 1 AND 16777216),
    created TEXT NOT NULL
) STRICT;
CREATE TABLE volumes (
    uuid TEXT PRIMARY KEY NOT NULL,
    pool TEXT NOT NULL REFERENCES pools(uuid),
    name TEXT NOT NULL UNIQUE,
    dev_id INTEGER NOT NULL CHECK (dev_id BETWEEN 1 AND 16777215),
    size INTEGER NOT NULL CHECK (size >= 0),
    filesystem TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('creating', 'formatting', 'restoring', 'ready', 'deleting')),
    created TEXT NOT NULL,
    labels TEXT NOT NULL,
    owner TEXT,
    group_name TEXT,
    restored_from TEXT,
    op TEXT NOT NULL,
    UNIQUE (pool, dev_id)
) STRICT;
CREATE TABLE snapshots (
    uuid TEXT PRIMARY KEY NOT NULL,
    volume TEXT NOT NULL REFERENCES volumes(uuid),
    pool TEXT NOT NULL REFERENCES pools(uuid),
    name TEXT NOT NULL UNIQUE,
    dev_id INTEGER NOT NULL CHECK (dev_id BETWEEN 1 AND 16777215),
    size INTEGER NOT NULL CHECK (size >= 0),
    state TEXT NOT NULL CHECK (state IN ('creating', 'ready', 'deleting')),
    created TEXT NOT NULL,
    labels TEXT NOT NULL,
    op TEXT NOT NULL,
    hold_micros INTEGER,
    UNIQUE (pool, dev_id)
) STRICT;
CREATE INDEX snapshots_by_volume ON snapshots(volume);
CREATE INDEX snapshots_by_op ON snapshots(op);
CREATE INDEX snapshots_unsettled ON snapshots(state) WHERE state <> 'ready';
CREATE TRIGGER volumes_share_no_device BEFORE INSERT ON volumes
WHEN EXISTS (SELECT 1 FROM snapshots WHERE pool = NEW.pool AND dev_id = NEW.dev_id)
BEGIN SELECT RAISE(ABORT, 'its device id is taken by a snapshot'); END;
CREATE TRIGGER snapshots_share_no_device BEFORE INSERT ON snapshots
WHEN EXISTS (SELECT 1 FROM volumes WHERE pool = NEW.pool AND dev_id = NEW.dev_id)
BEGIN SELECT RAISE(ABORT, 'its device id is taken by a volume'); END;
CREATE TRIGGER volumes_keep_their_device BEFORE UPDATE ON volumes
WHEN OLD.pool <> NEW.pool OR (OLD.dev_id <> NEW.dev_id AND NOT EXISTS (
    SELECT 1 FROM intents, json_each(intents.actions) AS action WHERE intents.pool = OLD.pool
    AND json_extract(action.value, '$.do') = 'roll_back'
    AND json_extract(action.value, '$.dev_id') = NEW.dev_id
    AND json_extract(action.value, '$.instead_of') = OLD.dev_id))
BEGIN SELECT RAISE(ABORT, 'its pool and device id never change'); END;
CREATE TRIGGER snapshots_keep_their_device BEFORE UPDATE ON snapshots
WHEN OLD.pool <> NEW.pool OR OLD.volume <> NEW.volume OR (OLD.dev_id <> NEW.dev_id AND NOT EXISTS (
    SELECT 1 FROM intents, json_each(intents.actions) AS action WHERE intents.pool = OLD.pool
    AND json_extract(action.value, '$.do') = 'roll_back'
    AND json_extract(action.value, '$.dev_id') = OLD.dev_id
    AND json_extract(action.value, '$.instead_of') = NEW.dev_id))
BEGIN SELECT RAISE(ABORT, 'its volume, pool and device id never change'); END;
CREATE TABLE mounts (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid),
    target TEXT NOT NULL,
    wanted INTEGER NOT NULL CHECK (wanted IN (0, 1)),
    boot TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE TABLE suspects (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    why TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE destinations (
    url TEXT PRIMARY KEY NOT NULL,
    name TEXT UNIQUE,
    repository TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE TABLE backups (
    backup TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    repository TEXT NOT NULL,
    volume TEXT NOT NULL,
    snapshot TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE INDEX backups_by_volume ON backups(volume);
CREATE TABLE pins (
    snapshot TEXT NOT NULL REFERENCES snapshots(uuid),
    op TEXT NOT NULL,
    why TEXT NOT NULL,
    PRIMARY KEY (snapshot, op)
) STRICT;
CREATE TABLE intents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pool TEXT NOT NULL UNIQUE REFERENCES pools(uuid),
    op TEXT NOT NULL,
    verb TEXT NOT NULL,
    from_id INTEGER NOT NULL CHECK (from_id >= 0),
    to_id INTEGER NOT NULL CHECK (to_id = from_id + 1),
    actions TEXT NOT NULL,
    created TEXT NOT NULL
) STRICT;
CREATE TABLE jobs (
    id TEXT PRIMARY KEY NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    place TEXT,
    volume TEXT,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed', 'cancelled', 'interrupted')),
    since TEXT NOT NULL,
    ended TEXT,
    outcome TEXT
) STRICT;
CREATE TABLE endpoints (
    url TEXT PRIMARY KEY NOT NULL,
    endpoint TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE overwrites (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    backup TEXT NOT NULL,
    safety TEXT NOT NULL,
    op TEXT NOT NULL,
    since TEXT NOT NULL
) STRICT;
CREATE TABLE trash (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    name TEXT NOT NULL,
    since TEXT NOT NULL,
    left_seconds INTEGER NOT NULL CHECK (left_seconds >= 0)
) STRICT;
CREATE TABLE removals (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    on_remove TEXT NOT NULL CHECK (on_remove IN ('trash', 'delete', 'keep'))
) STRICT;
CREATE TABLE holds (
    volume TEXT NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    holder TEXT NOT NULL,
    boot TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count > 0),
    since TEXT NOT NULL,
    PRIMARY KEY (volume, holder)
) STRICT;
CREATE TABLE mount_options (
    volume TEXT PRIMARY KEY NOT NULL REFERENCES volumes(uuid) ON DELETE CASCADE,
    options TEXT NOT NULL
) STRICT;
";
