//! Make the kernel do it: thin pools, thin devices and snapshots through device-mapper.
