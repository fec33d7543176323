//! The doctor's answer as it looks.

use super::*;
use crate::render::document;
use crate::render::tests::golden;
use convoy_api::CatalogCopy;
use uuid::Uuid;

fn sick() -> Diagnosis {
    let holds = |transaction| Holds {
        transaction,
        volumes: 2,
        snapshots: 1,
    };
    Diagnosis {
        root: "/var/lib/convoy".into(),
        well: false,
        read_only: Some("pool main is at transaction 5, the catalog at 7".into()),
        catalog: Some(holds(7)),
        copies: vec![
            CatalogCopy {
                path: "/var/lib/convoy/catalog.db.kept-1".into(),
                holds: Some(holds(6)),
                problem: None,
            },
            CatalogCopy {
                path: "/var/lib/convoy/catalog.db.kept-2".into(),
                holds: None,
                problem: Some("it is zeroed".into()),
            },
        ],
        pool: Some(PoolSeen {
            name: "main".into(),
            uuid: Uuid::from_u128(7),
            metadata: "/dev/vdc".into(),
            data: "/dev/vdb".into(),
            up: false,
            transaction: Some(5),
            thin_devices: Some(2),
        }),
        findings: vec![Finding {
            code: "pool-behind".into(),
            gravity: "fatal".into(),
            what: "the pool's metadata is older than the catalog\u{1b}[2J".into(),
            evidence: vec!["the pool is at transaction 5, the catalog at 7".into()],
            cure: "give the newer metadata".into(),
            fixable: true,
        }],
        fixed: vec!["the catalog was changed".into()],
    }
}

#[test]
fn a_diagnosis_reads_from_what_was_seen_to_what_to_do() {
    golden("doctor.txt", &diagnosis(&sick()));
    golden("doctor.json", &document(&diagnosis_object(&sick())));
}

#[test]
fn what_is_well_says_so() {
    let well = Diagnosis {
        well: true,
        read_only: None,
        catalog: None,
        copies: vec![],
        pool: None,
        findings: vec![],
        fixed: vec![],
        ..sick()
    };
    assert!(diagnosis(&well).ends_with("all is well\n"));
}
