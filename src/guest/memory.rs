//! What a guest that has nothing to do holds in memory: gives back what only its start, or its last client, needed.
//!
//! Its own data are some hundred KiB. The rest is the program: for each page that is touched the kernel maps the 64 KiB around it, and
//! a start touches a little of everything. Mapped again, such a page costs a microsecond, and comes out of the page cache.

use std::ops::Range;

use rustix::mm::{Advice, madvise};

/// Lets go of what has been freed, and of the pages of the program's own file that nobody has written to. Where there is no /proc, only
/// of the former.
pub(super) fn rest() {
    give_back_freed();
    let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") else { return };
    for range in unchanged(&smaps) {
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is a private mapping of a file, cannot be written to, and holds no page of its own (`Anonymous: 0 kB`, which
        // relocated data are not): whoever touches it again reads the same bytes out of the file. The mappings of a static program do
        // not change after its start, and so not since they were read.
        let _ = unsafe { madvise(start, range.end - range.start, Advice::LinuxDontNeed) };
    }
}

/// By itself the C library keeps what a large transfer has needed: the few bytes that lie above it are still in use.
#[cfg(target_env = "gnu")]
fn give_back_freed() {
    // SAFETY: as the C library declares it; it may be called at any time and by any thread.
    unsafe extern "C" {
        safe fn malloc_trim(keep: usize) -> std::ffi::c_int;
    }
    malloc_trim(0);
}

#[cfg(not(target_env = "gnu"))]
fn give_back_freed() {}

/// The mappings of files that are only read, and are as the file is.
fn unchanged(smaps: &str) -> Vec<Range<usize>> {
    let mut found = vec![];
    let mut last = None;
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let ["Anonymous:", amount, "kB"] = words[..] {
            found.extend(last.take().filter(|_| amount == "0"));
        } else if let [range, rights, _, _, _, path, ..] = words[..]
            && !rights.ends_with(':')
        {
            let is_ours = rights.starts_with("r-") && rights.ends_with('p') && path.starts_with('/');
            last = is_ours.then(|| addresses(range)).flatten();
        }
    }
    found
}

fn addresses(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_the_file_is_can_be_let_go() {
        let smaps = "\
1000-2000 r--p 00000000 fe:00 7   /.fly/bin/fly\nRss:  4 kB\nAnonymous:      0 kB\nVmFlags: rd mr mw me\n\
2000-3000 r-xp 00001000 fe:00 7   /.fly/bin/fly\nAnonymous:             0 kB\n\
3000-4000 r--p 00002000 fe:00 7   /.fly/bin/fly\nAnonymous:             4 kB\n\
4000-5000 rw-p 00003000 fe:00 7   /.fly/bin/fly\nAnonymous:             0 kB\n\
5000-6000 r--p 00000000 00:00 0 \nAnonymous:             0 kB\n\
6000-7000 r-xp 00000000 00:00 0   [vdso]\nAnonymous:             0 kB\n\
7000-8000 r--s 00000000 fe:00 8   /shared\nAnonymous:             0 kB\n";
        assert_eq!(unchanged(smaps), [0x1000..0x2000, 0x2000..0x3000]);
    }

    #[test]
    fn the_program_goes_on_after_it() {
        let text = || unchanged(&std::fs::read_to_string("/proc/self/smaps").unwrap()).len();
        assert!(text() > 0, "there is something to let go");
        rest();
        assert!(text() > 0);
        assert_eq!(std::panic::catch_unwind(|| "x".parse::<u8>().unwrap()).is_err(), "1".parse::<u8>().is_ok());
    }
}
