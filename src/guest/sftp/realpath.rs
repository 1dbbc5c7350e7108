//! The path that a path means: absolute, without links, without `.` and `..`.

use rustix::fs::FileType;
use rustix::io::Errno;

/// Linux's `PATH_MAX`.
const LONGEST: usize = 4096;
const MOST_LINKS: usize = 32;

/// As OpenSSH's server does it, which is not as libc does: the last part need not exist, so that a client can ask where a file that it
/// is about to make will be.
pub(super) fn realpath(path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut resolved = if path.starts_with(b"/") { b"/".to_vec() } else { rustix::process::getcwd(Vec::new())?.into_bytes() };
    let mut left = path.to_vec();
    let mut links = 0;
    while !left.is_empty() {
        if left.len() >= LONGEST || resolved.len() >= LONGEST {
            return Err(Errno::NAMETOOLONG);
        }
        let (part, rest) = match left.iter().position(|byte| *byte == b'/') {
            Some(at) => (left[..at].to_vec(), Some(left[at + 1..].to_vec())),
            None => (left, None),
        };
        if let Some(target) = step(&mut resolved, &part, rest.is_none())? {
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP);
            }
            left = target;
            if let Some(rest) = rest {
                left.push(b'/');
                left.extend(rest);
            }
        } else {
            left = rest.unwrap_or_default();
        }
    }
    if resolved.len() > 1 && resolved.ends_with(b"/") {
        resolved.pop();
    }
    Ok(resolved)
}

/// Goes to one part from where we are. Where a link is, it goes nowhere, or to the root, and the link's target is the way from there.
fn step(resolved: &mut Vec<u8>, part: &[u8], is_last: bool) -> Result<Option<Vec<u8>>, Errno> {
    let here = resolved.len();
    match part {
        b"" | b"." => return Ok(None),
        b".." => {
            let parent = resolved.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            resolved.truncate(parent.max(1));
            return Ok(None);
        }
        _ => {
            if !resolved.ends_with(b"/") {
                resolved.push(b'/');
            }
            resolved.extend_from_slice(part);
        }
    }
    match rustix::fs::lstat(&*resolved) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            let target = rustix::fs::readlink(&*resolved, Vec::new())?.into_bytes();
            resolved.truncate(if target.starts_with(b"/") { 1 } else { here });
            Ok(Some(target))
        }
        Ok(_) => Ok(None),
        Err(Errno::NOENT) if is_last => Ok(None),
        Err(errno) => Err(errno),
    }
}
