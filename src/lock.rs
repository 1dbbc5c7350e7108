//! One run at a time for a project on an engine.
//!
//! The lock is the kernel's (`flock`), so it goes when its holder does, however that ends. What the file says of the holder is
//! for people only and decides nothing. The file itself is never removed: whoever removes it can lock a file that nobody sees.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::types::{Name, stable_hash};

/// Who holds a lock, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub pid: u32,
    /// As it was typed: `fly up`.
    pub command: String,
}

/// What to do while somebody else holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Refuse,
    Wait,
}

/// Held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("another run holds the project{}", .0.as_ref().map_or_else(String::new, |h| format!(": `{}`, process {}", h.command, h.pid)))]
    Held(Option<Holder>),
    #[error("{doing} `{}`", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
}

/// The file for a project on an engine, in a directory that every user of that engine's projects shares.
pub fn path(directory: &Path, project: &Name, engine: &str) -> PathBuf {
    let hash = stable_hash(&["lock", engine]);
    let hash = hash.iter().take(6).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    directory.join(format!("{project}-{hash:012x}.lock"))
}

impl Lock {
    /// With `Patience::Wait` it blocks until the lock is free.
    pub fn acquire(path: &Path, holder: &Holder, patience: Patience) -> Result<Self, LockError> {
        let failed = |doing| move |source| LockError::Io { doing, path: path.to_owned(), source };
        if let Some(directory) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("cannot create the folder of"))?;
        }
        let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
        let mut file = options.open(path).map_err(failed("cannot open the lock"))?;
        match (file.try_lock(), patience) {
            (Ok(()), _) => {}
            (Err(TryLockError::WouldBlock), Patience::Refuse) => return Err(LockError::Held(read(&mut file))),
            (Err(TryLockError::WouldBlock), Patience::Wait) => file.lock().map_err(failed("cannot wait for the lock"))?,
            (Err(TryLockError::Error(source)), _) => return Err(failed("cannot take the lock")(source)),
        }
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{} {}", holder.pid, holder.command.replace(char::is_control, " "))
        };
        write(&mut file).map_err(failed("cannot write to the lock"))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nobody holds it any more; that it says so is a courtesy, and closing is what frees it.
        let _ = self.file.set_len(0);
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(1000).read_to_string(&mut text).ok()?;
    let (pid, command) = text.trim_end().split_once(' ')?;
    Some(Holder { pid: pid.parse().ok()?, command: command.to_owned() })
}
