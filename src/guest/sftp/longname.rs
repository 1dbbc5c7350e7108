//! A file as `ls -l` shows it, which is what clients show to people.

use std::io::{Read as _, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::fs::{FileType, Stat};

use super::accounts::Accounts;

/// Half a year: what is older, or in the future, is shown with its year and without the time of day.
const RECENT: i64 = 365 * 24 * 60 * 60 / 2;
/// Of a user's or group's name: whatever a passwd holds, an entry of a listing stays short.
const LONGEST_NAME: usize = 64;

pub(super) fn longname(name: &[u8], stat: &Stat, accounts: &Accounts, now: Timestamp, zone: &TimeZone) -> Vec<u8> {
    let mut line = Vec::with_capacity(80 + name.len());
    line.extend_from_slice(&mode(stat.st_mode));
    // Writing to memory does not fail.
    let _ = write!(line, "  {:>3} ", stat.st_nlink);
    account(&mut line, accounts.users.name(stat.st_uid), stat.st_uid);
    account(&mut line, accounts.groups.name(stat.st_gid), stat.st_gid);
    let _ = write!(line, "{:>8} {} ", stat.st_size, date(stat.st_mtime, now, zone));
    line.extend_from_slice(name);
    line
}

fn account(line: &mut Vec<u8>, name: Option<&[u8]>, id: u32) {
    let number = id.to_string();
    let name = name.unwrap_or(number.as_bytes());
    let name = &name[..name.len().min(LONGEST_NAME)];
    line.extend_from_slice(name);
    line.resize(line.len() + 8_usize.saturating_sub(name.len()) + 1, b' ');
}

fn date(seconds: i64, now: Timestamp, zone: &TimeZone) -> String {
    let Ok(time) = Timestamp::from_second(seconds) else { return String::new() };
    let recent = now.as_second() - RECENT < seconds && seconds <= now.as_second();
    let format = if recent { "%b %e %H:%M" } else { "%b %e  %Y" };
    time.to_zoned(zone.clone()).strftime(format).to_string()
}

fn mode(mode: u32) -> [u8; 10] {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => b'-',
        FileType::Directory => b'd',
        FileType::Symlink => b'l',
        FileType::Fifo => b'p',
        FileType::Socket => b's',
        FileType::CharacterDevice => b'c',
        FileType::BlockDevice => b'b',
        FileType::Unknown => b'?',
    };
    let bit = |bit: u32, letter: u8| if mode & bit == 0 { b'-' } else { letter };
    // Setuid, setgid and sticky stand in the place of an x; in capitals where there is none.
    let run = |bit: u32, special: u32, letter: u8| match (mode & bit != 0, mode & special != 0) {
        (false, false) => b'-',
        (true, false) => b'x',
        (true, true) => letter,
        (false, true) => letter.to_ascii_uppercase(),
    };
    [
        kind,
        bit(0o400, b'r'),
        bit(0o200, b'w'),
        run(0o100, 0o4000, b's'),
        bit(0o040, b'r'),
        bit(0o020, b'w'),
        run(0o010, 0o2000, b's'),
        bit(0o004, b'r'),
        bit(0o002, b'w'),
        run(0o001, 0o1000, b't'),
    ]
}

/// The machine's own: `TZ` if it says anything that we understand, else `/etc/localtime`, else UTC.
pub(super) fn zone() -> TimeZone {
    let told = std::env::var("TZ").ok().filter(|told| !told.is_empty());
    let zone = match told.as_deref().map(|told| told.strip_prefix(':').unwrap_or(told)) {
        Some(path) if path.starts_with('/') => zone_file(path),
        Some(told) => zone_file(&format!("/usr/share/zoneinfo/{told}")).or_else(|| TimeZone::posix(told).ok()),
        None => zone_file("/etc/localtime"),
    };
    zone.unwrap_or(TimeZone::UTC)
}

fn zone_file(path: &str) -> Option<TimeZone> {
    let mut data = Vec::new();
    std::fs::File::open(path).ok()?.take(1024 * 1024).read_to_end(&mut data).ok()?;
    TimeZone::tzif("local", &data).ok()
}
