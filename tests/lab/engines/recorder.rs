//! Between an engine and the plugin: passes everything on, and remembers it.

use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What went over the socket, call by call, in the order of the answers.
#[derive(Clone, Default)]
pub(super) struct Recorder {
    calls: Arc<Mutex<Vec<Value>>>,
    stopped: Arc<AtomicBool>,
}

impl Recorder {
    /// Stands at `front` for the plugin at `back`, for as long as the process lives. A plugin that is away for a
    /// moment is waited for, as its engine would.
    pub(super) fn start(front: &Path, back: PathBuf) -> Self {
        std::fs::create_dir_all(front.parent().unwrap()).unwrap();
        std::fs::remove_file(front).ok();
        let listener = UnixListener::bind(front).unwrap();
        let recorder = Self::default();
        let own = recorder.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (recorder, back) = (own.clone(), back.clone());
                std::thread::spawn(move || recorder.pass(stream, &back));
            }
        });
        recorder
    }

    fn pass(&self, mut engine: UnixStream, back: &Path) {
        while let Some(request) = message(&mut engine) {
            let Some(answer) = ask(back, &request) else {
                return;
            };
            let text = String::from_utf8_lossy(&answer).into_owned();
            let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
            let status: u64 = head.split(' ').nth(1).unwrap_or("0").parse().unwrap_or(0);
            let call = json!({
                "Request": String::from_utf8_lossy(&request),
                "Status": status,
                "Answer": serde_json::from_str::<Value>(body).unwrap_or_default(),
            });
            if !self.stopped.load(Ordering::SeqCst) {
                self.calls.lock().unwrap().push(call);
            }
            if engine.write_all(&answer).is_err() {
                return;
            }
        }
    }

    /// Remembers what was done beside the engine, which its next calls are about: `create NAME` or `undelete NAME`.
    pub(super) fn aside(&self, what: &str) {
        self.calls.lock().unwrap().push(json!({ "Aside": what }));
    }

    /// From now on passes everything on and remembers nothing: calls side by side have no order to keep.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// The calls so far: `Mount v1`, in order.
    pub(super) fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        let requests = calls.iter().filter_map(|call| call["Request"].as_str());
        requests.map(shown).collect()
    }

    /// Prints the recording, to be kept as a fixture, and what has no place in one is told first.
    pub(super) fn print(&self, engine: &str) {
        println!("TRAFFIC # {engine}");
        for call in self.calls.lock().unwrap().iter() {
            println!("TRAFFIC {call}");
        }
    }
}

fn shown(request: &str) -> String {
    let verb = request.split(' ').nth(1).unwrap_or_default();
    let verb = verb.rsplit('.').next().unwrap_or_default();
    let body = request.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let name = body["Name"].as_str().unwrap_or_default();
    format!("{verb} {name}").trim_end().to_owned()
}

/// Asks the plugin on a connection of our own, again while nobody is there.
fn ask(back: &Path, request: &[u8]) -> Option<Vec<u8>> {
    for _ in 0..300 {
        if let Ok(mut plugin) = UnixStream::connect(back)
            && plugin.write_all(request).is_ok()
            && let Some(answer) = message(&mut plugin)
        {
            return Some(answer);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    None
}

/// One message, with its body: of a length that is told, or in chunks.
fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        all.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&all).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    if let Some(length) = length {
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        all.extend(body);
    } else if head.contains("transfer-encoding: chunked") {
        while !all.ends_with(b"\r\n0\r\n\r\n") {
            if stream.read(&mut byte).ok()? == 0 {
                return None;
            }
            all.push(byte[0]);
        }
    }
    Some(all)
}
