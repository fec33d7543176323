//! Tables as kernels print them, hostile paths, and anything at all.

use super::*;
use proptest::prelude::*;
use std::os::unix::ffi::OsStrExt;

#[test]
fn a_table_as_the_kernel_prints_it() {
    let text = b"36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n\
        40 36 253:3 /sub /mnt/with\\040space ro,nodev shared:2 master:3 - xfs /dev/dm-3 rw,noatime\n\
        41 36 0:5 / /proc rw - proc proc\n";
    let table = parse_mountinfo(text).unwrap();
    assert_eq!(table.len(), 3);
    let second = &table[1];
    assert_eq!(
        (second.mount_id, second.parent_id, second.device),
        (40, 36, (253, 3))
    );
    assert_eq!(second.target, Path::new("/mnt/with space"));
    assert_eq!(second.root, Path::new("/sub"));
    assert_eq!(
        (second.fs_type.as_str(), second.source.as_path()),
        ("xfs", Path::new("/dev/dm-3"))
    );
    assert!(second.is_read_only());
    assert_eq!(table[0].options, ["rw", "noatime", "errors=continue"]);
}

#[test]
fn a_bad_line_fails_the_table() {
    for bad in [
        "x",
        "36 35 98:0 / / rw ext4 /dev/root rw",
        "36 35 98 / / rw - ext4 x rw",
    ] {
        assert!(parse_mountinfo(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn the_table_of_this_machine_is_read() {
    let root = mounted_at(Path::new("/")).unwrap();
    assert!(root.is_some_and(|entry| entry.target == Path::new("/")));
    assert_eq!(mounted_at(Path::new("/nonexistent/path")).unwrap(), None);
}

/// As the kernel's `mangle` writes a path.
fn mangle(bytes: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        _ => vec![*byte],
    };
    bytes.iter().flat_map(escape).collect()
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in any::<Vec<u8>>()) {
        drop(parse_mountinfo(&text));
    }

    #[test]
    fn any_path_comes_back(path in prop::collection::vec(1_u8.., 1..60)) {
        let mut line = b"1 2 3:4 / ".to_vec();
        line.extend(mangle(&path));
        line.extend(b" rw - ext4 /dev/x rw\n");
        let table = parse_mountinfo(&line).unwrap();
        prop_assert_eq!(table[0].target.as_os_str().as_bytes(), &path[..]);
    }
}
