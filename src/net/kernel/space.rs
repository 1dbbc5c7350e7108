//! Network namespaces and the processes they are found by, pinned so that neither can become another's while in use.
//!
//! A namespace is entered only by threads that are thrown away afterwards: `setns` is per thread, and a thread in a foreign
//! namespace must never go back to a pool. Nothing here outlives one observation or one operation, because an open file or
//! socket keeps the namespace of a dead container, and its links, alive.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::error::Refused;
use crate::types::began;

/// A network namespace, kept alive by an open file.
pub(super) struct Space {
    file: OwnedFd,
    pub(super) inode: u64,
}

impl Space {
    pub(super) fn at(path: &Path) -> Result<Self, Refused> {
        Self::pin(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    fn pin(file: OwnedFd) -> Result<Self, Refused> {
        let inode = rustix::fs::fstat(&file)?.st_ino;
        Ok(Self { file, inode })
    }

    /// Moves the calling thread, which must be one that is thrown away, into this namespace.
    pub(super) fn enter(&self) -> Result<(), Refused> {
        Ok(move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A process, pinned by its folder in `/proc`: once it has ended, nothing can be opened through that folder any more, whoever
/// has its number by then.
pub(super) struct Process {
    folder: OwnedFd,
}

impl Process {
    pub(super) fn open(pid: u32) -> Result<Self, Refused> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(format!("/proc/{pid}"), flags, Mode::empty())?;
        Ok(Self { folder })
    }

    pub(super) fn space(&self) -> Result<Space, Refused> {
        Space::pin(rustix::fs::openat(&self.folder, "ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// Whether it sees the files of the host's first process: no container does, but whoever has got the number of one that ended.
    pub(super) fn has_hosts_files(&self) -> bool {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let own = rustix::fs::openat(&self.folder, "ns/mnt", flags, Mode::empty()).and_then(rustix::fs::fstat);
        let hosts = rustix::fs::stat("/proc/1/ns/mnt");
        own.ok().zip(hosts.ok()).is_some_and(|(own, hosts)| (own.st_dev, own.st_ino) == (hosts.st_dev, hosts.st_ino))
    }

    /// A zombie has left its namespaces already.
    pub(super) fn is_alive(&self) -> bool {
        let Ok(stat) = self.stat() else { return false };
        // `PID (name) STATE …`, and the name may hold anything, also brackets and spaces.
        let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
    }

    fn stat(&self) -> Result<String, Refused> {
        let mut text = String::new();
        let file = rustix::fs::openat(&self.folder, "stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(file).take(4096).read_to_string(&mut text)?;
        Ok(text)
    }

    pub(super) fn began(&self) -> Option<u64> {
        began(&self.stat().ok()?)
    }

    /// The words that it was started with, each with a zero behind it.
    pub(super) fn command_line(&self) -> Result<Vec<u8>, Refused> {
        let mut line = vec![];
        let file = rustix::fs::openat(&self.folder, "cmdline", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(file).take(4096).read_to_end(&mut line)?;
        Ok(line)
    }

    /// Opens a folder as the process sees it, within its own root.
    pub(super) fn folder(&self, path: &str) -> Result<OwnedFd, Refused> {
        self.open_within(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens a file as the process sees it. Its symbolic links cannot lead out of its own root: a container could otherwise have
    /// fly read or write the host's files.
    pub(super) fn file(&self, path: &str, flags: OFlags) -> Result<File, Refused> {
        let file = File::from(self.open_within(path, flags | OFlags::NOCTTY | OFlags::NONBLOCK)?);
        if !file.metadata()?.is_file() {
            return Err(Refused::new(Errno::INVAL, format!("`/{path}` is no regular file")));
        }
        Ok(file)
    }

    fn open_within(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Refused> {
        let root = rustix::fs::openat(&self.folder, "root", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok(rustix::fs::openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }
}

/// Is that how a process that has ended shows itself?
pub(super) fn has_ended(refused: &Refused) -> bool {
    refused.is(&[Errno::NOENT, Errno::SRCH])
}
