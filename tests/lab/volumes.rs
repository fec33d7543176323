//! Volumes and snapshots through the library, on a real kernel.

mod life;
mod mounted;
mod snapshots;
mod space;
