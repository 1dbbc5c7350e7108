//! Waiting for something to become true, in place of sleeping and hoping.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Asks `probe` until it answers `Ok`, at most for `limit`; then panics with what it said last.
pub(crate) fn eventually<T>(what: &str, limit: Duration, probe: impl FnMut() -> Result<T, String>) -> T {
    within(limit, probe).unwrap_or_else(|last| panic!("{what}: not within {limit:?}: {last}"))
}

/// The same without the panic.
pub(super) fn within<T>(limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match probe() {
            Err(_) if start.elapsed() <= limit => sleep(Duration::from_millis(5)),
            last => return last,
        }
    }
}
