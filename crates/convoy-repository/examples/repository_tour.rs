//! A tour of the repository as a library: a file in, a file out, no root and no kernel.
//!
//! ```text
//! cargo run -p convoy-repository --example repository_tour -- save FILE DIRECTORY
//! cargo run -p convoy-repository --example repository_tour -- list DIRECTORY
//! cargo run -p convoy-repository --example repository_tour -- restore DIRECTORY BACKUP FILE
//! ```

#![expect(clippy::print_stdout, reason = "an example answers on stdout")]

use convoy_objectstore::{Location, ObjectStore};
use convoy_repository::{
    BackupFacts, BackupFigures, BackupRecord, BlobKind, CreateOptions, OpenOptions, PoolFacts,
    Repository, SnapshotFacts, TreeEditor, Visit, VolumeRecord, Wanted, chunks_of, walk,
};
use convoy_units::Bytes;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["save", file, directory] => {
            let backup = save(&open_or_create(directory)?, Path::new(file))?;
            println!(
                "{}: {} of {}, {} sent",
                backup.name, backup.figures.new, backup.volume_size, backup.figures.stored
            );
        }
        ["list", directory] => {
            for backup in open(directory)?.backups() {
                println!(
                    "{} {} {} {}",
                    backup.name, backup.created, backup.volume_size, backup.volume.name
                );
            }
        }
        ["restore", directory, name, file] => {
            let repository = open(directory)?;
            restore(
                &repository,
                &repository.backup_by_name(name)?,
                Path::new(file),
            )?;
            println!("{name} is restored to {file}");
        }
        _ => {
            return Err(
                "usage: save FILE DIRECTORY | list DIRECTORY | restore DIRECTORY BACKUP FILE"
                    .into(),
            );
        }
    }
    Ok(())
}

/// The store in a directory that exists.
fn store(directory: &str) -> Result<Arc<dyn ObjectStore>> {
    let path = std::path::absolute(directory)?;
    let location: Location = format!("vfs://{}", path.display()).parse()?;
    Ok(convoy_objectstore::open(
        &location,
        &convoy_objectstore::S3Options::default(),
    )?)
}

/// Opens a repository that is there.
pub(crate) fn open(directory: &str) -> Result<Repository> {
    Ok(Repository::open(
        store(directory)?,
        &OpenOptions::default(),
    )?)
}

/// Opens a repository, or makes one in an empty directory.
pub(crate) fn open_or_create(directory: &str) -> Result<Repository> {
    match Repository::open(store(directory)?, &OpenOptions::default()) {
        Err(convoy_repository::Error::NoRepository) => Ok(Repository::create(
            store(directory)?,
            &CreateOptions::default(),
        )?),
        opened => Ok(opened?),
    }
}

/// Backs a file up: chunks that the repository has are not sent again.
pub(crate) fn save(repository: &Repository, path: &Path) -> Result<BackupRecord> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let facts = facts(path, size);
    repository.ensure_volume(facts.volume.id, &facts.volume.name, None)?;

    // A session is one run of one writer. Nothing of it is visible before its commit.
    let session = repository.begin(None)?;
    let mut sealer = repository.sealer()?;
    let mut figures = BackupFigures::default();
    let mut nodes = &session;
    let chunk_size = repository.chunk_size().0;
    let mut tree = TreeEditor::new(&mut nodes, None, 1, chunks_of(size, chunk_size))?;
    for number in 0..chunks_of(size, chunk_size) {
        // The last chunk is filled up with zeros.
        let mut chunk = Vec::new();
        file.by_ref().take(chunk_size).read_to_end(&mut chunk)?;
        chunk.resize(usize::try_from(chunk_size)?, 0);
        if chunk.iter().all(|byte| *byte == 0) {
            continue; // a hole
        }
        let id = repository.blob_id(BlobKind::Chunk, &chunk);
        if !session.reuse(&id)? {
            let added = session.add(&sealer.seal(BlobKind::Chunk, id, &chunk)?)?;
            added.full.map_or(Ok(()), |pack| session.upload(&pack))?;
            figures.new.0 += chunk_size;
        }
        tree.set(number, id)?;
    }
    let root = tree.finish()?;
    session
        .finish_chunks()?
        .map_or(Ok(()), |pack| session.upload(&pack))?;
    figures.read = Bytes(size);
    Ok(session.commit(&facts, root, figures)?)
}

/// Writes a backup to a new file; holes stay holes.
pub(crate) fn restore(repository: &Repository, backup: &BackupRecord, path: &Path) -> Result<()> {
    let file = File::create_new(path)?;
    file.set_len(backup.volume_size.0)?;
    let chunk_size = repository.chunk_size().0;
    let chunks = chunks_of(backup.volume_size.0, chunk_size);
    walk(
        &|id| repository.read_node(id),
        &backup.root,
        chunks,
        &mut |visit| match visit {
            Visit::Broken(.., error) => Err(Box::<dyn Error>::from(error)),
            Visit::Leaf(first, ids) => {
                let wanted: Vec<Wanted> = (first..)
                    .zip(ids)
                    .filter_map(|(tag, id)| id.map(|id| Wanted { tag, id }))
                    .collect();
                let mut result = Ok(());
                repository.read_chunks(&wanted, &mut |number, chunk| {
                    result = chunk.map_err(Box::<dyn Error>::from).and_then(|chunk| {
                        let offset = number * chunk_size;
                        let inside =
                            usize::try_from((backup.volume_size.0 - offset).min(chunk_size))?;
                        Ok(file.write_all_at(chunk.get(..inside).unwrap_or(chunk), offset)?)
                    });
                    result.is_ok()
                })?;
                result
            }
        },
    )?;
    Ok(file.sync_all()?)
}

/// A file has no pool, so most facts are empty. The volume's identity is made from the path.
fn facts(path: &Path, size: u64) -> BackupFacts {
    let now = jiff::Timestamp::now();
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut id = [0; 16];
    for (at, byte) in path.as_os_str().as_encoded_bytes().iter().enumerate() {
        if let Some(place) = id.get_mut(at % 16) {
            *place = byte.wrapping_add(u8::rotate_left(*place, 3));
        }
    }
    BackupFacts {
        op: Uuid::new_v4(),
        volume: VolumeRecord {
            id: Uuid::from_bytes(id),
            name,
        },
        volume_size: Bytes(size),
        volume_created: now,
        snapshot: SnapshotFacts {
            id: Uuid::new_v4(),
            name: "file".to_owned(),
            created: now,
        },
        filesystem: String::new(),
        driver: "file".to_owned(),
        host: Uuid::nil(),
        pool: PoolFacts {
            id: Uuid::nil(),
            dev_id: 0,
            transaction: 0,
            block_size: Bytes(0),
        },
        labels: BTreeMap::new(),
    }
}
