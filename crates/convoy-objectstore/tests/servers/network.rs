//! A network that breaks, and what must come of it: each fault, in each phase, of each verb.
//!
//! A proxy of our own stands between store and server. It takes one request after another, and does to the marked
//! ones what the table says. The table is printed with `--nocapture`.

use crate::bucket::{Bucket, hasty, key, words};
use convoy_objectstore::{Error, ErrorKind, Key, ObjectStore, Put, PutMode};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// The connection ends before the server hears of it.
    CutBefore,
    /// The server does it, and the connection ends without an answer.
    CutAfter,
    /// Nobody answers, and the server never hears of it.
    HangBefore,
    /// The server does it, and nobody says so.
    HangAfter,
    /// The answer ends in the midst.
    Truncated,
    /// The answer comes a byte at a time, too slowly.
    Trickle,
    /// `503 SlowDown` instead.
    SlowDown,
    /// The server does it, and `500` comes.
    FailedAfter,
    /// `400 ExpiredToken` instead.
    Expired,
    /// `307` to another host.
    Elsewhere,
    /// Another length than the body has: more is announced than comes.
    WrongLength,
}

const HARMS: [Harm; 11] = [
    Harm::CutBefore,
    Harm::CutAfter,
    Harm::HangBefore,
    Harm::HangAfter,
    Harm::Truncated,
    Harm::Trickle,
    Harm::SlowDown,
    Harm::FailedAfter,
    Harm::Expired,
    Harm::Elsewhere,
    Harm::WrongLength,
];

/// Requests through here can be harmed.
struct Network {
    port: u16,
    next: Arc<Mutex<Option<Harm>>>,
    over: Arc<AtomicBool>,
}

impl Network {
    fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let next: Arc<Mutex<Option<Harm>>> = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let (harm, end) = (Arc::clone(&next), Arc::clone(&over));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if end.load(Ordering::Relaxed) {
                    return;
                }
                let harm = Arc::clone(&harm);
                // Whatever breaks here is what the test is about.
                std::thread::spawn(move || carry(client, server, &harm).ok());
            }
        });
        Self { port, next, over }
    }

    fn harm(&self, harm: Harm) {
        *self.next.lock().expect("no thread panics with it") = Some(harm);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

/// One request on a connection of its own; then the connection ends, so that each has its own.
fn carry(mut client: TcpStream, server: u16, next: &Mutex<Option<Harm>>) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(20)))?;
    let request = message(&mut client, true)?;
    let harm = next.lock().expect("no thread panics with it").take();
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut server = TcpStream::connect(("127.0.0.1", server))?;
        server.set_read_timeout(Some(Duration::from_secs(20)))?;
        server.write_all(&request)?;
        message(&mut server, !request.starts_with(b"HEAD"))
    };
    let instead = |status: &str, code: &str| {
        let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
        let head =
            format!("HTTP/1.1 {status}\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\n");
        format!("{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let answer = match harm {
        None | Some(Harm::Trickle | Harm::Truncated | Harm::WrongLength) => closing(&ask()?),
        Some(Harm::CutBefore) => return client.shutdown(Shutdown::Both),
        Some(Harm::CutAfter) => {
            ask()?;
            return client.shutdown(Shutdown::Both);
        }
        Some(Harm::HangBefore) => {
            std::thread::sleep(Duration::from_secs(8));
            return Ok(());
        }
        Some(Harm::HangAfter) => {
            ask()?;
            std::thread::sleep(Duration::from_secs(8));
            return Ok(());
        }
        Some(Harm::SlowDown) => instead("503 Slow Down", "SlowDown"),
        Some(Harm::FailedAfter) => {
            ask()?;
            instead("500 Internal Server Error", "InternalError")
        }
        Some(Harm::Expired) => instead("400 Bad Request", "ExpiredToken"),
        Some(Harm::Elsewhere) => instead("307 Temporary Redirect", "TemporaryRedirect"),
    };
    match harm {
        Some(Harm::Trickle) => {
            for byte in answer {
                client.write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Some(Harm::Truncated) => client.write_all(&answer[..answer.len() / 2])?,
        Some(Harm::WrongLength) => {
            let text = String::from_utf8_lossy(&answer).into_owned();
            let longer = text.replacen("ontent-length: ", "ontent-length: 1", 1);
            let longer = longer.replacen("ontent-Length: ", "ontent-Length: 1", 1);
            client.write_all(longer.as_bytes())?;
        }
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Both)
}

/// The answer, saying that the connection ends with it.
fn closing(answer: &[u8]) -> Vec<u8> {
    let end = answer
        .windows(2)
        .position(|two| two == b"\r\n")
        .unwrap_or(0)
        + 2;
    let mut closing = answer[..end].to_vec();
    closing.extend_from_slice(b"connection: close\r\n");
    closing.extend_from_slice(&answer[end..]);
    closing
}

/// A whole message: its head, and as much body as that announces.
fn message(from: &mut TcpStream, with_body: bool) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
            let value = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.map(|value| value.trim().to_owned())
            };
            let length = value("content-length:").and_then(|value| value.parse::<usize>().ok());
            let chunked = value("transfer-encoding:").is_some_and(|value| value == "chunked");
            let whole = match length {
                _ if !with_body => true,
                _ if chunked => bytes.ends_with(b"0\r\n\r\n"),
                length => bytes.len() >= head + 4 + length.unwrap_or(0),
            };
            if whole {
                return Ok(bytes);
            }
        }
        match from.read(&mut part)? {
            0 => return Ok(bytes),
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
}

