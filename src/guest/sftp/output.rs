//! Answers on their way out.
//!
//! They gather in one buffer that never grows, so that many small answers leave in one write, and data of a file is read to where it
//! is written from.

use rustix::io::Errno;

use super::codec::{Attributes, MAX_PACKET};
use super::status::{Code, Failure};

/// With this much waiting the answers have to leave before the next request is looked at.
const FULL: usize = MAX_PACKET;

#[derive(Debug)]
pub(super) struct Output {
    buffer: Box<[u8]>,
    end: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; FULL + 4 + MAX_PACKET].into(), end: 0 }
    }

    pub(super) fn waiting(&self) -> &[u8] {
        &self.buffer[..self.end]
    }

    pub(super) fn clear(&mut self) {
        self.end = 0;
    }

    pub(super) fn is_full(&self) -> bool {
        self.end >= FULL
    }

    /// A packet without a number: only the greeting is one.
    pub(super) fn greeting(&mut self, fill: impl FnOnce(&mut Draft)) -> Result<(), Failure> {
        self.draft(2, fill)
    }

    pub(super) fn packet(&mut self, kind: Kind, id: u32, fill: impl FnOnce(&mut Draft)) -> Result<(), Failure> {
        self.draft(kind as u8, |draft| {
            draft.u32(id);
            fill(draft);
        })
    }

    fn draft(&mut self, kind: u8, fill: impl FnOnce(&mut Draft)) -> Result<(), Failure> {
        let start = self.end;
        let limit = self.buffer.len().min(start + 4 + MAX_PACKET);
        let mut draft = Draft { buffer: &mut self.buffer[..limit], end: start + 4, fits: true };
        draft.bytes(&[kind]);
        fill(&mut draft);
        if !draft.fits {
            return Err(Failure::new(Code::Failure, "The answer is too long for a packet"));
        }
        self.end = draft.end;
        self.set_length(start);
        Ok(())
    }

    fn set_length(&mut self, start: usize) {
        let length = u32::try_from(self.end - start - 4).unwrap_or(u32::MAX);
        self.buffer[start..start + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn status(&mut self, id: u32, code: Code, text: &str, version: u32) {
        // It always fits: what is said of an error is short.
        let _ = self.packet(Kind::Status, id, |draft| {
            draft.u32(code as u32);
            if version >= 3 {
                draft.string(text.as_bytes());
                draft.string(b"");
            }
        });
    }

    /// One name without attributes: the answer to whoever asks for a path.
    pub(super) fn name(&mut self, id: u32, name: &[u8]) -> Result<(), Failure> {
        self.packet(Kind::Name, id, |draft| {
            draft.u32(1);
            draft.string(name);
            draft.string(name);
            draft.attributes(&Attributes::default());
        })
    }

    /// At most `most` bytes that `read` puts into the packet itself. None of them is no packet at all: `false`.
    pub(super) fn data(&mut self, id: u32, most: usize, read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Result<bool, Failure> {
        let start = self.end;
        let room = start + 4 + 1 + 4 + 4;
        let limit = self.buffer.len().min(room.saturating_add(most));
        let length = read(&mut self.buffer[room..limit])?;
        if length == 0 && most > 0 {
            return Ok(false);
        }
        self.packet(Kind::Data, id, |draft| draft.u32(u32::try_from(length).unwrap_or(u32::MAX)))?;
        self.end += length;
        self.set_length(start);
        Ok(true)
    }
}

#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Status = 101,
    Handle = 102,
    Data = 103,
    Name = 104,
    Attributes = 105,
    Extended = 201,
}

/// A packet while it is made. What does not fit is left out, and then the packet is not sent.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    buffer: &'a mut [u8],
    end: usize,
    fits: bool,
}

impl Draft<'_> {
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.end..self.end + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.end += bytes.len();
            }
            None => self.fits = false,
        }
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    pub(super) fn string(&mut self, string: &[u8]) {
        self.u32(u32::try_from(string.len()).unwrap_or(u32::MAX));
        self.bytes(string);
    }

    pub(super) fn attributes(&mut self, attributes: &Attributes) {
        attributes.encode(&mut |bytes| self.bytes(bytes));
    }
}
