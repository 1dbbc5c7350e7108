//! Proof that nothing was changed in the kernel: `ip monitor`, with a mark at the beginning and the end.

use std::time::Duration;

use super::place::{Running, command};
use super::{Place, eventually};

const LIMIT: Duration = Duration::from_secs(10);
/// An address that comes and goes on the loopback: the kernel reports it in order, after everything before it.
const MARK: &str = "127.77.77.";

/// Watches until it is stopped.
pub(crate) struct KernelWatch {
    monitors: Vec<(Place, Running)>,
}

impl KernelWatch {
    pub(super) fn start(places: Vec<Place>) -> Self {
        let monitors: Vec<_> = places
            .into_iter()
            .map(|place| {
                eventually("the end of address checks", LIMIT, || {
                    // The kernel reports the end of duplicate address detection as a change.
                    let text = place.ok(&["ip", "-6", "addr", "show", "tentative"]);
                    if text.trim().is_empty() { Ok(()) } else { Err(text) }
                });
                let argv = ["ip", "-o", "monitor", "link", "address", "route", "rule"];
                let monitor = place.running(command(&argv), Duration::from_secs(600));
                (place, monitor)
            })
            .collect();
        for (place, monitor) in &monitors {
            // Before it listens, a mark is not heard.
            eventually("the first mark", LIMIT, || mark(place, monitor, "1"));
        }
        Self { monitors }
    }

    /// Every change since the start, one a line, with the name of the namespace.
    pub(crate) fn stop(self) -> Vec<String> {
        let mut changes = Vec::new();
        for (place, monitor) in self.monitors {
            eventually("the last mark", LIMIT, || mark(&place, &monitor, "2"));
            let text = monitor.kill().stdout;
            let lines = text.lines().filter(|line| !line.contains(MARK) && !line.trim().is_empty());
            changes.extend(lines.map(|line| format!("{}: {line}", place.name())));
        }
        changes
    }
}

/// Makes the mark and looks whether it was heard.
fn mark(place: &Place, monitor: &Running, number: &str) -> Result<(), String> {
    let address = format!("{MARK}{number}/32");
    for verb in ["add", "del"] {
        place.ok(&["ip", "addr", verb, &address, "dev", "lo"]);
    }
    let heard = || {
        let text = monitor.so_far();
        let gone = |line: &str| line.starts_with("Deleted") && line.contains(&address);
        if text.lines().any(gone) { Ok(()) } else { Err(text) }
    };
    super::wait::within(Duration::from_millis(200), heard)
}
