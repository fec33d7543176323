//! How much of a long version is wanted.

/// As many points of each kind, and no more, where `CONVOY_POINTS` says so.
pub(crate) fn most_points() -> usize {
    let most = std::env::var("CONVOY_POINTS").ok();
    most.map_or(usize::MAX, |most| {
        most.parse().expect("CONVOY_POINTS is a number")
    })
}
