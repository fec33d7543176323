//! What a failed request means: whether it may have taken effect, whether it may be repeated, what to do next.
//!
//! Pure, so that every cell of it is tested. Sources: Amazon S3 API Reference, "Error responses" (codes and
//! statuses); the 409 for concurrent conditional writes from the S3 User Guide, "Conditional requests".

use object_store::client::HttpErrorKind;

use super::credentials::NoCredentials;
use super::exchange::Answer;
use crate::{ErrorKind, Verb};

/// The meaning of a failure, and its words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) kind: ErrorKind,
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

/// What became of a request that was not answered well.
pub(super) fn verdict(verb: Verb, answer: &Answer, error: Option<&object_store::Error>) -> Verdict {
    if let Some(missing) = error.and_then(no_credentials) {
        return Verdict {
            kind: ErrorKind::Auth,
            why: missing.to_string(),
            hint: Some(CREDENTIALS.to_owned()),
        };
    }
    let changes = matches!(verb, Verb::Put | Verb::PutDeferred | Verb::Delete);
    // Of a request that changes something, nobody knows whether it arrived; another is asked again.
    let unheard = if changes {
        ErrorKind::Unclear
    } else {
        ErrorKind::Transient
    };
    let plain = |kind, why: String| Verdict {
        kind,
        why,
        hint: None,
    };
    match (answer.status, answer.broken) {
        _ if answer.late && !answer.sent => {
            plain(ErrorKind::Transient, "no connection in time".to_owned())
        }
        _ if answer.late => plain(unheard, "no answer in time".to_owned()),
        (_, Some(HttpErrorKind::Connect)) => plain(ErrorKind::Transient, causes(error)),
        (Some(status), None) if !(200..300).contains(&status) => {
            answered(verb, status, unheard, answer)
        }
        // It broke off, before or within an answer that began well, or the library makes nothing of it.
        (_, Some(_)) | (Some(_), None) => plain(unheard, causes(error)),
        (None, None) => plain(ErrorKind::Permanent, causes(error)),
    }
}

const CREDENTIALS: &str = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for the daemon, or a profile in ~/.aws, or a role for this machine";

