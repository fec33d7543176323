//! An engine's side of the socket: requests as bytes, since how they are written is what is tested.

use crate::desk::Daemon;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A status and a body.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn error(&self) -> &str {
        self.body["Err"].as_str().unwrap_or_default()
    }
}

/// A request as Docker writes it.
pub(crate) fn request(verb: &str, body: &str) -> String {
    format!(
        "POST /{verb} HTTP/1.1\r\nHost: plugin.moby.localhost\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\nAccept: application/vnd.docker.plugins.v1.2+json\r\n\r\n{body}",
        body.len()
    )
}

/// Sends bytes and reads one answer.
pub(crate) fn send(socket: &Path, bytes: &[u8]) -> Answer {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    read(&mut stream)
}

/// Reads one answer.
pub(crate) fn read(stream: &mut UnixStream) -> Answer {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut byte).unwrap();
        assert_eq!(read, 1, "cut off: {}", String::from_utf8_lossy(&head));
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let wanted = name.eq_ignore_ascii_case("content-length");
        wanted.then(|| value.parse::<usize>().unwrap())
    });
    assert!(
        head.contains("application/vnd.docker.plugins.v1.1+json"),
        "{head}"
    );
    let mut body = vec![0; length.unwrap()];
    stream.read_exact(&mut body).unwrap();
    Answer {
        status,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

impl Daemon {
    /// One call on a connection of its own.
    pub(crate) fn call(&self, verb: &str, body: &Value) -> Answer {
        let verb = match verb {
            "Activate" => "Plugin.Activate".to_owned(),
            verb => format!("VolumeDriver.{verb}"),
        };
        send(&self.socket, request(&verb, &body.to_string()).as_bytes())
    }

    /// One call that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, verb: &str, body: &Value) -> Value {
        let answer = self.call(verb, body);
        assert_eq!((answer.status, answer.error()), (200, ""), "{verb} {body}");
        answer.body
    }

    /// One call that must fail, and what it says.
    #[track_caller]
    pub(crate) fn refused(&self, verb: &str, body: &Value) -> String {
        let answer = self.call(verb, body);
        assert_eq!(answer.status, 500, "{verb} {body} gave {}", answer.body);
        assert_ne!(answer.error(), "");
        answer.error().to_owned()
    }

    pub(crate) fn create(&self, name: &str, options: &Value) {
        self.ok("Create", &json!({ "Name": name, "Opts": options }));
    }

    pub(crate) fn mount(&self, name: &str, id: &str) -> String {
        let answer = self.ok("Mount", &json!({ "Name": name, "ID": id }));
        answer["Mountpoint"].as_str().unwrap().to_owned()
    }

    pub(crate) fn unmount(&self, name: &str, id: &str) {
        self.ok("Unmount", &json!({ "Name": name, "ID": id }));
    }

    pub(crate) fn get(&self, name: &str) -> Value {
        self.ok("Get", &json!({ "Name": name }))["Volume"].clone()
    }
}
