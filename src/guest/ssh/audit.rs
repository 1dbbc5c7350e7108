//! Who came and who did not get in, in the machine's log. Whoever knocks all night does not fill it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::guest::log;

/// So many refusals are told at once, and then one in each interval.
const BURST: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(6);

pub(crate) struct Audit(Mutex<Bucket>);

struct Bucket {
    left: u32,
    filled: Instant,
    untold: u64,
}

/// A login or its end: always told, as nobody can make many of them without being somebody.
pub(crate) fn tell(text: &str) {
    log::line(&format!("ssh: {text}"));
}

impl Audit {
    pub(crate) fn new() -> Audit {
        Audit(Mutex::new(Bucket { left: BURST, filled: Instant::now(), untold: 0 }))
    }

    /// What any stranger can cause.
    pub(crate) fn refuse(&self, text: &str) {
        let Some(untold) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) else { return };
        let more = if untold > 0 { format!(" ({untold} more were not told)") } else { String::new() };
        log::line(&format!("ssh: {text}{more}"));
    }
}

impl Bucket {
    /// How many were left out before this one; `None`: this one is left out as well.
    fn take(&mut self, now: Instant) -> Option<u64> {
        while self.left < BURST && now.duration_since(self.filled) >= INTERVAL {
            self.left += 1;
            self.filled += INTERVAL;
        }
        if self.left == BURST {
            self.filled = now;
        }
        if self.left == 0 {
            self.untold += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_told() {
        let start = Instant::now();
        let mut bucket = Bucket { left: BURST, filled: start, untold: 0 };
        let told = (0..1000).filter(|_| bucket.take(start).is_some()).count();
        assert_eq!(told, 10);
        assert_eq!(bucket.take(start + INTERVAL), Some(990));
        assert_eq!(bucket.take(start + INTERVAL), None);
        assert_eq!(bucket.take(start + INTERVAL * 1000), Some(1));
    }
}
