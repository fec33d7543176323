//! Eight at once, who write files and wait until they are durable.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) const WRITERS: usize = 8;

/// Writers at work.
pub(super) struct Writers {
    threads: Vec<JoinHandle<()>>,
    pub(super) errors: Arc<Mutex<Vec<String>>>,
}

/// Each writes so many MiB to a file below its mount point; the first error of each is kept.
pub(super) fn start(targets: &[PathBuf], mib: usize) -> Writers {
    let errors = Arc::default();
    let threads = targets
        .iter()
        .map(|target| {
            let (path, errors) = (target.join("written"), Arc::clone(&errors));
            std::thread::spawn(move || {
                let chunk = vec![0x5a; 1 << 20];
                let work = || -> std::io::Result<()> {
                    let mut file = File::create(&path)?;
                    for _ in 0..mib {
                        file.write_all(&chunk)?;
                        file.sync_data()?;
                    }
                    Ok(())
                };
                if let Err(error) = work() {
                    let errors: &Mutex<Vec<String>> = &errors;
                    errors.lock().unwrap().push(error.to_string());
                }
            })
        })
        .collect();
    Writers { threads, errors }
}

impl Writers {
    /// Waits until all have come to an end; their errors.
    pub(super) fn end(self) -> Vec<String> {
        for thread in self.threads {
            thread.join().unwrap();
        }
        let errors: &Mutex<Vec<String>> = &self.errors;
        errors.lock().unwrap().clone()
    }
}

/// Looks again and again until it is so.
#[track_caller]
pub(super) fn until(what: &str, patience: Duration, mut is: impl FnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is() {
        assert!(
            begin.elapsed() < patience,
            "{what}: not within {patience:?}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    begin.elapsed()
}
