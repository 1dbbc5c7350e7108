//! Packets of a machine's cards, as they pass: what is asked for, and what comes of it.
//!
//! No operation of a plan, and so not part of `NetPlane`: a function from options to a stream of bytes, which can run wherever the
//! kernel is that has the machine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::NetError;

/// All that the kernel gives, as in tcpdump.
pub const LARGEST_SNAPLEN: u32 = 262_144;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureOptions {
    /// Whose they are, for the file: `web of shop`.
    pub title: String,
    /// By their names in the machine; none is all but the loopback.
    pub nics: BTreeSet<String>,
    /// So much of each packet, in bytes.
    pub snaplen: u32,
    /// Also what the card would throw away because it is for others.
    pub promiscuous: bool,
    pub filter: Option<PacketFilter>,
    /// Ends after so many packets.
    pub count: Option<u64>,
    /// Ends after so long.
    pub duration: Option<Duration>,
}

/// A filter, as people write it and as the kernel runs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PacketFilter {
    pub text: String,
    /// `code jt jf k` of each instruction.
    pub program: Vec<(u16, u8, u8, u32)>,
}

/// A piece of what comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Captured {
    /// These cards are listened to: what passes from now on is seen.
    Began(Vec<String>),
    /// More of the file, in whole blocks.
    Bytes(Vec<u8>),
    /// Nothing more comes; the file is complete.
    Ended(CaptureSummary),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureSummary {
    pub packets: u64,
    /// Those that the kernel had no room for.
    pub dropped: u64,
    /// The machine has ended meanwhile.
    pub machine_ended: bool,
}

/// One that goes on. It ends when nobody holds it any more.
pub struct Capture {
    pub(super) pieces: mpsc::Receiver<Result<Captured, NetError>>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Capture {
    /// The next piece; nothing after the last one.
    pub async fn next(&mut self) -> Option<Result<Captured, NetError>> {
        self.pieces.recv().await
    }

    /// What has been seen by now is still handed over, then the end of the file.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
    }
}

impl PacketFilter {
    /// From what `tcpdump -ddd` prints: the number of instructions, then one a line.
    pub fn parse(text: &str, compiled: &str) -> Option<Self> {
        let mut lines = compiled.lines();
        let count: usize = lines.next()?.trim().parse().ok()?;
        let instruction = |line: &str| {
            let mut words = line.split_whitespace();
            let one = (words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            words.next().is_none().then_some(one)
        };
        let program: Vec<_> = lines.map(instruction).collect::<Option<_>>()?;
        // The kernel takes no more than 4096.
        (program.len() == count && (1..=4096).contains(&count)).then(|| Self { text: text.to_owned(), program })
    }
}

#[cfg(test)]
mod tests {
    use super::PacketFilter;

    #[test]
    fn a_compiled_filter_is_read_whole_or_not_at_all() {
        let icmp = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n";
        let filter = PacketFilter::parse("ip", icmp).unwrap();
        assert_eq!((filter.program.len(), filter.program[1]), (4, (21, 0, 1, 2048)));
        for broken in ["", "2\n40 0 0 12\n", "1\n40 0 0\n", "1\n40 0 0 12 1\n", "1\n40 0 300 12\n", "0\n", "x\n"] {
            assert_eq!(PacketFilter::parse("ip", broken), None, "{broken:?}");
        }
    }
}
