//! What is done to a path. Each of these is one call of the kernel, except where the protocol asks for more than there is a call for.

use rustix::fs::{AtFlags, CWD, FileType, OFlags, RenameFlags, StatVfs, StatVfsMountFlags};
use rustix::io::Errno;

use super::codec::Attributes;
use super::files::{mode, set_all};
use super::output::{Kind, Output};
use super::server::{Answer, done};
use super::status::{Code, Failure};

pub(super) fn set(path: &[u8], attributes: &Attributes) -> Result<Answer, Failure> {
    set_all(
        attributes,
        |size| truncate(path, size),
        |user, group| rustix::fs::chown(path, user, group),
        |mode| rustix::fs::chmod(path, mode),
        |times| rustix::fs::utimensat(CWD, path, times, AtFlags::empty()),
    )
}

/// Of a link itself, not of what it leads to.
pub(super) fn set_link(path: &[u8], attributes: &Attributes) -> Result<Answer, Failure> {
    if attributes.size.is_some() {
        return Err(Failure::new(Code::BadMessage, "A link has no size to set"));
    }
    set_all(
        attributes,
        |_| Ok(()),
        |user, group| rustix::fs::chownat(CWD, path, user, group, AtFlags::SYMLINK_NOFOLLOW),
        |mode| chmod_link(path, mode),
        |times| rustix::fs::utimensat(CWD, path, times, AtFlags::SYMLINK_NOFOLLOW),
    )
}

/// There is no such call before Linux 6.6, and links have no permissions there or later: for what is not a link, libc's detour.
fn chmod_link(path: &[u8], mode: rustix::fs::Mode) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let file = rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    rustix::fs::chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode)
}

fn truncate(path: &[u8], size: u64) -> Result<(), Errno> {
    // Opening a pipe would wait for a reader, and opening a device can do something; neither has a size.
    match FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    rustix::fs::ftruncate(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?, size)
}

pub(super) fn make_dir(path: &[u8], permissions: Option<u32>) -> Result<Answer, Failure> {
    done(rustix::fs::mkdir(path, mode(permissions.unwrap_or(0o777))))
}

/// Never over something that is there: that is what the protocol says, and posix-rename is for those who want the other.
pub(super) fn rename(from: &[u8], to: &[u8]) -> Result<Answer, Failure> {
    done(match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => rename_in_steps(from, to),
        done => done,
    })
}

pub(super) fn rename_in_steps(from: &[u8], to: &[u8]) -> Result<(), Errno> {
    if FileType::from_raw_mode(rustix::fs::lstat(from)?.st_mode) == FileType::RegularFile {
        match rustix::fs::link(from, to) {
            Ok(()) => {
                let removed = rustix::fs::unlink(from);
                if removed.is_err() {
                    // Then it stays where it was, and only there.
                    let _ = rustix::fs::unlink(to);
                }
                return removed;
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV | Errno::PERM | Errno::MLINK) => {}
            Err(errno) => return Err(errno),
        }
    }
    match rustix::fs::lstat(to) {
        Ok(_) => Err(Errno::EXIST),
        Err(_) => rustix::fs::rename(from, to),
    }
}

pub(super) fn send_volume(volume: &StatVfs, id: u32, output: &mut Output) -> Result<Answer, Failure> {
    let flag = |flag, bit: u64| if volume.f_flag.contains(flag) { bit } else { 0 };
    let numbers = [
        volume.f_bsize,
        volume.f_frsize,
        volume.f_blocks,
        volume.f_bfree,
        volume.f_bavail,
        volume.f_files,
        volume.f_ffree,
        volume.f_favail,
        volume.f_fsid,
        flag(StatVfsMountFlags::RDONLY, 1) | flag(StatVfsMountFlags::NOSUID, 2),
        volume.f_namemax,
    ];
    output.packet(Kind::Extended, id, |draft| numbers.into_iter().for_each(|number| draft.u64(number)))?;
    Ok(Answer::Sent)
}
