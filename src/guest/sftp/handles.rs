//! What a client has open.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::status::{Code, Failure};

/// No client needs more, and each is memory of the kernel.
const MOST: u64 = 4096;
/// Standard streams, and what we open for a moment ourselves.
const OURS: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    /// A file that is written to at its end, wherever the client says.
    Log,
    Folder,
}

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) fd: OwnedFd,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) struct Handles {
    open: BTreeMap<u64, Handle>,
    /// Numbers are not used again: a late request for what has been closed must not hit another file.
    next: u64,
    most: u64,
}

impl Handle {
    /// Where to write. The kernel appends whatever the offset, but not to one that no file can have, and clients send such.
    pub(super) fn place(&self, offset: u64) -> u64 {
        if self.kind == Kind::Log { 0 } else { offset }
    }
}

impl Handles {
    pub(super) fn new() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self { open: BTreeMap::new(), next: 0, most: limit.saturating_sub(OURS).clamp(1, MOST) }
    }

    /// How many can be open at once.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    /// To be asked before something is opened: by opening, files are made and emptied.
    pub(super) fn room(&self) -> Result<(), Failure> {
        if self.open.len() as u64 >= self.most { Err(Errno::MFILE.into()) } else { Ok(()) }
    }

    pub(super) fn insert(&mut self, fd: OwnedFd, kind: Kind) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, Handle { fd, kind });
        number
    }

    /// `otherwise` is the code if there is none.
    pub(super) fn get(&self, handle: &[u8], otherwise: Code) -> Result<&Handle, Failure> {
        number(handle).and_then(|number| self.open.get(&number)).ok_or_else(|| Failure::handle(otherwise))
    }

    /// The same, but not a folder.
    pub(super) fn file(&self, handle: &[u8], otherwise: Code) -> Result<&Handle, Failure> {
        self.get(handle, otherwise)
            .and_then(|handle| if handle.kind == Kind::Folder { Err(Failure::handle(otherwise)) } else { Ok(handle) })
    }

    pub(super) fn folder(&self, handle: &[u8]) -> Result<&OwnedFd, Failure> {
        let handle = self.get(handle, Code::Failure)?;
        if handle.kind == Kind::Folder { Ok(&handle.fd) } else { Err(Failure::handle(Code::Failure)) }
    }

    pub(super) fn close(&mut self, handle: &[u8]) -> Result<(), Failure> {
        let closed = number(handle).and_then(|number| self.open.remove(&number));
        closed.map(drop).ok_or_else(|| Failure::handle(Code::NoSuchFile))
    }
}

fn number(handle: &[u8]) -> Option<u64> {
    handle.try_into().ok().map(u64::from_be_bytes)
}
