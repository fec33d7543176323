//! Tests that run as root on a kernel with dm-thin.
//!
//! Each module is run in a kernel of its own, its tests one after the other.

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod backup;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod defects;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod disagreement;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod filesystems;
#[cfg(test)]
mod full;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod model;
#[cfg(test)]
mod mount;
#[cfg(test)]
mod original;
#[cfg(test)]
mod partition;
#[cfg(test)]
mod pdata_tools;
#[cfg(test)]
mod points;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod pool_rules;
#[cfg(test)]
mod power;
#[cfg(test)]
mod power_cuts;
#[cfg(test)]
mod power_replay;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod reshape;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod strain;
#[cfg(test)]
mod syscalls;
#[cfg(test)]
mod verbs;
#[cfg(test)]
mod volumes;
#[cfg(test)]
mod world;
