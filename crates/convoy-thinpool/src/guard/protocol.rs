//! What is said to a guard and what it says: one line each, pure text.
//!
//! Both ends are the same program, so there are no versions; a line that is not understood is answered with
//! itself, which whoever asked takes for a failure.

use super::{Ticket, Verdict};
use crate::names::DmUuid;
use std::fmt;
use std::time::Duration;

/// What a guard says first.
pub(super) const READY: &str = "ready";

/// What is asked of a guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    Arm {
        ticket: Ticket,
        limit: Duration,
        device: DmUuid,
    },
    Disarm(Ticket),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Arm {
                ticket: Ticket(ticket),
                limit,
                device,
            } => write!(f, "arm {ticket} {} {device}", limit.as_millis()),
            Self::Disarm(Ticket(ticket)) => write!(f, "disarm {ticket}"),
        }
    }
}

impl Request {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let verb = words.next()?;
        let ticket = Ticket(words.next()?.parse().ok()?);
        let request = match verb {
            "arm" => Self::Arm {
                ticket,
                limit: Duration::from_millis(words.next()?.parse().ok()?),
                device: DmUuid::new(words.next()?).ok()?,
            },
            "disarm" => Self::Disarm(ticket),
            _ => return None,
        };
        words.next().is_none().then_some(request)
    }
}

/// What a guard answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Armed(Ticket),
    Disarmed(Ticket, Verdict),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Armed(Ticket(ticket)) => write!(f, "armed {ticket}"),
            Self::Disarmed(Ticket(ticket), Verdict::InTime) => write!(f, "in-time {ticket}"),
            Self::Disarmed(Ticket(ticket), Verdict::Resumed) => write!(f, "resumed {ticket}"),
        }
    }
}

impl Answer {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (word, ticket) = line.split_once(' ')?;
        let ticket = Ticket(ticket.parse().ok()?);
        match word {
            "armed" => Some(Self::Armed(ticket)),
            "in-time" => Some(Self::Disarmed(ticket, Verdict::InTime)),
            "resumed" => Some(Self::Disarmed(ticket, Verdict::Resumed)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    //! What is written is read again; anything else is nothing.

    use super::*;

    #[test]
    fn lines_go_there_and_back() {
        let device = DmUuid::new("CONVOY-1-2").unwrap();
        let requests = [
            Request::Arm {
                ticket: Ticket(7),
                limit: Duration::from_millis(1500),
                device,
            },
            Request::Disarm(Ticket(u64::MAX)),
        ];
        for request in requests {
            assert_eq!(Request::parse(&request.to_string()), Some(request));
        }
        for answer in [
            Answer::Armed(Ticket(1)),
            Answer::Disarmed(Ticket(2), Verdict::InTime),
            Answer::Disarmed(Ticket(3), Verdict::Resumed),
        ] {
            assert_eq!(Answer::parse(&answer.to_string()), Some(answer));
        }
    }

    #[test]
    fn anything_else_is_nothing() {
        for line in [
            "",
            "arm",
            "arm 1",
            "arm 1 2",
            "arm x 2 u",
            "arm 1 2 a/b",
            "arm 1 2 a b",
            "disarm",
            "disarm 1 2",
            "disarm -1",
            "sleep 1",
        ] {
            assert_eq!(Request::parse(line), None, "{line:?}");
        }
        assert_eq!(Answer::parse("armed"), None);
        assert_eq!(Answer::parse(READY), None);
    }
}
