//! Durations, counted by how long they were.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// Upper bounds, in milliseconds: from what an idle machine takes to the longest a volume may ever be held.
const BOUNDS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/// Durations as they come.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Counts of each bound, and of what is above all; the sum of all. Under one lock: a sum and a count that do
    /// not belong together would make a wrong average.
    inner: Mutex<([u64; BOUNDS.len() + 1], Duration)>,
}

/// How long volumes were held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holds {
    /// For each bound, how many were not longer; rising.
    pub up_to: Vec<(Duration, u64)>,
    /// How many there were.
    pub count: u64,
    /// All together.
    pub sum: Duration,
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        let place = BOUNDS.partition_point(|bound| Duration::from_millis(*bound) < duration);
        let (counts, sum) = &mut *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = counts.get_mut(place);
        *bucket.expect("there is a count for what is above all bounds") += 1;
        *sum += duration;
    }

    pub(super) fn read(&self) -> Holds {
        let (counts, sum) = *self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        let up_to = BOUNDS.iter().zip(counts).map(|(bound, counted)| {
            count += counted;
            (Duration::from_millis(*bound), count)
        });
        let up_to = up_to.collect();
        Holds {
            up_to,
            count: counts.iter().sum(),
            sum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_holds_what_is_as_long_as_it_is() {
        let histogram = Histogram::default();
        let (exact, above) = (Duration::from_millis(2), Duration::from_micros(2001));
        let longest = Duration::from_mins(1);
        for duration in [Duration::ZERO, exact, above, longest] {
            histogram.observe(duration);
        }
        let holds = histogram.read();
        let up_to = |ms| {
            holds
                .up_to
                .iter()
                .find(|(b, _)| *b == Duration::from_millis(ms))
        };
        assert_eq!(up_to(1).unwrap().1, 1);
        assert_eq!(up_to(2).unwrap().1, 2);
        assert_eq!(up_to(5).unwrap().1, 3);
        assert_eq!(
            up_to(5000).unwrap().1,
            3,
            "what is above all is in no bound"
        );
        assert_eq!(holds.count, 4);
        assert_eq!(holds.sum, exact + above + longest);
    }
}
