//! Times: the original's for its keys, a short one for people.

use jiff::Timestamp;

/// As the original wrote them (Ruby's date), always in UTC: `Sun Nov 22 08:04:40 +0000 2026`.
pub(crate) fn original(time: Timestamp) -> String {
    time.strftime("%a %b %d %H:%M:%S +0000 %Y").to_string()
}

/// For tables, in UTC: `2026-11-22 08:04`.
pub(crate) fn short(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}
