//! A tar stream as files of this computer.
//!
//! The stream may say anything. Every directory on the way to an entry is opened one by one, from the folder that it is unpacked in,
//! and none of them through a link; a name that leads up or out ends it. So it does not matter which links the stream has laid
//! before, nor who changes something meanwhile.
//!
//! A file grows under a name of its own and gets the final one when it is whole: nobody ever sees half of it there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use tar::{EntryType, Header};

use super::read::{Item, Reader};
use super::{BUFFER, Note, Tell, shown};

/// How names of the stream become names in the folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// What every name has to begin with; nothing, where the stream holds only what is in a directory.
    pub from: Option<Vec<u8>>,
    /// What that becomes; nothing leaves it.
    pub to: Option<Vec<u8>>,
}

impl Place {
    /// The parts of a name, as they are to be; none is the folder itself.
    pub(super) fn parts(&self, name: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let leads_out = || io::Error::other(format!("the archive names `{}`, which is not in what was asked for: refused", shown(name)));
        if name.contains(&0) || self.from.is_some() && name.starts_with(b"/") {
            return Err(leads_out());
        }
        let mut parts: Vec<Vec<u8>> = vec![];
        for part in name.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(leads_out()),
                part => parts.push(part.to_vec()),
            }
        }
        match (&self.from, parts.first()) {
            (Some(from), Some(first)) if first == from => {
                if let Some(to) = &self.to {
                    parts[0].clone_from(to);
                }
            }
            (Some(_), _) => return Err(leads_out()),
            (None, _) => parts.splice(..0, self.to.clone()).for_each(drop),
        }
        Ok(parts)
    }
}

/// Unpacks into `folder`, which is there. With `owners`, what it makes belongs to whom the stream says.
pub fn unpack(archive: impl Read, folder: &Path, place: &Place, owners: bool, tell: Tell<'_>) -> io::Result<()> {
    let root = fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut unpacker = Unpacker { root, at: vec![], owners, directories: vec![], tell, buffer: vec![0; BUFFER], number: 0 };
    let mut archive = Reader::new(archive);
    while let Some(item) = archive.next()? {
        let parts = place.parts(&item.name)?;
        unpacker.entry(&item, &mut archive, place, &parts).map_err(|error| {
            let path = shown(&parts.join(&b'/'));
            io::Error::new(error.kind(), format!("{path}: {}", words(&error)))
        })?;
    }
    archive.drain()?;
    unpacker.finish()
}

fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

struct Unpacker<'a> {
    root: OwnedFd,
    /// The directories down to where the last entry was, each opened from the one before.
    at: Vec<(Vec<u8>, OwnedFd)>,
    owners: bool,
    /// Modes and times come last: until then things are put into them.
    directories: Vec<(Vec<Vec<u8>>, Header)>,
    tell: Tell<'a>,
    buffer: Vec<u8>,
    number: u64,
}

