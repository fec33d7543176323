//! `dm_dev_partition.sh`: cuts a disk into a data device and a metadata device for a pool.
//!
//! The original's helper, with its lines and its figures: it says what it would do, and does it when told to
//! `--write-to-disk`. The figures are computed on the whole disk, so both partitions and the partition table
//! cannot have all of it: the metadata gets at least its figure, and the data what is left (at most 4 MiB less).
//! Order of writing: the first block of the metadata is made zero and durable, then the table is written.

mod carried;
mod disk;
mod layout;
mod machine;
mod nodes;

use crate::failure::Failure;
use carried::Carried;
use clap::Parser;
use convoy_units::ByteRange;
use disk::Disk;
use layout::{Figures, Layout};
pub(crate) use machine::Host;
use machine::Machine;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What is said when nothing is asked, as the original did.
const USAGE: &str = "Usage: dm_dev_partition.sh [--write-to-disk] [-m|--max-thins 10000] DEV";

/// Cut a disk into a data device and a metadata device for a pool.
///
/// Without --write-to-disk it prints the sizes and writes nothing. A disk with partitions, with a filesystem or any other
/// signature, or in use, is refused.
#[derive(Debug, Parser)]
#[command(
    name = "dm_dev_partition.sh",
    disable_version_flag = true,
    term_width = 100,
    after_help = "Exit status: 0 for success, 1 for anything else."
)]
pub(crate) struct Arguments {
    /// Write the partition table; without it nothing is written
    #[arg(long)]
    write_to_disk: bool,

    /// How many volumes and snapshots the metadata shall have room for
    #[arg(
        long, short, value_name = "N", default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1..=0x00ff_ffff)
    )]
    max_thins: u64,

    /// The disk
    #[arg(value_name = "DEV")]
    device: Option<PathBuf>,
}

/// Does it, with what the machine offers.
pub(crate) fn run(
    arguments: &Arguments,
    machine: &impl Machine,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<(), Failure> {
    let Some(device) = &arguments.device else {
        return Ok(writeln!(out, "{USAGE}")?);
    };
    let disk = machine.disk(device)?;
    let figures = Figures::of(disk.size, arguments.max_thins);
    announce(out, &disk, figures)?;
    let layout = Layout::of(disk.size, figures)?;
    if !disk.partitionable {
        return Err(no_partitions(&disk.path));
    }
    require_blank(machine, &disk, layout)?;
    if !arguments.write_to_disk {
        // Nobody at stderr changes nothing of the answer.
        drop(writeln!(
            err,
            "Nothing was written; --write-to-disk does it"
        ));
        return Ok(());
    }
    let name = disk.path.display();
    writeln!(out, "Start partitioning of {name}\n")?;
    out.flush()?;
    machine.clear(&disk, layout.metadata.begin)?;
    machine.write_table(&disk, &layout.script(disk.sector))?;
    let [data, metadata] = machine.partitions(&disk, layout)?;
    writeln!(out, "Complete the partition of {name}")?;
    writeln!(out, "{}", machine.listing(&disk)?.trim_end())?;
    writeln!(out, "Now you can start Convoy Daemon using: \n")?;
    writeln!(out, "{}", daemon_line(&data, &metadata))?;
    Ok(())
}

fn announce(out: &mut dyn Write, disk: &Disk, figures: Figures) -> Result<(), Failure> {
    let Figures {
        max_thins,
        metadata,
        data,
    } = figures;
    let sectors = data.sectors_floor();
    writeln!(out, "{} size is {} bytes", disk.path.display(), disk.size.0)?;
    writeln!(out, "Maximum volume and snapshot counts is {max_thins}")?;
    writeln!(out, "Metadata Device size would be {} bytes", metadata.0)?;
    writeln!(out, "Data Device size would be {} bytes", data.0)?;
    writeln!(out, "Data Device would be {} sectors", sectors.0)?;
    // The figures are an answer of their own, whatever comes of the rest.
    Ok(out.flush()?)
}

/// Nothing of anybody's is overwritten: neither what the disk carries as a whole, nor what lies where a partition
/// would begin, which a lost table may have left there.
fn require_blank(machine: &impl Machine, disk: &Disk, layout: Layout) -> Result<(), Failure> {
    if disk.partitioned {
        return Err(already_partitioned(&disk.path));
    }
    match machine.carried(disk, None)? {
        None => {}
        Some(Carried::InUse) => return Err(in_use(&disk.path)),
        Some(Carried::Table(_)) => return Err(already_partitioned(&disk.path)),
        Some(Carried::Data(what)) => {
            let message = format!(
                "{} carries {what}, can't start partition",
                disk.path.display()
            );
            return Err(Failure::told(message, Some(&erase(&disk.path, 0))));
        }
    }
    require_blank_range(machine, disk, "data", layout.data)?;
    require_blank_range(machine, disk, "metadata", layout.metadata)
}

fn require_blank_range(
    machine: &impl Machine,
    disk: &Disk,
    part: &str,
    range: ByteRange,
) -> Result<(), Failure> {
    let what = match machine.carried(disk, Some(range))? {
        None => return Ok(()),
        Some(Carried::InUse) => return Err(in_use(&disk.path)),
        Some(Carried::Table(kind)) => format!("a partition table ({kind})"),
        Some(Carried::Data(what)) => what,
    };
    let message = format!(
        "{} carries {what} at byte {}, where the {part} would begin, can't start partition",
        disk.path.display(),
        range.begin
    );
    Err(Failure::told(
        message,
        Some(&erase(&disk.path, range.begin)),
    ))
}

fn already_partitioned(path: &Path) -> Failure {
    let message = format!(
        "{} already partitioned, can't start partition",
        path.display()
    );
    Failure::told(message, Some(&erase(path, 0)))
}

fn no_partitions(path: &Path) -> Failure {
    let message = format!(
        "the kernel shows no partitions on {}, can't start partition",
        path.display()
    );
    let hint = "a loop device shows them when attached with losetup --partscan; give two volumes of LVM to the daemon as they are";
    Failure::told(message, Some(hint))
}

fn in_use(path: &Path) -> Failure {
    let message = format!(
        "{} is in use: it is mounted, or another device is made of it, can't start partition",
        path.display()
    );
    Failure::told(message, Some("give another disk"))
}

fn erase(path: &Path, at: u64) -> String {
    let (path, first) = (path.display(), at >> 20);
    if first == 0 {
        format!(
            "give another disk; if nothing on this one is needed, erase it first: wipefs --all {path} && dd if=/dev/zero of={path} bs=4096 count=1 conv=fsync"
        )
    } else {
        format!(
            "give another disk; if nothing on this one is needed, erase that place first: dd if=/dev/zero of={path} bs=1M seek={first} count=4 conv=fsync"
        )
    }
}

fn daemon_line(data: &Path, metadata: &Path) -> String {
    format!(
        "sudo convoy daemon --drivers devicemapper --driver-opts dm.datadev={} --driver-opts dm.metadatadev={}",
        data.display(),
        metadata.display()
    )
}

#[cfg(test)]
mod tests;
