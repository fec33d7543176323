//! Tests that run as root on a kernel with dm-thin.
