//! No partial answer can be taken for whole: its end and exit status 0 come after the last check, or not at all.

use crate::world::{FIXTURE, answer, folder, ours, write};
use convoy_testkit::thin::{BlockType, Image, ImageOptions, PoolModel};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Every form of answer, and what its end holds and nothing before it does.
const ANSWERS: &[(&str, &str)] = &[
    ("thin_delta --snap1 1 --snap2 2 @", "</superblock>"),
    (
        "thin_delta --snap1 1 --snap2 2 --verbose @",
        "</superblock>",
    ),
    ("thin_delta --snap1 1 --snap2 2 --output ranges @", "end"),
    ("thin_delta --snap1 1 --snap2 2 --output json @", "\"end\""),
    ("thin_dump @", "</superblock>"),
    ("thin_dump -f json @", "\"end\""),
    ("thin_dump -f human_readable @", "end superblock"),
    ("thin_ls -o DEV,EXCLUSIVE @", "DEV"),
];

/// Two devices with so many runs that no answer fits a buffer: each block of the second is elsewhere, but some.
fn pool() -> PoolModel {
    let mut pool = PoolModel::new(200_000, 252);
    pool.create_thin(1);
    for block in (0..16_000).step_by(2) {
        pool.write(1, block);
    }
    pool.create_snap(2, 1);
    for block in (0..16_000).step_by(4) {
        pool.write(2, block);
    }
    pool
}

/// Either refuses, and then without the end of an answer.
#[track_caller]
fn refuses(line: &str, end: &str, image: &Path) {
    let ran = ours(line, image);
    assert_eq!(ran.status, 1, "{line}");
    assert!(!ran.stdout.contains(end), "{line}: {}", ran.stdout);
    assert!(!ran.stderr.is_empty(), "{line}");
}

#[track_caller]
fn damaged(damage: impl FnOnce(&PoolModel, &mut Image)) {
    let (pool, folder) = (pool(), folder());
    let mut image = pool.image(ImageOptions::fitting(&pool));
    damage(&pool, &mut image);
    let path = folder.path().join("metadata");
    std::fs::write(&path, &image.bytes).unwrap();
    for (line, end) in ANSWERS {
        refuses(line, end, &path);
    }
    refuses("thin_check @", "never", &path);
}

/// The last leaf that device 2 has: all before it is printed by then.
fn last_leaf(pool: &PoolModel, image: &Image) -> u64 {
    let levels = pool.levels(2);
    let leaves = levels.last().unwrap();
    let low = |block: &&u64| image.peek_u64(**block, Image::key_offset(0));
    *leaves.iter().max_by_key(low).unwrap()
}

#[test]
fn the_answers_are_answers() {
    let (pool, folder) = (pool(), folder());
    let image = write(folder.path(), &pool, ImageOptions::fitting(&pool));
    for (line, end) in ANSWERS {
        let text = answer(line, &image);
        assert_eq!(text.matches(end).count(), 1, "{line}");
        assert!(
            line.contains("thin_ls") || text.len() > 1 << 16,
            "{line}: {}",
            text.len()
        );
    }
}

#[test]
fn damage_in_the_last_leaf() {
    damaged(|pool, image| image.flip_bit(last_leaf(pool, image), 9000));
}

/// The defects that 0.9.0 and 1.x answer with exit status 0 and a wrong difference.
#[test]
fn a_tree_that_points_at_itself_or_twice_at_one_leaf_or_beyond_the_device() {
    let root = |pool: &PoolModel| pool.device(2).root();
    damaged(|pool, image| image.point(root(pool), 1, root(pool)));
    damaged(|pool, image| {
        let first = image.peek_u64(root(pool), image.value_offset(root(pool), 0));
        image.point(root(pool), 1, first);
    });
    damaged(|pool, image| image.point(root(pool), 1, 4_000_000));
}

#[test]
fn a_mapping_too_few() {
    damaged(|pool, image| {
        let leaf = last_leaf(pool, image);
        let entries = image.peek_u32(leaf, 16);
        image.poke_u32(leaf, BlockType::Node, 16, entries - 1);
    });
}

/// Each block of a small image in turn: the answer is refused, or it is the right one.
#[test]
fn any_damaged_block_leaves_the_answer_right_or_unfinished() {
    let folder = folder();
    let path = folder.path().join("metadata");
    let blocks = std::fs::copy(FIXTURE, &path).unwrap() / 4096;
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let flip = |block: u64| {
        let (mut byte, offset) = ([0], block * 4096 + 100);
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
    };
    let mut refused = 0;
    for (line, end) in ANSWERS {
        let right = answer(line, Path::new(FIXTURE));
        for block in 0..blocks {
            flip(block);
            let ran = ours(line, &path);
            if ran.status == 0 {
                assert_eq!(ran.stdout, right, "{line}, block {block}");
            } else {
                assert!(!ran.stdout.contains(end), "{line}, block {block}");
                assert_eq!(ours("thin_check -q @", &path).status, 1, "block {block}");
                refused += 1;
            }
            flip(block);
        }
    }
    // Superblock, device tree, details and the leaves of three devices at the least.
    assert!(refused >= ANSWERS.len() * 4, "{refused}");
}

/// Takes so many bytes and no more.
struct Limited {
    room: usize,
    error: io::ErrorKind,
    taken: Vec<u8>,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(self.error.into());
        }
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.taken.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn an_answer_cut_off_anywhere_is_a_failure() {
    for (line, _) in ANSWERS {
        let length = answer(line, Path::new(FIXTURE)).len();
        for error in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe] {
            for room in (0..length).step_by(41).chain([length - 1]) {
                let mut out = Limited {
                    room,
                    error,
                    taken: Vec::new(),
                };
                let mut stderr = Vec::new();
                let words = format!("x {}", line.replace('@', FIXTURE));
                let words = words.split(' ').map(Into::into);
                assert_eq!(
                    convoy_pdata_tools::run(words, &mut out, &mut stderr),
                    1,
                    "{line}, {room}"
                );
                assert_eq!(
                    stderr.is_empty(),
                    error == io::ErrorKind::BrokenPipe,
                    "{line}"
                );
                assert!(out.taken.len() < length);
            }
        }
    }
}

#[test]
fn a_dump_never_goes_where_it_comes_from() {
    let folder = folder();
    let (image, link) = (folder.path().join("image"), folder.path().join("link"));
    std::fs::copy(FIXTURE, &image).unwrap();
    std::fs::hard_link(&image, &link).unwrap();
    for target in [&image, &link] {
        let ran = ours(&format!("thin_dump -o {} @", target.display()), &image);
        assert_eq!(ran.status, 1);
        assert!(
            ran.stderr.contains("it is the metadata being read"),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(
        std::fs::read(&image).unwrap(),
        std::fs::read(FIXTURE).unwrap()
    );
}

#[test]
fn a_dump_that_fails_leaves_a_file_without_its_end() {
    let (pool, folder) = (pool(), folder());
    let mut image = pool.image(ImageOptions::fitting(&pool));
    image.flip_bit(last_leaf(&pool, &image), 9000);
    let path = folder.path().join("metadata");
    std::fs::write(&path, &image.bytes).unwrap();
    let target = folder.path().join("dump");
    let ran = ours(&format!("thin_dump -o {} @", target.display()), &path);
    assert_eq!(ran.status, 1);
    let text = std::fs::read_to_string(&target).unwrap();
    assert!(text.starts_with("<superblock") && !text.contains("</superblock>"));
}