fn answered(verb: Verb, status: u16, unheard: ErrorKind, answer: &Answer) -> Verdict {
    let reads = matches!(verb, Verb::Get | Verb::GetRange | Verb::Size);
    let code = answer.code.as_str();
    let (kind, hint) = match (status, code) {
        (404, "NoSuchBucket") => (
            ErrorKind::Permanent,
            Some("make the bucket first, or see whether its name is right".to_owned()),
        ),
        (404, _) if reads => (ErrorKind::NotFound, None),
        (416, _) => (ErrorKind::Damaged, None),
        (_, "RequestTimeTooSkewed") => (ErrorKind::Auth, Some(clocks(answer))),
        (400 | 403, "ExpiredToken" | "TokenRefreshRequired") => {
            // They are fetched anew for the next request.
            (
                ErrorKind::Transient,
                Some("renew the credentials".to_owned()),
            )
        }
        (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")
        | (301 | 302 | 307 | 308, _) => (ErrorKind::Permanent, Some(region(answer))),
        (401 | 403, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => (
            ErrorKind::Auth,
            Some(
                "the credentials are not those of this service: see which ones the daemon uses"
                    .to_owned(),
            ),
        ),
        (401 | 403, _) => (ErrorKind::Auth, None),
        // Somebody creates the same object at this moment; who wins is not decided.
        (409, "ConditionalRequestConflict" | "OperationAborted") => (ErrorKind::Transient, None),
        (429, _) | (_, "SlowDown" | "RequestLimitExceeded" | "Throttling") => {
            (ErrorKind::Throttled, None)
        }
        (503, _) => (ErrorKind::Throttled, None),
        (501, _) | (_, "NotImplemented") => (ErrorKind::Unsupported, None),
        (408 | 500..=599, _) => (unheard, None),
        _ => (ErrorKind::Permanent, None),
    };
    let mut why = format!("it answered {status}");
    for words in [code, answer.message.as_str()] {
        if !words.is_empty() {
            why.push_str(if words == code { " " } else { ": " });
            why.push_str(words);
        }
    }
    Verdict { kind, why, hint }
}

/// By how much the clocks differ, as far as the server told.
fn clocks(answer: &Answer) -> String {
    let theirs = answer.date.as_deref().unwrap_or("not told");
    format!("set this machine's clock: at the destination it is {theirs}")
}

fn region(answer: &Answer) -> String {
    match &answer.region {
        Some(region) => {
            format!("the bucket is in region {region}: write s3://bucket@{region}/path/")
        }
        None => "see whether region and endpoint are right: s3://bucket@region/path/".to_owned(),
    }
}

fn no_credentials(error: &object_store::Error) -> Option<&NoCredentials> {
    chain(error).find_map(|error| error.downcast_ref())
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// The last cause, which is what the operating system said, without the library's own words.
fn causes(error: Option<&object_store::Error>) -> String {
    let last = error.and_then(|error| chain(error).last());
    last.map_or_else(|| "no answer".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    //! Every answer, and what it means for each kind of request.

    use super::*;

    fn answer(status: u16, code: &str) -> Answer {
        Answer {
            sent: true,
            status: Some(status),
            code: code.to_owned(),
            ..Answer::default()
        }
    }

    #[test]
    fn a_change_that_may_have_happened_is_unclear() {
        use ErrorKind::*;
        let cells = [
            // status, code, to a put, to a get
            (500, "InternalError", Unclear, Transient),
            (502, "", Unclear, Transient),
            (504, "", Unclear, Transient),
            (408, "RequestTimeout", Unclear, Transient),
            (503, "SlowDown", Throttled, Throttled),
            (429, "", Throttled, Throttled),
            (409, "ConditionalRequestConflict", Transient, Transient),
            (403, "AccessDenied", Auth, Auth),
            (403, "SignatureDoesNotMatch", Auth, Auth),
            (403, "RequestTimeTooSkewed", Auth, Auth),
            (400, "ExpiredToken", Transient, Transient),
            (404, "NoSuchBucket", Permanent, Permanent),
            (404, "NoSuchKey", Permanent, NotFound),
            (301, "PermanentRedirect", Permanent, Permanent),
            (501, "NotImplemented", Unsupported, Unsupported),
            (400, "InvalidArgument", Permanent, Permanent),
            (416, "InvalidRange", Damaged, Damaged),
        ];
        for (status, code, put, get) in cells {
            for (verb, kind) in [(Verb::Put, put), (Verb::PutDeferred, put), (Verb::Get, get)] {
                let verdict = verdict(verb, &answer(status, code), None);
                assert_eq!(verdict.kind, kind, "{status} {code} to a {verb}");
                assert!(
                    verdict.why.starts_with(&format!("it answered {status}")),
                    "{}",
                    verdict.why
                );
            }
        }
    }

    #[test]
    fn an_exchange_that_broke_off_is_told_by_where() {
        use ErrorKind::{Transient, Unclear};
        let broken = |kind| Answer {
            sent: true,
            broken: Some(kind),
            ..Answer::default()
        };
        let late = |sent| Answer {
            sent,
            late: true,
            ..Answer::default()
        };
        let cut = Answer {
            sent: true,
            status: Some(200),
            ..Answer::default()
        };
        let cells = [
            (broken(HttpErrorKind::Connect), Transient, Transient),
            (broken(HttpErrorKind::Timeout), Unclear, Transient),
            (broken(HttpErrorKind::Interrupted), Unclear, Transient),
            (broken(HttpErrorKind::Unknown), Unclear, Transient),
            (late(false), Transient, Transient),
            (late(true), Unclear, Transient),
            (cut, Unclear, Transient),
        ];
        for (answer, put, get) in cells {
            assert_eq!(verdict(Verb::Put, &answer, None).kind, put, "{answer:?}");
            assert_eq!(verdict(Verb::Delete, &answer, None).kind, put, "{answer:?}");
            assert_eq!(verdict(Verb::List, &answer, None).kind, get, "{answer:?}");
        }
    }

    #[test]
    fn hints_say_what_the_server_told() {
        let told = Answer {
            region: Some("eu-west-1".to_owned()),
            ..answer(301, "PermanentRedirect")
        };
        let hint = verdict(Verb::Get, &told, None).hint.unwrap();
        assert!(hint.contains("s3://bucket@eu-west-1/path/"), "{hint}");
        let skewed = Answer {
            date: Some("Sun, 22 Nov 2026 12:00:00 GMT".to_owned()),
            ..answer(403, "RequestTimeTooSkewed")
        };
        let hint = verdict(Verb::Get, &skewed, None).hint.unwrap();
        assert!(hint.contains("12:00:00 GMT"), "{hint}");
    }
}
