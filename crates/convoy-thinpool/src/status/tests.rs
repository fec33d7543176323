//! Lines seen on real kernels, lines that were cut, and no lines at all.

use super::*;
use proptest::prelude::*;

#[test]
fn the_line_of_a_healthy_pool() {
    let text = "6 114/1024 10/64 34 rw no_discard_passdown queue_if_no_space - 256 ";
    let status = PoolStatus::parse(text).unwrap();
    assert!(status.takes_messages());
    assert_eq!(
        status,
        PoolStatus::Working(PoolUsage {
            transaction_id: TransactionId(6),
            metadata: Usage {
                used: 114,
                total: 1024
            },
            data: Usage {
                used: 10,
                total: 64
            },
            held_root: Some(MetadataBlock(34)),
            mode: Mode::Writable,
            discards: Discards::NotPassedDown,
            no_space: NoSpace::Queue,
            needs_check: false,
            metadata_low_water: Some(256),
        })
    );
}

#[test]
fn sick_pools_say_so() {
    assert_eq!(PoolStatus::parse("Fail").unwrap(), PoolStatus::Failed);
    assert_eq!(PoolStatus::parse("Error").unwrap(), PoolStatus::Error);
    let text = "0 1/2 3/4 - ro ignore_discard error_if_no_space needs_check 1";
    let status = PoolStatus::parse(text).unwrap();
    assert!(!status.takes_messages());
    assert_eq!(status.to_string(), "read-only, its metadata needs a check");
    let full = PoolStatus::parse("0 1/2 4/4 - out_of_data_space discard_passdown").unwrap();
    assert!(
        full.takes_messages(),
        "deletion is how a full pool gets well"
    );
}

#[test]
fn old_kernels_tell_less() {
    let status = PoolStatus::parse("0 1/2 3/4 - rw discard_passdown queue_if_no_space").unwrap();
    assert_eq!(status.usage().unwrap().metadata_low_water, None);
    assert!(!status.usage().unwrap().needs_check);
}

#[test]
fn a_line_that_lacks_what_matters_is_refused() {
    for bad in [
        "",
        "0",
        "0 1 3/4 - rw discard_passdown",
        "0 1/2 3/4 - wr discard_passdown",
    ] {
        assert!(PoolStatus::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn thin_lines() {
    let working = |mapped, highest| ThinStatus::Working {
        mapped: Sectors(mapped),
        highest,
    };
    assert_eq!(ThinStatus::parse("0 - ").unwrap(), working(0, None));
    assert_eq!(
        ThinStatus::parse("4096 8191").unwrap(),
        working(4096, Some(Sectors(8191)))
    );
    assert_eq!(ThinStatus::parse("-").unwrap(), working(0, None));
    assert_eq!(ThinStatus::parse("Fail").unwrap(), ThinStatus::Failed);
    assert!(ThinStatus::parse("4096").is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        drop((PoolStatus::parse(&text), ThinStatus::parse(&text)));
    }

    #[test]
    fn no_truncation_makes_it_panic(cut in 0_usize..80) {
        let text = "6 114/1024 10/64 34 rw no_discard_passdown queue_if_no_space - 256 ";
        drop(PoolStatus::parse(&text[..cut.min(text.len())]));
    }
}
