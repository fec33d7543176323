//! What the daemon says, as one object or as lines.

use crate::error::Error;
use convoy_api::{Answer, Frame, Problem};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::path::Path;
use uuid::Uuid;

/// More than a daemon with ten thousand volumes says in one answer or one line: whoever sends more is
/// not our daemon, and must not fill our memory.
const LIMIT: usize = 256 << 20;

/// One object: the answer, or the problem.
pub(crate) async fn whole<T: DeserializeOwned>(
    socket: &Path,
    mut response: Response<Incoming>,
    operation: Option<Uuid>,
) -> Result<Answer<T>, Error> {
    let success = response.status().is_success();
    let mut body = Vec::new();
    while let Some(data) = next(&mut response, operation).await? {
        extend(socket, &mut body, &data)?;
    }
    if success {
        return parse(socket, &body);
    }
    Err(Error::Refused(Box::new(parse::<Problem>(socket, &body)?)))
}

/// Lines: `hear` gets each as it comes, the last one is the answer.
pub(crate) async fn lines<T: DeserializeOwned>(
    socket: &Path,
    mut response: Response<Incoming>,
    operation: Option<Uuid>,
    hear: &mut (dyn FnMut(&Frame<()>) + '_),
) -> Result<Answer<T>, Error> {
    let mut buffer = Vec::new();
    let mut named = operation;
    while let Some(data) = next(&mut response, named).await? {
        extend(socket, &mut buffer, &data)?;
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            match parse::<Frame<T>>(socket, &line)? {
                Frame::Result { operation, result } => return Ok(Answer { operation, result }),
                Frame::Problem { problem } => return Err(Error::Refused(Box::new(problem))),
                Frame::Started { operation } => {
                    named = Some(operation);
                    hear(&Frame::Started { operation });
                }
                Frame::Phase { phase } => hear(&Frame::Phase { phase }),
                Frame::Progress { done, total } => hear(&Frame::Progress { done, total }),
                Frame::Waiting { operation } => hear(&Frame::Waiting { operation }),
                Frame::Unknown => {}
            }
        }
    }
    Err(Error::CutOff {
        operation: named,
        source: None,
    })
}

/// The next piece of the body; trailers are passed over.
async fn next(
    response: &mut Response<Incoming>,
    operation: Option<Uuid>,
) -> Result<Option<hyper::body::Bytes>, Error> {
    while let Some(frame) = response.body_mut().frame().await {
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Err(source) => {
                return Err(Error::CutOff {
                    operation,
                    source: Some(source),
                });
            }
        }
    }
    Ok(None)
}

fn extend(socket: &Path, buffer: &mut Vec<u8>, data: &[u8]) -> Result<(), Error> {
    if buffer.len() + data.len() > LIMIT {
        let what = format!("it is longer than {LIMIT} bytes");
        return Err(Error::Protocol {
            socket: socket.to_owned(),
            what,
        });
    }
    buffer.extend_from_slice(data);
    Ok(())
}

fn parse<T: DeserializeOwned>(socket: &Path, body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Protocol {
        socket: socket.to_owned(),
        what: error.to_string(),
    })
}
