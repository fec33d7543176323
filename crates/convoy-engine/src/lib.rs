//! The verbs, and their safety: volumes, snapshots, backups and restores as one library.
