//! The example does what it says: files go in and come out, on a directory.

#[path = "../examples/repository_tour.rs"]
#[allow(dead_code, reason = "its main is not run here")]
mod tour;

use std::fs;

#[test]
fn files_go_in_and_come_out() {
    let folder = tempfile::tempdir().unwrap();
    let destination = folder.path().join("destination");
    fs::create_dir(&destination).unwrap();
    let destination = destination.to_str().unwrap();
    let file = folder.path().join("file");
    let mut content: Vec<u8> = (0..3_000_000u32)
        .map(|n| n.to_le_bytes()[(n % 3) as usize])
        .collect();
    content[600_000..1_400_000].fill(0);
    fs::write(&file, &content).unwrap();

    let first = tour::save(&tour::open_or_create(destination).unwrap(), &file).unwrap();
    content[2_999_999] ^= 1;
    fs::write(&file, &content).unwrap();
    let second = tour::save(&tour::open_or_create(destination).unwrap(), &file).unwrap();
    assert_eq!(second.figures.new.0, 256 << 10, "one chunk changed");

    let repository = tour::open(destination).unwrap();
    assert_eq!(repository.backups(), [first.clone(), second.clone()]);
    let back = folder.path().join("back");
    tour::restore(&repository, &second, &back).unwrap();
    assert!(fs::read(&back).unwrap() == content);
    content[2_999_999] ^= 1;
    fs::remove_file(&back).unwrap();
    tour::restore(&repository, &first, &back).unwrap();
    assert!(fs::read(&back).unwrap() == content);
}
