//! What do we promise exists: the durable record of pools, volumes, snapshots and intents.
