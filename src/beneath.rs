//! Files beneath one folder, and nothing else: no `..` and no symbolic link leads out of it, and only regular files are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// A folder that files are read from.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// A name in a folder can change while it is looked up: the kernel then wants to be asked again.
const TRIES: usize = 16;

const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

impl Folder {
    /// Whoever names it may name it by links.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(path)?;
        Ok(Self { fd: openat(CWD, &path, FOLDER, Mode::empty())?, path })
    }

    /// Without any link in it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A regular file, whatever else bears its name being refused: a pipe would be waited for, a device never ends.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        let fd = self.beneath(path, FILE).map_err(|error| self.named(error))?;
        match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
            FileType::RegularFile => Ok(File::from(fd)),
            FileType::Directory => Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
        }
    }

    /// All of a file that is not larger than `most`.
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        self.file(path)?.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {}", crate::types::Bytes(most).human())));
        }
        Ok(bytes)
    }

    /// The names in a folder beneath.
    pub fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let folder = rustix::fs::Dir::new(self.beneath(path, FOLDER)?)?;
        let names = folder.filter_map(Result::ok).filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned));
        Ok(names.filter(|name| name != "." && name != "..").collect())
    }

    /// Whether there is anything of that name, a link itself counting as such.
    pub fn has(&self, path: &Path) -> bool {
        self.beneath(path, OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW).is_ok()
    }

    fn named(&self, error: Errno) -> io::Error {
        match error {
            Errno::XDEV => io::Error::new(io::ErrorKind::PermissionDenied, format!("it leads out of `{}`", self.path.display())),
            error => error.into(),
        }
    }

    fn beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        for _ in 0..TRIES {
            match openat2(&self.fd, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS) {
                Err(Errno::AGAIN) => {}
                // Kernels before 5.6, and engines whose filters do not know the call.
                Err(Errno::NOSYS | Errno::PERM) => return self.step_by_step(path, flags),
                done => return done,
            }
        }
        Err(Errno::AGAIN)
    }

    /// The same without any link on the way, which is stricter.
    fn step_by_step(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut parts = vec![];
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name),
                Component::CurDir => {}
                Component::ParentDir => drop(parts.pop().ok_or(Errno::XDEV)?),
                Component::RootDir | Component::Prefix(_) => return Err(Errno::XDEV),
            }
        }
        let Some((last, folders)) = parts.split_last() else { return openat(&self.fd, ".", flags, Mode::empty()) };
        let mut at = None;
        for folder in folders {
            let from = at.as_ref().unwrap_or(&self.fd);
            at = Some(openat(from.as_fd(), *folder, FOLDER | OFlags::NOFOLLOW, Mode::empty())?);
        }
        openat(at.as_ref().unwrap_or(&self.fd), *last, flags | OFlags::NOFOLLOW, Mode::empty())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_leads_out_by_either_way() {
        let root = PathBuf::from(format!("/tmp/fly-beneath-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&root);
        std::fs::create_dir_all(root.join("in/sub")).unwrap();
        std::fs::write(root.join("secret"), "canary").unwrap();
        std::fs::write(root.join("in/sub/good"), "good").unwrap();
        symlink("../../secret", root.join("in/sub/out")).unwrap();
        symlink("/etc/passwd", root.join("in/far")).unwrap();
        symlink("..", root.join("in/up")).unwrap();
        symlink("loop", root.join("in/loop")).unwrap();
        symlink("sub/good", root.join("in/kept")).unwrap();
        rustix::fs::mknodat(CWD, root.join("in/pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let folder = Folder::open(&root.join("in")).unwrap();
        assert_eq!(folder.read(Path::new("sub/good"), 4).unwrap(), b"good");
        assert_eq!(folder.read(Path::new("sub/../sub/./good"), 4).unwrap(), b"good");
        assert_eq!(folder.read(Path::new("kept"), 4).unwrap(), b"good", "a link that stays inside is one as any other");
        assert_eq!(folder.read(Path::new("sub/good"), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        for path in ["sub/out", "far", "up/secret", "../secret", "/etc/passwd", "loop", "pipe", "sub", "/dev/zero", "gone"] {
            assert!(folder.file(Path::new(path)).is_err(), "{path}");
            if path != "sub" && path != "pipe" {
                assert!(folder.step_by_step(Path::new(path), FILE).is_err(), "{path} step by step");
            }
        }
        assert!(folder.step_by_step(Path::new("sub/../sub/good"), FILE).is_ok());
        assert!(folder.file(Path::new("sub/out")).unwrap_err().to_string().contains("leads out of"));
        std::fs::remove_dir_all(&root).unwrap();
    }
}
