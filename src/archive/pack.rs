//! Files of this computer as a tar stream.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use super::{Note, Tell, shown};

/// Writes `source` and all that is in it, called `name` there; with no name, only what is in it. Links stay links.
///
/// What cannot be read is told and left out; what cannot be written ends it.
pub fn pack(source: &Path, name: Option<&[u8]>, out: impl Write, tell: Tell<'_>) -> io::Result<()> {
    let mut packer = Packer { builder: Builder::new(out), seen: HashMap::new(), tell };
    let mut left = vec![(source.to_path_buf(), name.unwrap_or_default().to_vec())];
    while let Some((path, name)) = left.pop() {
        if packer.entry(&path, &name)? {
            // Backwards, because the last is the next.
            left.extend(packer.children(&path, &name).into_iter().rev());
        }
    }
    packer.builder.into_inner()?.flush()
}

struct Packer<'a, W: Write> {
    builder: Builder<W>,
    /// Files with several names, by device and inode, with the name that came first.
    seen: HashMap<(u64, u64), Vec<u8>>,
    tell: Tell<'a>,
}

impl<W: Write> Packer<'_, W> {
    /// Writes one; whether it is a directory, whose content follows.
    fn entry(&mut self, path: &Path, name: &[u8]) -> io::Result<bool> {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return Ok(self.failed(path, &error)),
        };
        let kind = metadata.file_type();
        if kind.is_dir() {
            if !name.is_empty() {
                self.put(&metadata, EntryType::Directory, &[name, b"/"].concat(), None)?;
            }
            return Ok(true);
        }
        if kind.is_socket() {
            (self.tell)(Note::Skipped { path: path.display().to_string(), why: "a socket" });
            return Ok(false);
        }
        let inode = (metadata.dev(), metadata.ino());
        if let Some(first) = self.seen.get(&inode).cloned() {
            self.put(&metadata, EntryType::Link, name, Some(&first))?;
        } else if kind.is_symlink() {
            match fs::read_link(path) {
                Ok(target) => self.put(&metadata, EntryType::Symlink, name, Some(target.as_os_str().as_bytes()))?,
                Err(error) => return Ok(self.failed(path, &error)),
            }
        } else if kind.is_file() {
            if !self.file(path, name)? {
                return Ok(false);
            }
        } else if kind.is_fifo() {
            self.put(&metadata, EntryType::Fifo, name, None)?;
        } else {
            let kind = if kind.is_block_device() { EntryType::Block } else { EntryType::Char };
            self.put(&metadata, kind, name, None)?;
        }
        if metadata.nlink() > 1 {
            self.seen.entry(inode).or_insert_with(|| name.to_vec());
        }
        Ok(false)
    }

    /// By name, so that two runs say the same.
    fn children(&mut self, path: &Path, name: &[u8]) -> Vec<(PathBuf, Vec<u8>)> {
        let names = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>());
        let mut names = names.unwrap_or_else(|error| {
            self.failed(path, &error);
            vec![]
        });
        names.sort();
        let below = |child: &OsStr| if name.is_empty() { child.as_bytes().to_vec() } else { [name, child.as_bytes()].join(&b'/') };
        names.iter().map(|child| (path.join(child), below(child))).collect()
    }

    fn file(&mut self, path: &Path, name: &[u8]) -> io::Result<bool> {
        // Should it have become a FIFO meanwhile, opening it must not wait, and a link must not be followed.
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
        let opened = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
        let (file, metadata) = match opened.and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
            Ok((file, metadata)) if metadata.is_file() => (file, metadata),
            Ok(_) => return Ok(self.failed(path, &io::Error::other("it has become something else"))),
            Err(error) => return Ok(self.failed(path, &error)),
        };
        let (mut header, extra) = header(&metadata, EntryType::Regular, name, None);
        header.set_size(metadata.len());
        header.set_cksum();
        self.extensions(&extra)?;
        let mut content = Content { file, left: metadata.len(), tell: &mut *self.tell, lost: None };
        self.builder.append(&header, &mut content)?;
        match content.lost {
            None => (self.tell)(Note::File),
            Some(why) => (self.tell)(Note::Failed { path: path.display().to_string(), why }),
        }
        Ok(true)
    }

    fn put(&mut self, metadata: &Metadata, kind: EntryType, name: &[u8], link: Option<&[u8]>) -> io::Result<()> {
        let (mut header, extra) = header(metadata, kind, name, link);
        header.set_cksum();
        self.extensions(&extra)?;
        self.builder.append(&header, io::empty())?;
        if kind != EntryType::Directory {
            (self.tell)(Note::File);
        }
        Ok(())
    }

    fn extensions(&mut self, extra: &[(&str, &[u8])]) -> io::Result<()> {
        if extra.is_empty() { Ok(()) } else { self.builder.append_pax_extensions(extra.iter().copied()) }
    }

    /// Tells it. What is left out has nothing in it.
    fn failed(&mut self, path: &Path, error: &io::Error) -> bool {
        let why = error.to_string();
        let why = why.split(" (os error").next().unwrap_or_default().to_lowercase();
        (self.tell)(Note::Failed { path: shown(path.as_os_str().as_bytes()), why });
        false
    }
}

/// The fixed part, and what does not fit into it: long names. They are bytes, whatever they say.
fn header<'a>(metadata: &Metadata, kind: EntryType, name: &'a [u8], link: Option<&'a [u8]>) -> (Header, Vec<(&'static str, &'a [u8])>) {
    let mut header = Header::new_ustar();
    let mut extra = vec![];
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(metadata.uid().into());
    header.set_gid(metadata.gid().into());
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0));
    if matches!(kind, EntryType::Block | EntryType::Char) {
        let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
        // Only a header that is not ustar refuses these.
        let _ = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
    }
    let old = header.as_old_mut();
    match old.name.get_mut(..name.len()) {
        Some(place) => place.copy_from_slice(name),
        None => extra.push(("path", name)),
    }
    if let Some(link) = link {
        match old.linkname.get_mut(..link.len()) {
            Some(place) => place.copy_from_slice(link),
            None => extra.push(("linkpath", link)),
        }
    }
    (header, extra)
}

/// Exactly as many bytes as the header has said: what has grown since is cut, what has shrunk is filled up, and told.
struct Content<'a> {
    file: File,
    left: u64,
    tell: &'a mut dyn FnMut(Note),
    lost: Option<String>,
}

impl Read for Content<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..most];
        if buf.is_empty() {
            return Ok(0);
        }
        let length = match self.file.read(buf) {
            Ok(length @ 1..) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            other => {
                let why = other.map_or_else(|error| error.to_string(), |_| "it became shorter while it was read".to_owned());
                self.lost.get_or_insert(why);
                buf.fill(0);
                most
            }
        };
        self.left -= length as u64;
        (self.tell)(Note::Bytes(length as u64));
        Ok(length)
    }
}
