//! Packets in, answers out, over two descriptors that block.
//!
//! Both buffers have their size from the beginning to the end, whatever a client sends.

use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, retry_on_intr};

use super::codec::MAX_PACKET;
use super::output::Output;
use super::status::Broken;

/// Room for several of the longest packets, so that the rest of one is seldom moved to the front.
const ROOM: usize = 4 * MAX_PACKET;

#[derive(Debug)]
pub(super) struct Input {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; ROOM].into(), start: 0, end: 0 }
    }

    /// Where the next packet lies, if it is there completely.
    pub(super) fn next(&mut self) -> Result<Option<Range<usize>>, Broken> {
        let Some(length) = self.length()? else { return Ok(None) };
        let packet = self.start + 4..self.start + 4 + length;
        if packet.end > self.end {
            return Ok(None);
        }
        self.start = packet.end;
        Ok(Some(packet))
    }

    pub(super) fn bytes(&self, packet: Range<usize>) -> &[u8] {
        &self.buffer[packet]
    }

    fn length(&self) -> Result<Option<usize>, Broken> {
        let Some(head) = self.buffer[self.start..self.end].first_chunk() else { return Ok(None) };
        let claimed = u32::from_be_bytes(*head);
        match usize::try_from(claimed) {
            Ok(length) if (1..=MAX_PACKET).contains(&length) => Ok(Some(length)),
            _ => Err(Broken::BadLength(claimed)),
        }
    }

    /// Waits for more. `false`: there will be none.
    pub(super) fn fill(&mut self, from: impl AsFd) -> Result<bool, Errno> {
        let wanted = 4 + self.length().ok().flatten().unwrap_or(MAX_PACKET);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let count = patiently(from.as_fd(), PollFlags::IN, || rustix::io::read(&from, &mut self.buffer[self.end..]))?;
        self.end += count;
        Ok(count > 0)
    }
}

/// Sends all that is waiting. `false`: nobody reads any more.
pub(super) fn flush(output: &mut Output, to: impl AsFd) -> Result<bool, Errno> {
    let mut rest = output.waiting();
    while !rest.is_empty() {
        match patiently(to.as_fd(), PollFlags::OUT, || rustix::io::write(&to, rest)) {
            Ok(0) | Err(Errno::PIPE) => return Ok(false),
            Ok(count) => rest = &rest[count..],
            Err(errno) => return Err(errno),
        }
    }
    output.clear();
    Ok(true)
}

/// Also where somebody who shares the descriptor has made it not block.
fn patiently(fd: BorrowedFd, event: PollFlags, mut act: impl FnMut() -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match act() {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                retry_on_intr(|| poll(&mut [PollFd::from_borrowed_fd(fd, event)], None))?;
            }
            done => return done,
        }
    }
}
