//! What the client makes of daemons that answer, refuse, babble, die or are not there.

use super::*;
use convoy_api::{BackupUrl, CreateBackup, Done, Frame};
use convoy_fault::{Fault, Kind};
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::JoinHandle;

const ID: &str = "01920000-0000-7000-8000-000000000001";

/// A daemon that says `reply` to one request, closes, and tells what it was asked.
struct OneReply {
    _dir: tempfile::TempDir,
    socket: PathBuf,
    asked: JoinHandle<String>,
}

fn daemon(reply: impl Into<Vec<u8>>) -> OneReply {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("convoy.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let reply = reply.into();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 65536];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(&reply).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    OneReply {
        _dir: dir,
        socket,
        asked,
    }
}

fn http(status: &str, kind: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn client(daemon: &OneReply) -> Client {
    Client::new(&daemon.socket).unwrap()
}

#[test]
fn a_name_is_asked_for_safely_and_the_answer_read() {
    let daemon = daemon(http(
        "200 OK",
        "application/json",
        &format!(r#"{{"operation":"{ID}","result":{{}}}}"#),
    ));
    let answer = client(&daemon).unmount_volume("../x y").unwrap();
    assert_eq!(
        (answer.operation.to_string().as_str(), answer.result),
        (ID, Done {})
    );
    let asked = daemon.asked.join().unwrap();
    assert!(
        asked.starts_with("POST /v1/volumes/..%2Fx%20y/unmount HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
}

#[test]
fn a_problem_keeps_its_kind_and_hint() {
    let body = r#"{"code":"E_POOL_FULL","message":"no space","hint":"delete something","retryable":false}"#;
    let daemon = daemon(http("507 Insufficient Storage", "application/json", body));
    let error = client(&daemon).volumes().unwrap_err();
    assert_eq!(error.kind(), Kind::PoolFull);
    assert_eq!(error.hint().as_deref(), Some("delete something"));
    assert_eq!(error.to_string(), "no space");
}

fn verify(daemon: &OneReply) -> (Result<(), Error>, Vec<Frame<()>>) {
    let mut heard = Vec::new();
    let url = BackupUrl {
        url: "vfs:///b?backup=x&volume=y".into(),
    };
    let outcome = client(daemon).delete_backup(&url, &mut |frame| heard.push(frame.clone()));
    (outcome.map(|_| ()), heard)
}

#[test]
fn frames_are_heard_and_the_last_is_the_answer() {
    let lines = format!(
        "{{\"event\":\"started\",\"operation\":\"{ID}\"}}\n{{\"event\":\"phase\",\"phase\":\"comparing\"}}\n\
         {{\"event\":\"weather\",\"sun\":true}}\n{{\"event\":\"progress\",\"done\":1,\"total\":2}}\n\
         {{\"event\":\"result\",\"operation\":\"{ID}\",\"result\":{{}}}}\n"
    );
    let (outcome, heard) = verify(&daemon(http("200 OK", "application/x-ndjson", &lines)));
    outcome.unwrap();
    assert_eq!(heard.len(), 3);
    assert_eq!(heard[2], Frame::Progress { done: 1, total: 2 });
}

#[test]
fn a_problem_in_a_stream_is_an_error() {
    let line = "{\"event\":\"problem\",\"problem\":{\"code\":\"E_BUSY\",\"message\":\"held\",\"retryable\":true}}\n";
    let (outcome, _) = verify(&daemon(http("200 OK", "application/x-ndjson", line)));
    assert_eq!(outcome.unwrap_err().kind(), Kind::Busy);
}

#[test]
fn a_refusal_at_the_door_of_a_stream_is_read() {
    let body = r#"{"code":"E_INVALID","message":"no","retryable":false}"#;
    let (outcome, _) = verify(&daemon(http("400 Bad Request", "application/json", body)));
    assert_eq!(outcome.unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn a_daemon_that_dies_leaves_the_outcome_open_and_says_so() {
    let line = format!("{{\"event\":\"started\",\"operation\":\"{ID}\"}}\n");
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ncontent-length: 9999\r\n\r\n";
    let (outcome, _) = verify(&daemon(format!("{head}{line}")));
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.hint().unwrap().contains(ID));
    let (outcome, _) = verify(&daemon(http("200 OK", "application/x-ndjson", &line)));
    assert!(matches!(
        outcome.unwrap_err(),
        Error::CutOff {
            operation: Some(_),
            source: None
        }
    ));
}

/// A snapshot's answer is one object: when it was lost, nobody knew under which name to ask again.
#[test]
fn a_call_has_its_name_before_it_is_sent() {
    let daemon = daemon("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{");
    let id = ID.parse().unwrap();
    let named = client(&daemon).under_operation(id);
    let error = named.delete_snapshot("s1").unwrap_err();
    assert!(error.hint().unwrap().contains(ID), "{error:?}");
    let asked = daemon.asked.join().unwrap();
    assert!(
        asked.contains(&format!("convoy-operation: {ID}\r\n")),
        "{asked}"
    );
    let silent = self::daemon("");
    let error = client(&silent).delete_snapshot("s1").unwrap_err();
    let Error::CutOff {
        operation: Some(made_up),
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    let asked = silent.asked.join().unwrap();
    assert!(asked.contains(&made_up.to_string()), "{asked}");
}

#[test]
fn whoever_is_not_our_daemon_is_told_apart() {
    let error = client(&daemon(http("200 OK", "text/html", "<html>")))
        .info()
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    let error = client(&daemon("SSH-2.0-OpenSSH\r\n")).info().unwrap_err();
    assert!(matches!(error, Error::CutOff { .. }), "{error:?}");
}

#[test]
fn no_daemon_is_said_with_what_to_type() {
    let dir = tempfile::tempdir().unwrap();
    let absent = Client::new(dir.path().join("no.sock")).unwrap();
    let error = absent.info().unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.hint().unwrap().contains("convoy daemon"));
    let stale = dir.path().join("stale.sock");
    drop(UnixListener::bind(&stale).unwrap());
    let request = CreateBackup::default();
    let error = Client::new(&stale)
        .unwrap()
        .create_backup(&request, &mut |_| ())
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
}
