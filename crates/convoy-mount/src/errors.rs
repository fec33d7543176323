//! What mounted filesystems have counted of errors.
//!
//! ext4 tells in sysfs (`Documentation/ABI/testing/sysfs-fs-ext4`, `errors_count`) how many errors it met since it
//! was last checked.

use std::fs;
use std::path::Path;

/// The device numbers of mounted ext4 file systems that have met errors since they were last checked. What cannot
/// be read, such as one that is unmounted in this moment, has none.
pub fn ext4_with_errors() -> Vec<(u32, u32)> {
    with_errors(Path::new("/sys/fs/ext4"), Path::new("/sys/class/block"))
}

fn with_errors(filesystems: &Path, devices: &Path) -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir(filesystems) else {
        return Vec::new();
    };
    let met = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let count = fs::read_to_string(entry.path().join("errors_count")).ok()?;
        if count.trim().parse::<u64>().ok()? == 0 {
            return None;
        }
        let number = fs::read_to_string(devices.join(entry.file_name()).join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    met.collect()
}

#[cfg(test)]
mod tests {
    //! As sysfs has it.

    use super::*;

    #[test]
    fn those_with_a_count_are_told_by_number() {
        let sysfs = tempfile::tempdir().unwrap();
        let (filesystems, devices) = (sysfs.path().join("ext4"), sysfs.path().join("block"));
        for (name, count, number) in [
            ("dm-3", "0\n", "253:3\n"),
            ("dm-4", "2\n", "253:4\n"),
            ("sda1", "x", "8:1"),
        ] {
            fs::create_dir_all(filesystems.join(name)).unwrap();
            fs::create_dir_all(devices.join(name)).unwrap();
            fs::write(filesystems.join(name).join("errors_count"), count).unwrap();
            fs::write(devices.join(name).join("dev"), number).unwrap();
        }
        fs::create_dir_all(filesystems.join("features")).unwrap();
        assert_eq!(with_errors(&filesystems, &devices), [(253, 4)]);
        assert_eq!(with_errors(Path::new("/nonexistent"), &devices), []);
    }
}
