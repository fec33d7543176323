//! The original's lines, and what is refused, on a machine that is made up.

use super::*;
use convoy_units::Bytes;
use proptest::prelude::*;
use std::cell::RefCell;

/// A machine with one disk; what is done to it is noted.
struct Fake {
    size: u64,
    sector: u64,
    partitioned: bool,
    partitionable: bool,
    /// By where it begins.
    carries: Vec<(Option<u64>, Carried)>,
    done: RefCell<Vec<String>>,
}

impl Fake {
    fn blank(size: u64) -> Self {
        Self {
            size,
            sector: 512,
            partitioned: false,
            partitionable: true,
            carries: Vec::new(),
            done: RefCell::default(),
        }
    }

    fn carrying(at: Option<u64>, what: &str) -> Self {
        Self::with(at, Carried::Data(what.to_owned()))
    }

    fn with(at: Option<u64>, carried: Carried) -> Self {
        Self {
            carries: vec![(at, carried)],
            ..Self::blank(107_374_182_400)
        }
    }

    fn note(&self, line: String) {
        self.done.borrow_mut().push(line);
    }
}

impl Machine for Fake {
    fn disk(&self, path: &Path) -> Result<Disk, Failure> {
        Ok(Disk {
            path: path.to_owned(),
            size: Bytes(self.size),
            sector: self.sector,
            partitioned: self.partitioned,
            partitionable: self.partitionable,
            sysfs: PathBuf::new(),
        })
    }

    fn carried(&self, _: &Disk, range: Option<ByteRange>) -> Result<Option<Carried>, Failure> {
        let at = range.map(|range| range.begin);
        let mut there = self.carries.iter().filter(|(begin, _)| *begin == at);
        Ok(there.next().map(|(_, carried)| carried.clone()))
    }

    fn clear(&self, _: &Disk, at: u64) -> Result<(), Failure> {
        self.note(format!("zeros at {at}"));
        Ok(())
    }

    fn write_table(&self, _: &Disk, script: &str) -> Result<(), Failure> {
        self.note(script.to_owned());
        Ok(())
    }

    fn partitions(&self, disk: &Disk, _: Layout) -> Result<[PathBuf; 2], Failure> {
        let node = |n| PathBuf::from(format!("{}{n}", disk.path.display()));
        Ok([node(1), node(2)])
    }

    fn listing(&self, disk: &Disk) -> Result<String, Failure> {
        Ok(format!("Disk {}: the listing\n", disk.path.display()))
    }
}

/// What is printed, and why it failed.
fn ran(machine: &Fake, line: &str) -> (String, Option<String>) {
    let words = std::iter::once("dm_dev_partition.sh").chain(line.split_whitespace());
    let arguments = Arguments::try_parse_from(words).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let result = run(&arguments, machine, &mut out, &mut err);
    (
        String::from_utf8(out).unwrap(),
        result.err().map(|failure| failure.text()),
    )
}

/// The figures that the original documents.
const FIGURES: &str = "\
/dev/xvdf size is 107374182400 bytes
Maximum volume and snapshot counts is 10000
Metadata Device size would be 42627072 bytes
Data Device size would be 107331555328 bytes
Data Device would be 209631944 sectors
";

#[test]
fn a_dry_run_prints_the_documented_lines_and_does_nothing() {
    let disk = Fake::blank(107_374_182_400);
    assert_eq!(ran(&disk, "/dev/xvdf"), (FIGURES.to_owned(), None));
    assert_eq!(ran(&disk, "-m 10000 /dev/xvdf").0, FIGURES);
    assert_eq!(ran(&disk, "/dev/xvdf --max-thins=10000").0, FIGURES);
    let more = ran(&disk, "-m 100000 /dev/xvdf").0;
    assert!(
        more.contains("counts is 100000\nMetadata Device size would be 411267072 bytes\n"),
        "{more}"
    );
    assert!(disk.done.borrow().is_empty());
}

#[test]
fn no_disk_is_a_question_for_usage() {
    let (said, failure) = ran(&Fake::blank(0), "");
    assert_eq!(failure, None);
    assert!(said.starts_with("Usage: dm_dev_partition.sh [--write-to-disk]"));
}

#[test]
fn what_is_written_ends_with_the_line_for_the_daemon() {
    let disk = Fake::blank(107_374_182_400);
    let (said, failure) = ran(&disk, "--write-to-disk /dev/xvdf");
    assert_eq!(failure, None);
    let written = "\
Start partitioning of /dev/xvdf

Complete the partition of /dev/xvdf
Disk /dev/xvdf: the listing
Now you can start Convoy Daemon using: \n
sudo convoy daemon --drivers devicemapper --driver-opts dm.datadev=/dev/xvdf1 --driver-opts dm.metadatadev=/dev/xvdf2
";
    assert_eq!(said, format!("{FIGURES}{written}"));
    let script = "\
label: gpt
unit: sectors

start=2048, size=209627136, name=\"convoy data\"
start=209629184, size=83968, name=\"convoy metadata\"
";
    let done = disk.done.borrow();
    assert_eq!(*done, ["zeros at 107330142208", script]);
    // The first block of the metadata is zero before anything names it.
    assert_eq!(209_629_184u64 * 512, 107_330_142_208);
}

