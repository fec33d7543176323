//! The store for buckets, on real servers and through a bad network.
//!
//! `cargo xtask test` installs the servers and says where they are; each test starts its own and stops it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where something is not as it should be"
)]

#[path = "servers/bucket.rs"]
mod bucket;
#[path = "servers/network.rs"]
mod network;
#[path = "servers/programs.rs"]
mod programs;

/// Moto: a model of S3, with signatures checked.
mod moto {
    use crate::bucket::{self, Bucket};
    use crate::network;
    use convoy_objectstore::conformance;

    #[test]
    fn conforms() {
        // It signs a blank in a listing's prefix otherwise than Amazon does, and lets several creators win or none:
        // the race is for the gateway.
        bucket::conforms(&Bucket::moto(), "a-place", conformance::check_alone);
    }

    #[test]
    fn wrong_keys_and_buckets_are_told_and_secrets_are_not_shown() {
        let server = Bucket::moto();
        bucket::wrong_keys_are_told(&server);
        bucket::a_bucket_that_is_not_there_is_told(&server);
    }

    #[test]
    fn a_bad_network_is_told_and_harms_nothing() {
        network::every_fault_in_every_phase(&Bucket::moto());
    }

    #[test]
    fn credentials_are_found_where_amazons_tools_find_them() {
        bucket::credentials_are_found(&Bucket::moto());
    }
}

/// Ceph's gateway: another implementation of S3, and a truly atomic one.
mod radosgw {
    use crate::bucket::{self, Bucket};
    use crate::network;
    use convoy_objectstore::conformance;

    /// One server for all: it takes seconds to start.
    #[test]
    fn conforms_and_takes_a_bad_network() {
        let server = Bucket::radosgw();
        bucket::conforms(&server, "a place", conformance::check);
        bucket::wrong_keys_are_told(&server);
        bucket::a_bucket_that_is_not_there_is_told(&server);
        network::every_fault_in_every_phase(&server);
    }
}
