//! Which blocks changed: the difference of two thin devices in time proportional to the change.
