//! Files that are replaced whole: whoever reads one sees the old or the new one, and nothing between.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// What is written again at every start need not outlive a loss of power, and nobody waits for the disk.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write(path, content, mode, false)
}

/// What must be there after a loss of power.
pub(crate) fn replace_for_good(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write(path, content, mode, true)?;
    // The name itself: without this a crash may bring the old one back.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn write(path: &Path, content: &[u8], mode: u32, for_good: bool) -> io::Result<()> {
    let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    // One of a process that died with the same number.
    let _ = fs::remove_file(&temporary);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(content).and_then(|()| if for_good { file.sync_all() } else { Ok(()) }))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
