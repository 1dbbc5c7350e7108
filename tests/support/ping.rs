//! A ping that goes on while something is done, to show that nothing of it was lost.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;

use super::place::{Running, command};
use super::{Place, eventually};

const LIMIT: Duration = Duration::from_secs(10);

/// Fifty a second, from `start` to `stop`.
pub(crate) struct Ping {
    running: Running,
    to: String,
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct Pinged {
    pub(crate) sent: usize,
    pub(crate) lost: usize,
}

impl Ping {
    /// Returns at the first answer; panics when there is none.
    pub(crate) fn start(from: &Place, to: &str) -> Self {
        // Numbered answers on lines of their own; `-W` only keeps the last wait short.
        let argv = ["ping", "-n", "-i", "0.02", "-W", "1", to];
        let ping = Self { running: from.running(command(&argv), Duration::from_secs(600)), to: to.to_owned() };
        ping.answer_after(0);
        ping
    }

    /// Waits for an answer to a request that is sent after now, then counts the gaps. Without such an answer all that
    /// were sent since the last one are lost.
    pub(crate) fn stop(self) -> Pinged {
        let last = self.answers().last().copied().unwrap_or(0);
        // At fifty a second, what is in flight now has a number at most two above the last answered one.
        let after = super::wait::within(LIMIT, || self.probe(last + 2));
        self.running.signal(Signal::INT);
        let answers = self.answers();
        let sent = match after {
            Ok(()) => answers.last().copied().unwrap_or(0),
            Err(_) => transmitted(&self.running.wait().stdout),
        };
        Pinged { sent, lost: sent - answers.len().min(sent) }
    }

    fn answer_after(&self, number: usize) {
        eventually(&format!("an answer from {}", self.to), LIMIT, || self.probe(number));
    }

    fn probe(&self, number: usize) -> Result<(), String> {
        if self.answers().last().is_some_and(|it| *it > number) { Ok(()) } else { Err(self.running.so_far()) }
    }

    /// The numbers of the requests that were answered.
    fn answers(&self) -> BTreeSet<usize> {
        let text = self.running.so_far();
        let lines = text.lines().filter(|line| line.contains("bytes from") && !line.contains("DUP"));
        let number = |line: &str| line.split("icmp_seq=").nth(1)?.split(' ').next()?.parse().ok();
        lines.filter_map(number).collect()
    }
}

fn transmitted(text: &str) -> usize {
    let line = text.lines().find(|line| line.contains("packets transmitted")).unwrap_or_default();
    line.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
