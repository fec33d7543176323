//! Reference counts of kernel-made and generated metadata, and broken space maps.