#[track_caller]
fn refused(disk: &Fake, because: &str) {
    for line in ["/dev/xvdf", "--write-to-disk /dev/xvdf"] {
        let (said, failure) = ran(disk, line);
        assert_eq!(said, FIGURES, "the figures come first");
        let told = failure.unwrap();
        assert!(told.starts_with(because), "{told}");
        assert!(told.contains("\nhint: give another disk"), "{told}");
    }
    assert!(disk.done.borrow().is_empty());
}

#[test]
fn a_disk_that_anybody_may_need_is_refused() {
    let partitioned = "/dev/xvdf already partitioned, can't start partition\n";
    refused(
        &Fake::with(None, Carried::Table("gpt".to_owned())),
        partitioned,
    );
    let known = Fake {
        partitioned: true,
        ..Fake::blank(107_374_182_400)
    };
    refused(&known, partitioned);
    refused(
        &Fake::carrying(None, "a filesystem (ext4)"),
        "/dev/xvdf carries a filesystem (ext4), can't start partition\n",
    );
    refused(
        &Fake::with(None, Carried::InUse),
        "/dev/xvdf is in use: it is mounted, or another device is made of it, can't start",
    );
    // The table was lost, the filesystem that it named was not.
    refused(
        &Fake::carrying(Some(1 << 20), "a filesystem (xfs)"),
        "/dev/xvdf carries a filesystem (xfs) at byte 1048576, where the data would begin, ",
    );
    refused(
        &Fake::carrying(Some(107_330_142_208), "the metadata of a thin pool"),
        "/dev/xvdf carries the metadata of a thin pool at byte 107330142208, where the metadata",
    );
}

#[test]
fn a_disk_that_shows_no_partitions_is_refused_before_it_gets_any() {
    let disk = Fake {
        partitionable: false,
        ..Fake::blank(107_374_182_400)
    };
    let (said, failure) = ran(&disk, "--write-to-disk /dev/xvdf");
    assert_eq!(said, FIGURES);
    assert!(failure.unwrap().contains("losetup --partscan"));
    assert!(disk.done.borrow().is_empty());
}

#[test]
fn a_disk_that_is_too_small_is_refused_with_its_figures() {
    let small = Fake::blank(40 << 20);
    let (said, failure) = ran(&small, "--write-to-disk /dev/xvdf");
    assert!(
        said.ends_with("Data Device would be 1912 sectors\n"),
        "{said}"
    );
    assert!(
        failure
            .unwrap()
            .starts_with("41943040 bytes are too few for 10000")
    );
    let (_, failure) = ran(&small, "--write-to-disk -m 100 /dev/xvdf");
    assert_eq!(failure, None);
    assert!(ran(&Fake::blank(0), "/dev/xvdf").1.is_some());
}

#[test]
fn a_disk_of_large_sectors_is_counted_in_them() {
    let disk = Fake {
        sector: 4096,
        ..Fake::blank(107_374_182_400)
    };
    assert_eq!(ran(&disk, "--write-to-disk /dev/xvdf").1, None);
    let done = disk.done.borrow();
    let script = done.last().unwrap();
    assert!(script.contains("start=256, size=26203392,"), "{script}");
    assert!(script.contains("start=26203648, size=10496,"), "{script}");
}

proptest! {
    /// Whatever the disk: the metadata has its figure, the data nearly its own, nothing overlaps, and both ends
    /// are left to the table.
    #[test]
    fn partitions_are_as_large_as_computed(size in 64u64 << 20..1 << 50, thins in 1u64..0x00ff_ffff) {
        const MIB: u64 = 1 << 20;
        let figures = Figures::of(Bytes(size), thins);
        let Ok(layout) = Layout::of(Bytes(size), figures) else {
            prop_assert!(size < figures.metadata.0 + 6 * MIB);
            return Ok(());
        };
        prop_assert!(layout.metadata.len() >= figures.metadata);
        prop_assert!(layout.data.len().0 + 4 * MIB > figures.data.0);
        prop_assert_eq!(layout.data.begin, MIB);
        prop_assert_eq!(layout.data.end, layout.metadata.begin);
        prop_assert!(layout.metadata.end <= size - MIB);
        for edge in [layout.data.end, layout.metadata.end] {
            prop_assert_eq!(edge % MIB, 0);
        }
    }
}
