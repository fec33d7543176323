//! The doctor's answer: for people, and as an object.

use crate::safe;
use convoy_api::{Diagnosis, Finding, Holds, PoolSeen};
use serde_json::{Value, json};

/// For people: what was looked at, then each finding with what was seen and what to do.
pub(crate) fn diagnosis(diagnosis: &Diagnosis) -> String {
    let mut lines = vec![format!("root {}", safe::line(&diagnosis.root))];
    lines.push(match diagnosis.catalog {
        Some(numbers) => format!("catalog: {}", holds(numbers)),
        None => "catalog: cannot be read".to_owned(),
    });
    for copy in &diagnosis.copies {
        let what = match (copy.holds, &copy.problem) {
            (Some(numbers), _) => holds(numbers),
            (None, problem) => safe::line(problem.as_deref().unwrap_or("cannot be read")),
        };
        lines.push(format!("copy {}: {what}", safe::line(&copy.path)));
    }
    lines.extend(diagnosis.pool.as_ref().map(pool_line));
    if let Some(why) = &diagnosis.read_only {
        let why = safe::line(why);
        lines.push(format!("the daemon only looks and changes nothing: {why}"));
    }
    for finding in &diagnosis.findings {
        finding_lines(finding, &mut lines);
    }
    let done = diagnosis.fixed.iter();
    lines.extend(done.map(|line| format!("done: {}", safe::line(line))));
    let verdict = if diagnosis.well {
        "all is well"
    } else {
        "not well: a daemon would change nothing"
    };
    lines.push(verdict.to_owned());
    lines.join("\n") + "\n"
}

fn holds(holds: Holds) -> String {
    let Holds {
        transaction,
        volumes,
        snapshots,
    } = holds;
    let count = |number: u64, noun: &str| match number {
        1 => format!("1 {noun}"),
        number => format!("{number} {noun}s"),
    };
    format!(
        "transaction {transaction}, {}, {}",
        count(volumes, "volume"),
        count(snapshots, "snapshot")
    )
}

fn pool_line(pool: &PoolSeen) -> String {
    let number = |number: Option<u64>| number.map_or("unknown".to_owned(), |n| n.to_string());
    format!(
        "pool {}: {}, transaction {}, {} thin devices; metadata {}, data {}",
        safe::line(&pool.name),
        if pool.up { "up" } else { "down" },
        number(pool.transaction),
        number(pool.thin_devices),
        safe::line(&pool.metadata),
        safe::line(&pool.data),
    )
}

fn finding_lines(finding: &Finding, lines: &mut Vec<String>) {
    lines.push(String::new());
    lines.push(format!(
        "{} {}: {}",
        safe::line(&finding.gravity),
        safe::line(&finding.code),
        safe::line(&finding.what)
    ));
    let evidence = finding.evidence.iter();
    lines.extend(evidence.map(|seen| format!("  seen: {}", safe::line(seen))));
    lines.push(format!("  cure: {}", safe::line(&finding.cure)));
}

/// As an object.
pub(crate) fn diagnosis_object(diagnosis: &Diagnosis) -> Value {
    let numbers = |holds: &Holds| {
        json!({
            "TransactionID": holds.transaction,
            "Volumes": holds.volumes,
            "Snapshots": holds.snapshots,
        })
    };
    let copies = diagnosis.copies.iter().map(|copy| {
        json!({
            "Path": copy.path,
            "Holds": copy.holds.as_ref().map(numbers),
            "Problem": copy.problem,
        })
    });
    let findings = diagnosis.findings.iter().map(|finding| {
        json!({
            "Code": finding.code,
            "Gravity": finding.gravity,
            "What": finding.what,
            "Evidence": finding.evidence,
            "Cure": finding.cure,
            "Fixable": finding.fixable,
        })
    });
    json!({
        "Root": diagnosis.root,
        "Well": diagnosis.well,
        "ReadOnly": diagnosis.read_only,
        "Catalog": diagnosis.catalog.as_ref().map(numbers),
        "Copies": copies.collect::<Vec<_>>(),
        "Pool": diagnosis.pool.as_ref().map(|pool| json!({
            "Name": pool.name,
            "UUID": pool.uuid,
            "MetadataDevice": pool.metadata,
            "DataDevice": pool.data,
            "Up": pool.up,
            "TransactionID": pool.transaction,
            "ThinDevices": pool.thin_devices,
        })),
        "Findings": findings.collect::<Vec<_>>(),
        "Fixed": diagnosis.fixed,
    })
}

#[cfg(test)]
mod tests;