const VERBS: [&str; 6] = ["create", "overwrite", "get", "range", "list", "delete"];
const OLD: &[u8] = b"what was there before";
const NEW: &[u8] = b"what is put now, which is longer than it";

fn ask(store: &dyn ObjectStore, verb: &str, fresh: &Key, old: &Key) -> Result<Vec<u8>, Error> {
    match verb {
        "create" => store.put(fresh, NEW, PutMode::Create).map(|_| Vec::new()),
        "overwrite" => store.put(old, NEW, PutMode::Overwrite).map(|_| Vec::new()),
        "get" => store.get(old),
        "range" => store.get_range(old, 5..12),
        "list" => store.list(old.as_str(), None, 10).map(|page| {
            let names = page.entries.iter().map(|entry| entry.key.as_str());
            names.collect::<String>().into_bytes()
        }),
        _ => store.delete(old).map(|_| Vec::new()),
    }
}

/// What a harmed request may be told to be. `None`: the harm does not touch it, and it is answered well.
fn allowed(harm: Harm, verb: &str) -> &'static [Option<ErrorKind>] {
    use ErrorKind::{Permanent, Throttled, Transient, Unclear};
    let changes = matches!(verb, "create" | "overwrite" | "delete");
    match harm {
        Harm::SlowDown => &[Some(Throttled)],
        Harm::Expired => &[Some(Transient)],
        Harm::Elsewhere => &[Some(Permanent)],
        // An answer without a body may come before the harm does.
        Harm::Truncated | Harm::Trickle | Harm::WrongLength if changes => &[Some(Unclear), None],
        // There is no length in an answer that comes in parts, as some servers' listings do.
        Harm::WrongLength if verb == "list" => &[Some(Transient), None],
        _ if changes => &[Some(Unclear)],
        _ => &[Some(Transient)],
    }
}

pub(crate) fn every_fault_in_every_phase(server: &Bucket) {
    let network = Network::before(server.port);
    let harmed = hasty(server, network.port, "net/");
    let straight = hasty(server, server.port, "net/");
    for harm in HARMS {
        for verb in VERBS {
            let fresh = key(&format!("fresh/{verb}/{harm:?}").to_lowercase());
            let old = key(&format!("old/{verb}/{harm:?}").to_lowercase());
            straight
                .put(&old, OLD, PutMode::Create)
                .expect("the way is straight");
            network.harm(harm);
            let begin = Instant::now();
            let outcome = ask(&harmed, verb, &fresh, &old);
            let took = begin.elapsed();
            let at = format!("{harm:?} at {verb}: {outcome:?}");
            println!(
                "| {harm:?} | {verb} | {:?} | {took:.1?} |",
                outcome.as_ref().err().map(|error| error.kind)
            );
            assert!(took < Duration::from_secs(7), "{at} took {took:?}");
            let kind = outcome.as_ref().err().map(|error| error.kind);
            assert!(allowed(harm, verb).contains(&kind), "{at}");
            if let Ok(answer) = &outcome
                && !matches!(verb, "create" | "overwrite" | "delete")
            {
                let good = ask(&straight, verb, &fresh, &old).expect("the way is straight");
                assert_eq!(*answer, good, "{at}");
            }
            if let Err(error) = &outcome {
                let words = words(error);
                let object = if verb == "create" { &fresh } else { &old };
                assert!(words.contains("s3://bucket@us-east-1/net/"), "{words}");
                assert!(words.contains(object.as_str()), "{words}");
                assert!(!words.contains(&server.keys.secret), "{words}");
            }
            *network.next.lock().expect("no thread panics with it") = None;
            settled(&harmed, verb, harm, &fresh, &old);
        }
    }
}

/// Whatever was told: the same request again succeeds, and the bytes are the old or the new ones.
fn settled(store: &dyn ObjectStore, verb: &str, harm: Harm, fresh: &Key, old: &Key) {
    let at = format!("{harm:?} at {verb}");
    let seen = |key: &Key| match store.get(key) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind == ErrorKind::NotFound => None,
        Err(error) => panic!("{at}: {}", words(&error)),
    };
    // Where the server may have heard of it, it may have done it.
    let heard = matches!(
        harm,
        Harm::CutAfter
            | Harm::HangAfter
            | Harm::FailedAfter
            | Harm::Truncated
            | Harm::Trickle
            | Harm::WrongLength
    );
    match verb {
        "create" => {
            assert_eq!(seen(fresh).is_some(), heard, "{at}");
            let again = store
                .put(fresh, NEW, PutMode::Create)
                .expect("the network is well");
            assert_eq!(again, if heard { Put::Exists } else { Put::Stored }, "{at}");
            assert_eq!(seen(fresh).as_deref(), Some(NEW), "{at}");
        }
        "overwrite" => {
            assert_eq!(
                seen(old).as_deref(),
                Some(if heard { NEW } else { OLD }),
                "{at}"
            );
        }
        "delete" => {
            assert_eq!(seen(old).is_none(), heard, "{at}");
            store.delete(old).expect("the network is well");
            assert_eq!(seen(old), None, "{at}");
        }
        _ => {
            let answer = ask(store, verb, fresh, old).expect("the network is well");
            let expected = match verb {
                "get" => OLD.to_vec(),
                "range" => OLD[5..12].to_vec(),
                _ => old.as_str().as_bytes().to_vec(),
            };
            assert_eq!(answer, expected, "{at}");
        }
    }
}
