//! Putting right: first the pool's metadata, into a spare, then the catalog, beside the old one.
//!
//! Everything is decided before the first step that counts, which is the rename that puts the new catalog in
//! place. Killed before it, nothing has changed but for a spare; after it, all has.

use super::facts::{self, Facts, Looking, PoolFacts, Reading};
use super::plan::{Case, Plan, plan};
use super::{Gravity, Instruments, Patient, Remedy, spare};
use crate::error::{Doing, Error};
use crate::pool;
use crate::root::{Root, make_directory};
use convoy_catalog::Catalog;
use convoy_fault::Kind;
use convoy_thin_metadata::Severity;
use jiff::Timestamp;
use std::fs;
use std::path::Path;

/// What was done, and where the metadata is from now on.
pub(super) struct Fixed {
    pub(super) said: Vec<String>,
    pub(super) patient: Patient,
}

/// Does what there is to do.
pub(super) fn apply(
    patient: &Patient,
    remedy: &Remedy,
    instruments: &Instruments,
    root: &Root,
    mut facts: Facts,
) -> Result<Fixed, Error> {
    refuse_unfixable(&facts)?;
    let machine = &*instruments.machine;
    let Some(mut pool) = facts.pool.take() else {
        return Err(
            Error::new(Kind::PoolUnhealthy, "nothing tells where the pool is")
                .hinting("give --driver-opts dm.datadev=DEV and dm.metadatadev=DEV"),
        );
    };
    if pool.up.is_some() {
        let what = format!("pool {} is up", pool.record.name);
        return Err(Error::new(Kind::Busy, what).hinting("nothing is fixed under a running pool: unmount its volumes and remove its devices, or reboot without starting the daemon"));
    }
    let _hold = pool::hold(&pool.record, machine)?;
    let mut fixed = Fixed {
        said: Vec::new(),
        patient: patient.clone(),
    };
    let mended = needs_mending(&pool);
    if mended {
        let (spare, said) = spare::mend(&pool, reading(&pool)?, remedy, root, machine)?;
        fixed.said.extend(said);
        let mut record = pool.record;
        record.metadata.clone_from(&spare);
        if fixed.patient.pool.metadata.is_some() {
            fixed.patient.pool.metadata = Some(spare);
        }
        let known = facts.base().map(|(book, _)| book.dev_ids());
        let looking = Looking {
            pool: None,
            control: None,
            machine,
            settings: &patient.pool,
        };
        pool = facts::look_at(record, &known.unwrap_or_default(), &looking, || ())?;
    }
    facts.pool = Some(pool);
    // Once more: what a repair gave back may be no pool of ours.
    refuse_unfixable(&facts)?;
    let pool = facts.pool.as_ref().expect("it was put back a moment ago");
    let planned = planned(&facts, pool, mended)?;
    refuse_loss(&planned, remedy)?;
    if planned.is_empty() && facts.catalog.is_ok() {
        fixed.said.push("nothing else had to be changed".to_owned());
        return Ok(fixed);
    }
    fixed.said.extend(record(&facts, planned, root)?);
    Ok(fixed)
}

fn reading(pool: &PoolFacts) -> Result<&Reading, Error> {
    pool.metadata
        .as_ref()
        .map_err(|_| Error::new(Kind::PoolUnhealthy, "the pool's metadata cannot be read"))
}

fn needs_mending(pool: &PoolFacts) -> bool {
    pool.metadata
        .as_ref()
        .is_ok_and(|reading| reading.needs_check || reading.report.worst() == Some(Severity::Fatal))
}

/// What the doctor finds and cannot cure: there the right answer is another device, version or machine.
fn refuse_unfixable(facts: &Facts) -> Result<(), Error> {
    let findings = facts.diagnosis().findings;
    let hopeless = findings
        .into_iter()
        .find(|finding| finding.gravity == Gravity::Fatal && !finding.fixable);
    match hopeless {
        None => Ok(()),
        Some(finding) => Err(Error::new(
            Kind::PoolUnhealthy,
            format!("this is not to be fixed: {}", finding.what),
        )
        .hinting(finding.cure)),
    }
}

fn planned(facts: &Facts, pool: &PoolFacts, mended: bool) -> Result<Plan, Error> {
    let reading = reading(pool)?;
    let Some(devices) = &reading.devices else {
        let what = "the pool's thin devices cannot be listed";
        return Err(Error::new(Kind::PoolUnhealthy, what));
    };
    let base = facts.base();
    Ok(plan(&Case {
        book: base.map(|(book, _)| book),
        is_copy: base.is_some_and(|(_, copy)| copy.is_some()),
        record: &pool.record,
        reading,
        devices,
        mended,
        now: Timestamp::now(),
    }))
}

fn refuse_loss(plan: &Plan, remedy: &Remedy) -> Result<(), Error> {
    if plan.gives_up.is_empty() || remedy.accept_loss {
        return Ok(());
    }
    let what = format!("this would be given up: {}", plan.gives_up.join("; "));
    Err(Error::new(Kind::PoolUnhealthy, what).hinting("the catalog was not changed. If the newer metadata, or the right device, can still be found, use that; else repeat with --accept-loss, and restore what is lost from backups"))
}

/// Makes the new catalog beside the old one and puts it in place.
fn record(facts: &Facts, plan: Plan, root: &Root) -> Result<Vec<String>, Error> {
    let path = root.catalog();
    let work = root.path().join("doctor");
    // What an earlier try was cut short in: it was never the catalog.
    if work.exists() {
        fs::remove_dir_all(&work).doing(|| format!("removing {}", work.display()))?;
    }
    make_directory(&work)?;
    let new = work.join("catalog.db");
    write(facts, &plan, &new)?;
    if facts.catalog.is_ok() {
        // Opened and closed: its log goes into it, and the file that is kept is whole.
        drop(Catalog::open(&path).doing(|| "closing the catalog")?);
    }
    let kept = Catalog::replace(&path, &new).doing(|| "putting the new catalog in place")?;
    drop(fs::remove_dir_all(&work));
    let mut said = plan.said;
    if remedied_loss(&plan.gives_up, &mut said) {
        tracing::warn!("what the pool lacks is forgotten");
    }
    let source = match facts.base() {
        None => "the catalog was made of what the pool tells".to_owned(),
        Some((_, Some(n))) => {
            let copy = facts.copies.get(n).map_or(Path::new(""), |(path, _)| path);
            format!("the catalog was made of its copy {}", copy.display())
        }
        Some((_, None)) => "the catalog was changed".to_owned(),
    };
    said.insert(0, source);
    if let Some(kept) = kept {
        said.push(format!(
            "the catalog that was there is kept as {}",
            kept.display()
        ));
    }
    Ok(said)
}

fn remedied_loss(gives_up: &[String], said: &mut Vec<String>) -> bool {
    said.extend(gives_up.iter().map(|lost| format!("accepted: {lost}")));
    !gives_up.is_empty()
}

fn write(facts: &Facts, plan: &Plan, new: &Path) -> Result<(), Error> {
    let doing = || format!("writing the new catalog {}", new.display());
    if let Some((book, _)) = facts.base() {
        book.catalog.copy_to(new).doing(doing)?;
    }
    let catalog = Catalog::open(new).doing(doing)?;
    for intent in &plan.abandon {
        catalog.abandon(intent, &[]).doing(doing)?;
    }
    catalog.apply(&plan.changes).doing(doing)?;
    for pool in catalog.pools().doing(doing)? {
        if let Some(highest) = plan.reserve {
            catalog.reserve_dev_ids(pool.uuid, highest).doing(doing)?;
        }
    }
    Ok(())
}
