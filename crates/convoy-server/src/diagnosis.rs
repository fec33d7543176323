//! The doctor's answer for the wire: the daemon's own, and that of a look at a root without a daemon.

use convoy_api as api;
use convoy_engine::doctor;
use convoy_units::TransactionId;
use std::path::Path;

/// The doctor's answer as the API has it.
pub fn diagnosis(diagnosis: doctor::Diagnosis) -> api::Diagnosis {
    api::Diagnosis {
        well: diagnosis.is_well(),
        root: path(&diagnosis.root),
        read_only: diagnosis.read_only,
        catalog: diagnosis.catalog.map(holds),
        copies: diagnosis.copies.into_iter().map(copy).collect(),
        pool: diagnosis.pool.map(pool),
        findings: diagnosis.findings.into_iter().map(finding).collect(),
        fixed: diagnosis.fixed,
    }
}

fn holds((transaction, volumes, snapshots): (TransactionId, usize, usize)) -> api::Holds {
    api::Holds {
        transaction: transaction.0,
        volumes: count(volumes),
        snapshots: count(snapshots),
    }
}

fn copy(copy: doctor::CopySeen) -> api::CatalogCopy {
    let (holds, problem) = match copy.holds {
        Ok(numbers) => (Some(holds(numbers)), None),
        Err(problem) => (None, Some(problem)),
    };
    api::CatalogCopy {
        path: path(&copy.path),
        holds,
        problem,
    }
}

fn pool(pool: doctor::PoolSeen) -> api::PoolSeen {
    api::PoolSeen {
        name: pool.name,
        uuid: pool.uuid,
        metadata: path(&pool.metadata),
        data: path(&pool.data),
        up: pool.up,
        transaction: pool.transaction.map(|transaction| transaction.0),
        thin_devices: pool.thin_devices.map(count),
    }
}

fn finding(finding: doctor::Finding) -> api::Finding {
    api::Finding {
        code: finding.code.as_str().to_owned(),
        gravity: finding.gravity.as_str().to_owned(),
        what: finding.what,
        evidence: finding.evidence,
        cure: finding.cure,
        fixable: finding.fixable,
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
