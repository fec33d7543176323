//! Put a filesystem on it: mkfs, mount, unmount, and what is mounted where.