impl Unpacker<'_> {
    fn entry(&mut self, item: &Item, content: &mut impl Read, place: &Place, parts: &[Vec<u8>]) -> io::Result<()> {
        let header = &item.header;
        let kind = header.entry_type();
        let Some((name, folder)) = parts.split_last() else {
            // The folder itself, which was there before.
            return Ok(());
        };
        match kind {
            EntryType::Directory => {
                let folder = self.folder(folder)?;
                make_directory(folder, name)?;
                self.directories.push((parts.to_vec(), header.clone()));
                return Ok(());
            }
            EntryType::Regular | EntryType::Continuous => self.file(content, header, folder, name)?,
            EntryType::Symlink => {
                self.put(folder, name, Some(header), |folder, new| {
                    fs::symlinkat(OsStr::from_bytes(&item.link), folder, OsStr::from_bytes(new))
                })?;
            }
            EntryType::Link => {
                let target = place.parts(&item.link)?;
                let Some((old, from)) = target.split_last() else { return Err(io::Error::other("a link to a directory")) };
                let from = open_folder(self.root.as_fd(), from)?;
                self.put(folder, name, None, |folder, new| {
                    fs::linkat(&from, OsStr::from_bytes(old), folder, OsStr::from_bytes(new), AtFlags::empty())
                })?;
            }
            EntryType::Fifo => self.put(folder, name, Some(header), |folder, new| {
                fs::mknodat(folder, OsStr::from_bytes(new), FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            })?,
            // A device would be a way into this computer.
            EntryType::Block | EntryType::Char => {
                (self.tell)(Note::Skipped { path: shown(&parts.join(&b'/')), why: "a device" });
                return Ok(());
            }
            _ => return Ok(()),
        }
        (self.tell)(Note::File);
        Ok(())
    }

    fn file(&mut self, content: &mut impl Read, header: &Header, folder: &[Vec<u8>], name: &[u8]) -> io::Result<()> {
        let temporary = self.temporary();
        let folder = self.folder(folder)?.try_clone_to_owned()?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&folder, OsStr::from_bytes(&temporary), flags, Mode::from_raw_mode(0o600))?;
        let unfinished = Unfinished { folder: folder.as_fd(), name: &temporary };
        let mut file = File::from(file);
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => {
                    file.write_all(&self.buffer[..length])?;
                    (self.tell)(Note::Bytes(length as u64));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.owners {
            let (uid, gid) = owner(header)?;
            fs::fchown(&file, Some(uid), Some(gid))?;
        }
        fs::fchmod(&file, mode(header, self.owners)?)?;
        fs::futimens(&file, &times(header))?;
        unfinished.becomes(name)
    }

    /// Makes something that is no file: under a name of its own, then under the final one.
    fn put(
        &mut self,
        folder: &[Vec<u8>],
        name: &[u8],
        header: Option<&Header>,
        make: impl FnOnce(BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
    ) -> io::Result<()> {
        let (temporary, owners) = (self.temporary(), self.owners);
        let folder = self.folder(folder)?;
        make(folder, &temporary)?;
        let unfinished = Unfinished { folder, name: &temporary };
        if let Some(header) = header {
            let path = OsStr::from_bytes(&temporary);
            if owners {
                let (uid, gid) = owner(header)?;
                fs::chownat(folder, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
            }
            if header.entry_type() == EntryType::Fifo {
                fs::chmodat(folder, path, mode(header, owners)?, AtFlags::empty())?;
            }
            fs::utimensat(folder, path, &times(header), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        unfinished.becomes(name)
    }

    /// The directory of these names, made where it is not there.
    fn folder(&mut self, parts: &[Vec<u8>]) -> io::Result<BorrowedFd<'_>> {
        let common = self.at.iter().zip(parts).take_while(|((name, _), part)| name == *part).count();
        self.at.truncate(common);
        for part in &parts[common..] {
            let folder = self.at.last().map_or(self.root.as_fd(), |(_, folder)| folder.as_fd());
            let next = match open_one(folder, part) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::mkdirat(folder, OsStr::from_bytes(part), Mode::from_raw_mode(0o755))?;
                    open_one(folder, part)?
                }
                other => other?,
            };
            self.at.push((part.clone(), next));
        }
        Ok(self.at.last().map_or(self.root.as_fd(), |(_, folder)| folder.as_fd()))
    }

    fn temporary(&mut self) -> Vec<u8> {
        self.number += 1;
        format!(".fly-cp-{}-{}", std::process::id(), self.number).into_bytes()
    }

    /// The innermost first: nothing is put into them any more, and one that may not be entered afterwards need not be.
    fn finish(mut self) -> io::Result<()> {
        self.at.clear();
        for (parts, header) in self.directories.iter().rev() {
            let Some((name, folder)) = parts.split_last() else { continue };
            let folder = open_folder(self.root.as_fd(), folder)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = fs::openat(&folder, OsStr::from_bytes(name), flags, Mode::empty())?;
            if self.owners {
                let (uid, gid) = owner(header)?;
                fs::fchown(&directory, Some(uid), Some(gid))?;
            }
            fs::fchmod(&directory, mode(header, true)?)?;
            fs::futimens(&directory, &times(header))?;
        }
        Ok(())
    }
}

fn make_directory(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let path = OsStr::from_bytes(name);
    match fs::mkdirat(folder, path, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) => {}
        other => return Ok(other?),
    }
    let there = fs::statat(folder, path, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(there.st_mode).is_dir() {
        return Ok(());
    }
    Err(io::Error::other("there is something else of that name, which a directory does not replace"))
}

fn open_folder(root: BorrowedFd<'_>, parts: &[Vec<u8>]) -> io::Result<OwnedFd> {
    let mut folder = root.try_clone_to_owned()?;
    for part in parts {
        folder = open_one(folder.as_fd(), part)?;
    }
    Ok(folder)
}

/// A directory, and no link to one.
fn open_one(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match fs::openat(folder, OsStr::from_bytes(name), flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => {
            Err(io::Error::other(format!("`{}` is a link or a file: nothing is written through it", shown(name))))
        }
        other => Ok(other?),
    }
}

/// Something that has not got its name yet, and goes if it never gets it.
struct Unfinished<'a> {
    folder: BorrowedFd<'a>,
    name: &'a [u8],
}

impl Unfinished<'_> {
    fn becomes(self, name: &[u8]) -> io::Result<()> {
        match fs::renameat(self.folder, OsStr::from_bytes(self.name), self.folder, OsStr::from_bytes(name)) {
            Err(Errno::ISDIR) => Err(io::Error::other("there is a directory of that name, which nothing else replaces")),
            other => Ok(other?),
        }
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        // Also after it got its name: of two names of one file, the kernel takes renaming for done and leaves both.
        let _ = fs::unlinkat(self.folder, OsStr::from_bytes(self.name), AtFlags::empty());
    }
}

/// Without its owner, a file has no business with the rights of one: setuid and setgid go.
fn mode(header: &Header, whole: bool) -> io::Result<Mode> {
    let mask = if whole { 0o7777 } else { 0o1777 };
    Ok(Mode::from_raw_mode(header.mode()? & mask))
}

fn owner(header: &Header) -> io::Result<(Uid, Gid)> {
    let number = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(|| io::Error::other("an owner that cannot be"));
    Ok((Uid::from_raw(number(header.uid()?)?), Gid::from_raw(number(header.gid()?)?)))
}

fn times(header: &Header) -> Timestamps {
    let seconds = header.mtime().ok().and_then(|time| i64::try_from(time).ok()).unwrap_or(0);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
