//! Backups and destinations as they are listed, shown, named and deleted.

use super::put;
use crate::verbs::{
    SIZE, back_up, name, refusal, restore, restore_request, silent, snapshot, volume,
};
use crate::world::World;
use convoy_engine::CreateVolume;
use convoy_fault::Kind;
use convoy_tests::command::tool as run;
use convoy_tests::disk::digest;
use convoy_tests::examples;
use convoy_tests::mapper;

#[test]
fn backups_are_listed_shown_and_deleted() {
    let (world, engine) = World::opened("listed");
    assert!(
        engine.backups(&world.dest(), None).unwrap().is_empty(),
        "a place never used has none"
    );
    let made = volume(&engine, "v", SIZE);
    put(&made.device, &[16, 17], 1);
    snapshot(&engine, "v", "s1");
    let first = back_up(&engine, "s1", &world.dest());
    put(&made.device, &[17, 18], 2);
    snapshot(&engine, "v", "s2");
    let second = back_up(&engine, "v@s2", &world.dest());
    let url = format!("{}?backup={}&volume=v", world.dest(), second.backup.name);
    assert_eq!(second.backup.url, url);
    let listed: Vec<String> = engine
        .backups(&world.dest(), None)
        .unwrap()
        .into_iter()
        .map(|b| b.url)
        .collect();
    assert_eq!(listed, [first.backup.url.clone(), url.clone()]);
    let shown = engine.backup(&url).unwrap();
    assert_eq!(
        (shown.uuid, shown.snapshot_name.as_str()),
        (second.backup.uuid, "s2")
    );
    assert_eq!(
        (shown.volume, shown.volume_size, shown.base),
        (made.uuid, SIZE, Some(first.backup.uuid))
    );
    assert_eq!(
        refusal(engine.backups(&world.dest(), Some(&name("other")))).0,
        Kind::NotFound
    );
    for wrong in [
        format!("{}?backup=backup-0000000000000000&volume=v", world.dest()),
        format!("{}?backup={}&volume=w", world.dest(), second.backup.name),
    ] {
        let said = [
            refusal(engine.backup(&wrong)),
            refusal(engine.delete_backup(&wrong, &silent())),
            refusal(engine.create_volume(&restore_request("x", &wrong), &silent())),
        ];
        for (kind, words) in said {
            assert_eq!(kind, Kind::NotFound, "{words}");
        }
    }
    for wrong in [
        "",
        "nonsense",
        "vfs://",
        "vfs://relative?backup=b&volume=v",
        "ftp://x?backup=b&volume=v",
    ] {
        let (kind, words) = refusal(engine.backup(wrong));
        assert!(
            matches!(kind, Kind::Invalid | Kind::NotFound | Kind::Unsupported),
            "{wrong}: {kind} {words}"
        );
    }
    // Deleting the base leaves the increment whole.
    engine.delete_backup(&first.backup.url, &silent()).unwrap();
    assert_eq!(refusal(engine.backup(&first.backup.url)).0, Kind::NotFound);
    assert_eq!(
        refusal(engine.delete_backup(&first.backup.url, &silent())).0,
        Kind::NotFound
    );
    assert_eq!(engine.backups(&world.dest(), None).unwrap().len(), 1);
    let report = engine.verify_backup(&url, &silent()).unwrap();
    assert!(
        report.problems.is_empty() && report.chunks > 0,
        "{:?}",
        report.problems
    );
    assert_eq!(
        digest(&restore(&engine, "back", &url).device),
        digest(&made.device)
    );
    engine.stop().unwrap();
}

/// The tour in `crates/convoy-engine/examples`: what a program that embeds the engine looks like.
#[test]
fn the_engines_example_runs() {
    let world = World::new("tour");
    let program = examples().join("engine_tour");
    let (root, backups) = (world.root(), world.path("backups"));
    let said = run(
        program.to_str().unwrap(),
        &[root.to_str().unwrap(), backups.to_str().unwrap()],
    );
    assert!(said.ends_with("written before the snapshot"), "{said}");
    assert!(mapper::devices().is_empty());
}

#[test]
fn a_destination_gets_a_name_and_labels_travel_with_the_backup() {
    let (world, engine) = World::opened("names");
    let labels = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let request = CreateVolume {
        name: Some(name("v")),
        size: Some(SIZE),
        labels: labels(&[("tier", "gold"), ("team", "storage")]),
        ..CreateVolume::default()
    };
    engine.create_volume(&request, &silent()).unwrap();
    snapshot(&engine, "v", "one");
    snapshot(&engine, "v", "two");
    assert_eq!(engine.destinations().unwrap(), []);
    let first = back_up(&engine, "one", &world.dest());
    let known = engine.destinations().unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(
        known[0].name.as_ref().map(ToString::to_string),
        Some("backups".to_owned())
    );
    // The name stands for the URL, and the answer has the URL: it restores without this catalog.
    let second = back_up(&engine, "two", "backups");
    assert!(second.backup.url.starts_with(&world.dest()));
    assert_eq!(second.backup.base, Some(first.backup.uuid));
    assert_eq!(second.backup.labels, request.labels);
    let back = CreateVolume {
        labels: labels(&[("tier", "silver")]),
        ..restore_request("back", &second.backup.url)
    };
    let back = engine.create_volume(&back, &silent()).unwrap().into_inner();
    assert_eq!(
        back.labels,
        labels(&[("tier", "silver"), ("team", "storage")])
    );
    assert_eq!(refusal(engine.backups("nowhere", None)).0, Kind::NotFound);
    engine.stop().unwrap();
}
