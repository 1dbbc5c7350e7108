//! What is done with an open file.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use super::codec::{Attributes, MAX_DATA};
use super::handles::{Handles, Kind};
use super::output::Output;
use super::server::{Answer, done};
use super::status::{Code, Failure};

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    flags: OFlags,
    mode: Mode,
}

impl Open {
    /// Of the attributes only the permissions count, and only if the file is made: as in OpenSSH, whose client sends the rest again.
    pub(super) fn new(asked: u32, permissions: Option<u32>) -> Self {
        let access = match (asked & 1 != 0, asked & 2 != 0) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        // A terminal that is opened must not become ours: its hangup would end the session.
        let mut flags = access | OFlags::CLOEXEC | OFlags::NOCTTY;
        for (bit, flag) in [(4, OFlags::APPEND), (8, OFlags::CREATE), (16, OFlags::TRUNC), (32, OFlags::EXCL)] {
            flags.set(flag, asked & bit != 0);
        }
        Self { flags, mode: mode(permissions.unwrap_or(0o666)) }
    }

    pub(super) fn changes(self) -> bool {
        self.flags.intersects(OFlags::WRONLY | OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)
    }

    pub(super) fn open(self, handles: &mut Handles, path: &[u8]) -> Result<Answer, Failure> {
        handles.room()?;
        let file = retry_on_intr(|| rustix::fs::open(path, self.flags, self.mode))?;
        let kind = if self.flags.contains(OFlags::APPEND) { Kind::Log } else { Kind::File };
        Ok(Answer::Handle(handles.insert(file, kind)))
    }
}

/// Permissions only: clients send the kind of file along.
pub(super) fn mode(permissions: u32) -> Mode {
    Mode::from_raw_mode(permissions & 0o7777)
}

pub(super) fn read(handles: &Handles, handle: &[u8], offset: u64, length: u32, id: u32, output: &mut Output) -> Result<Answer, Failure> {
    let file = &handles.file(handle, Code::Failure)?.fd;
    let most = usize::try_from(length).unwrap_or(MAX_DATA).min(MAX_DATA);
    if output.data(id, most, |place| retry_on_intr(|| pread(file, &mut *place, offset)))? {
        Ok(Answer::Sent)
    } else {
        Err(Failure::new(Code::Eof, "End of file"))
    }
}

pub(super) fn write(handles: &Handles, handle: &[u8], offset: u64, data: &[u8]) -> Result<Answer, Failure> {
    let file = handles.file(handle, Code::Failure)?;
    done(write_all(&file.fd, file.place(offset), data))
}

fn write_all(file: &OwnedFd, mut offset: u64, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        let count = retry_on_intr(|| pwrite(file, data, offset))?;
        if count == 0 {
            return Err(Errno::IO);
        }
        data = &data[count..];
        offset = offset.saturating_add(count as u64);
    }
    Ok(())
}

pub(super) fn stat(handles: &Handles, handle: &[u8]) -> Result<Answer, Failure> {
    let handle = handles.get(handle, Code::Failure)?;
    Ok(Answer::Attributes(Attributes::of(&rustix::fs::fstat(&handle.fd)?)))
}

pub(super) fn set(handles: &Handles, handle: &[u8], attributes: &Attributes) -> Result<Answer, Failure> {
    let fd = handles.get(handle, Code::Failure)?.fd.as_fd();
    set_all(
        attributes,
        |size| rustix::fs::ftruncate(fd, size),
        |user, group| rustix::fs::fchown(fd, user, group),
        |mode| rustix::fs::fchmod(fd, mode),
        |times| rustix::fs::futimens(fd, times),
    )
}

/// Everything that is asked for, also if something of it fails; the first failure is the answer. The owner before the permissions,
/// because a new owner takes the setuid bit away, and the size before the times.
pub(super) fn set_all(
    attributes: &Attributes,
    size: impl FnOnce(u64) -> Result<(), Errno>,
    owner: impl FnOnce(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    permissions: impl FnOnce(Mode) -> Result<(), Errno>,
    times: impl FnOnce(&Timestamps) -> Result<(), Errno>,
) -> Result<Answer, Failure> {
    let known = |id: u32| (id != u32::MAX).then_some(id);
    let results = [
        attributes.size.map(size),
        attributes.owner.map(|(user, group)| owner(known(user).map(Uid::from_raw), known(group).map(Gid::from_raw))),
        attributes.permissions.map(|bits| permissions(mode(bits))),
        attributes.times.map(|(access, change)| times(&timestamps(access, change))),
    ];
    done(results.into_iter().flatten().collect())
}

fn timestamps(access: u32, change: u32) -> Timestamps {
    let whole = |seconds: u32| Timespec { tv_sec: seconds.into(), tv_nsec: 0 };
    Timestamps { last_access: whole(access), last_modification: whole(change) }
}

/// From one open file to another, without a way through the client. A length of 0: until the end.
pub(super) fn copy(handles: &Handles, from: (&[u8], u64), to: (&[u8], u64), length: u64) -> Result<Answer, Failure> {
    let source = handles.file(from.0, Code::NoSuchFile)?;
    let target = handles.file(to.0, Code::NoSuchFile)?;
    let (from, to) = (from.1, target.place(to.1));
    let (source, target) = (&source.fd, &target.fd);
    let (read, written) = (rustix::fs::fstat(source)?, rustix::fs::fstat(target)?);
    if (read.st_dev, read.st_ino) == (written.st_dev, written.st_ino) {
        // A file that is appended to while it is read to its end has none.
        return Err(Failure::new(Code::Failure, "A file cannot be copied to itself"));
    }
    let wanted = if length == 0 { u64::MAX - from } else { length };
    let copied = copy_in_kernel(source, target, from, to, wanted);
    let copied = copied + copy_by_hand(source, target, from.saturating_add(copied), to.saturating_add(copied), wanted - copied)?;
    if length != 0 && copied < length { Err(Failure::new(Code::Eof, "End of file")) } else { Ok(Answer::Done) }
}

/// As far as it goes: not between all file systems, not for files that are made when they are read, not for appending.
fn copy_in_kernel(source: &OwnedFd, target: &OwnedFd, mut from: u64, mut to: u64, wanted: u64) -> u64 {
    let mut copied = 0;
    while copied < wanted {
        let most = usize::try_from(wanted - copied).unwrap_or(usize::MAX).min(1 << 30);
        match retry_on_intr(|| rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), most)) {
            Ok(count) if count > 0 => copied += count as u64,
            _ => break,
        }
    }
    copied
}

fn copy_by_hand(source: &OwnedFd, target: &OwnedFd, from: u64, to: u64, wanted: u64) -> Result<u64, Errno> {
    let mut buffer = vec![0; MAX_DATA];
    let mut copied = 0;
    while copied < wanted {
        let most = usize::try_from(wanted - copied).unwrap_or(MAX_DATA).min(MAX_DATA);
        let count = retry_on_intr(|| pread(source, &mut buffer[..most], from.saturating_add(copied)))?;
        if count == 0 {
            break;
        }
        write_all(target, to.saturating_add(copied), &buffer[..count])?;
        copied += count as u64;
    }
    Ok(copied)
}
