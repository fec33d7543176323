//! Tests that run as root on a kernel with dm-thin.
//!
//! Each module is run in a kernel of its own, its tests one after the other.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod daemon;
#[cfg(test)]
mod diff;
#[cfg(test)]
mod exact;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod kills;
#[cfg(test)]
mod mount;
#[cfg(test)]
mod partition;
#[cfg(test)]
mod pdata_tools;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod pool_rules;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod verbs;
#[cfg(test)]
mod volumes;
#[cfg(test)]
mod world;
