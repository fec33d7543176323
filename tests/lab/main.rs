//! Tests that run as root on a kernel with dm-thin.

#[cfg(test)]
mod mount;
#[cfg(test)]
mod pool;
