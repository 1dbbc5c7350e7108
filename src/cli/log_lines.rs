//! A log as lines, each with the time at which the engine took it.
//!
//! The engine cuts a line of more than 16 KiB into entries and puts the time before every one of them: they become one line again.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::engine::EngineError;
use crate::engine::session::{Channel, Output};

/// What the engine's json-file writes as one entry at most.
const ENTRY: usize = 16 << 10;
/// A line that does not end must not fill the memory.
const LONGEST: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) time: Option<Timestamp>,
    /// As the engine writes it.
    pub(super) stamp: String,
    /// Without its end.
    pub(super) text: Vec<u8>,
}

pub(super) struct Lines {
    output: Output,
    splitter: Splitter,
}

impl Lines {
    pub(super) fn new(output: Output, tty: bool) -> Self {
        Self { output, splitter: Splitter { tty, ..Splitter::default() } }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Line>, EngineError> {
        loop {
            if let Some(line) = self.splitter.ready.pop_front() {
                return Ok(Some(line));
            }
            match self.output.next().await? {
                Some(chunk) => self.splitter.push(chunk.channel, chunk.bytes, chunk.ends),
                None if self.splitter.is_empty() => return Ok(None),
                None => self.splitter.end(),
            }
        }
    }
}

#[derive(Default)]
struct Splitter {
    tty: bool,
    /// What has come of the entry, with a terminal of the line, that is under way.
    raw: Vec<u8>,
    /// Lines of which not all entries have come: of stdout and of stderr.
    open: [Option<Line>; 2],
    ready: VecDeque<Line>,
}

impl Splitter {
    fn push(&mut self, channel: Channel, bytes: &[u8], ends: bool) {
        if !self.tty {
            self.raw.extend_from_slice(bytes);
            if ends {
                let entry = std::mem::take(&mut self.raw);
                self.entry(channel, &entry);
            }
            return;
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.raw.extend_from_slice(part);
            if part.ends_with(b"\n") || self.raw.len() > LONGEST {
                self.end();
            }
        }
    }

    /// One entry, which is a line or a part of one.
    fn entry(&mut self, channel: Channel, entry: &[u8]) {
        let (stamp, text) = stamped(entry);
        let open = &mut self.open[usize::from(channel == Channel::Stderr)];
        let line = open.get_or_insert_with(|| line(stamp, vec![]));
        line.text.extend_from_slice(text);
        if line.text.ends_with(b"\n") || line.text.len() > LONGEST {
            let mut line = open.take().unwrap_or_else(|| unreachable!("it was put there above"));
            if line.text.ends_with(b"\n") {
                line.text.pop();
            }
            // An entry is one line, but for drivers that know better.
            let (time, stamp) = (line.time, line.stamp);
            self.ready.extend(line.text.split(|byte| *byte == b'\n').map(|text| Line { time, stamp: stamp.clone(), text: text.to_vec() }));
        }
    }

    fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.open.iter().all(Option::is_none)
    }

    /// What has no end of a line is one, too.
    fn end(&mut self) {
        self.ready.extend(self.open.iter_mut().filter_map(Option::take));
        if self.raw.is_empty() {
            return;
        }
        let raw = std::mem::take(&mut self.raw);
        let raw = raw.strip_suffix(b"\n").unwrap_or(&raw);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        let (stamp, text) = stamped(raw);
        self.ready.push_back(line(stamp, without_inner_stamps(text)));
    }
}

fn line(stamp: &str, text: Vec<u8>) -> Line {
    Line { time: stamp.parse().ok(), stamp: stamp.to_owned(), text }
}

/// The time before an entry, and the entry.
fn stamped(entry: &[u8]) -> (&str, &[u8]) {
    let end = entry.iter().take(64).position(|byte| *byte == b' ').unwrap_or(0);
    match std::str::from_utf8(&entry[..end]) {
        Ok(stamp) if stamp.parse::<Timestamp>().is_ok() => (stamp, &entry[end + 1..]),
        _ => ("", entry),
    }
}

/// With a terminal there is nothing but the place to tell a time between two entries of a line from what the program has written.
fn without_inner_stamps(mut text: &[u8]) -> Vec<u8> {
    let mut whole = vec![];
    while text.len() > ENTRY {
        let (entry, rest) = text.split_at(ENTRY);
        whole.extend_from_slice(entry);
        text = stamped(rest).1;
    }
    whole.extend_from_slice(text);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "2026-01-31T12:00:00.000000001Z";
    const SECOND: &str = "2026-01-31T12:00:00.500000000Z";

    fn texts(splitter: &mut Splitter) -> Vec<(String, String)> {
        splitter.end();
        splitter.ready.drain(..).map(|line| (line.stamp, String::from_utf8(line.text).unwrap())).collect()
    }

    fn pair(stamp: &str, text: &str) -> (String, String) {
        (stamp.to_owned(), text.to_owned())
    }

    #[test]
    fn entries_become_lines() {
        let mut splitter = Splitter::default();
        splitter.push(Channel::Stdout, format!("{FIRST} one").as_bytes(), false);
        splitter.push(Channel::Stdout, b" and a half\n", true);
        splitter.push(Channel::Stdout, format!("{FIRST} long, ").as_bytes(), true);
        splitter.push(Channel::Stderr, format!("{SECOND} oh\n").as_bytes(), true);
        splitter.push(Channel::Stdout, format!("{SECOND} longer\n").as_bytes(), true);
        splitter.push(Channel::Stdout, format!("{SECOND} no end").as_bytes(), true);
        let expected = [pair(FIRST, "one and a half"), pair(SECOND, "oh"), pair(FIRST, "long, longer"), pair(SECOND, "no end")];
        assert_eq!(texts(&mut splitter), expected);
    }

    #[test]
    fn with_a_terminal_lines_are_found_in_the_stream() {
        let mut splitter = Splitter { tty: true, ..Splitter::default() };
        let long = "x".repeat(ENTRY);
        let sent = format!("{FIRST} one\r\n{FIRST} {long}{SECOND} rest\r\n{SECOND} end");
        for piece in sent.as_bytes().chunks(7) {
            splitter.push(Channel::Stdout, piece, false);
        }
        assert_eq!(texts(&mut splitter), [pair(FIRST, "one"), pair(FIRST, &format!("{long}rest")), pair(SECOND, "end")]);
    }

    #[test]
    fn a_line_without_end_does_not_fill_the_memory() {
        let mut splitter = Splitter::default();
        for _ in 0..100 {
            splitter.push(Channel::Stdout, format!("{FIRST} {}", "x".repeat(ENTRY)).as_bytes(), true);
        }
        assert_eq!(splitter.ready.len(), 1);
        assert!(splitter.ready[0].text.len() <= LONGEST + ENTRY);
    }
}
