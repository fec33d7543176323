//! Is the destination honest: does create-if-absent hold, and do listings show what is there?

use crate::{Deletion, Error, ErrorKind, Key, ObjectStore, Put, PutMode};

/// What a destination was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The second creation of a key answered `Exists` and left the first's bytes. Without it the
    /// destination can have one writer only.
    pub create_if_absent: bool,
    /// A listing showed the object just created. Without it nothing may be collected.
    pub listing: bool,
    /// We may delete. Without it this is an append-only destination, which is fine for backups.
    pub deletion: bool,
}

/// Creates a small object under `probe/` twice, reads, lists and deletes it.
///
/// Where deleting is not allowed the object stays; nothing reads it again. Errors are those of the
/// requests, except that a delete that is not permitted is an answer.
pub fn probe(store: &dyn ObjectStore) -> Result<Capabilities, Error> {
    let key = fresh_key()?;
    let first = store.put(&key, b"first", PutMode::Create)?;
    let second = store.put(&key, b"second", PutMode::Create)?;
    let kept = store.get(&key)? == b"first";
    let page = store.list("probe/", None, 1000)?;
    // Leftovers of other probes may fill the page: only a page that should show it is judged.
    let listed = page.entries.iter().any(|entry| entry.key == key);
    let beyond = page.more && page.entries.last().is_some_and(|last| last.key < key);
    let deletion = match store.delete(&key) {
        Ok(Deletion::Deleted) => true,
        Ok(Deletion::Absent) => false,
        Err(error) if error.kind == ErrorKind::Auth => false,
        Err(error) => return Err(error),
    };
    Ok(Capabilities {
        create_if_absent: first == Put::Stored && second == Put::Exists && kept,
        listing: listed || beyond,
        deletion,
    })
}

fn fresh_key() -> Result<Key, Error> {
    let name = random_name().map_err(|error| {
        Error::with_text(ErrorKind::Permanent, "cannot make a random name".to_owned())
            .because(error.to_string())
    })?;
    Ok(Key::new(format!("probe/{name}")).expect("hexadecimal digits make a key"))
}

/// 32 hexadecimal digits that nobody else has.
pub(crate) fn random_name() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    //! An honest store, and stores that lie in one way each.

    use super::*;
    use crate::{Fault, FaultStore, MemoryStore, Rule, Verb};

    fn judge(fault: Option<(Verb, u64, Fault)>) -> Capabilities {
        let store = FaultStore::new(MemoryStore::new());
        if let Some((verb, nth, fault)) = fault {
            store.inject(Rule {
                verb: Some(verb),
                nth,
                ..Rule::on_any(fault)
            });
        }
        probe(&store).unwrap()
    }

    #[test]
    fn honest_and_lying_stores_are_told_apart() {
        let honest = Capabilities {
            create_if_absent: true,
            listing: true,
            deletion: true,
        };
        assert_eq!(judge(None), honest);
        assert!(!judge(Some((Verb::Put, 2, Fault::Overwrites))).create_if_absent);
        assert!(!judge(Some((Verb::List, 1, Fault::EmptyList))).listing);
        assert!(!judge(Some((Verb::Delete, 1, Fault::Before(ErrorKind::Auth)))).deletion);
    }
}
