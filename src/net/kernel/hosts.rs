//! `/etc/hosts` of a machine: reading it, and writing fly's lines without touching anybody else's.
//!
//! The engine mounts this file over the image's. It is therefore written in place and never renamed over: a rename succeeds,
//! and silently takes the file away from the engine.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::IpAddr;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::error::Refused;
use super::space::Process;
use crate::net::HostsLine;
use crate::types::HostEntry;

const PATH: &str = "etc/hosts";
const MARK: &str = "fly";
/// Nobody has a megabyte of names; a machine that does is not to fill our memory.
const LARGEST: u64 = 1 << 20;

pub(super) fn read(process: &Process) -> Result<BTreeSet<HostsLine>, Refused> {
    match process.file(PATH, OFlags::RDONLY) {
        Ok(mut file) => match slurp(&mut file) {
            Ok(text) => Ok(parse(&text)),
            // One machine that fills its own file keeps nobody from looking at the others: it has none of its names.
            Err(refused) if refused.is(&[Errno::FBIG]) => Ok(BTreeSet::new()),
            Err(refused) => Err(refused),
        },
        // Images without one exist, and a symbolic link in circles is as good as none.
        Err(refused) if refused.is(&[Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV]) => Ok(BTreeSet::new()),
        Err(refused) => Err(refused),
    }
}

pub(super) fn write(process: &Process, set: &BTreeSet<HostEntry>, remove: &BTreeSet<HostEntry>) -> Result<(), Refused> {
    let mut file = match process.file(PATH, OFlags::RDWR) {
        Err(refused) if refused.is(&[Errno::NOENT]) => process.file(PATH, OFlags::RDWR | OFlags::CREATE)?,
        // A read-only root: nothing is to be done if the lines are as wanted.
        Err(refused) if refused.is(&[Errno::ROFS]) => {
            let old = slurp(&mut process.file(PATH, OFlags::RDONLY)?)?;
            return if rewrite(&old, set, remove) == old { Ok(()) } else { Err(refused) };
        }
        other => other?,
    };
    let old = slurp(&mut file)?;
    let new = rewrite(&old, set, remove);
    if new != old {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(new.as_bytes())?;
        // Only now: a reader in between sees old lines at the end, never an empty file.
        file.set_len(new.len() as u64)?;
    }
    Ok(())
}

fn slurp(file: &mut File) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Refused::new(Errno::FBIG, "`/etc/hosts` is larger than 1 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line taken apart.
struct Line<'a> {
    address: Option<IpAddr>,
    names: Vec<&'a str>,
    marked: bool,
}

fn take_apart(line: &str) -> Line<'_> {
    let (words, comment) = line.split_once('#').unwrap_or((line, ""));
    let mut words = words.split_whitespace();
    let address = words.next().and_then(|word| word.parse().ok());
    Line { address, names: words.collect(), marked: comment.trim() == MARK }
}

fn parse(text: &str) -> BTreeSet<HostsLine> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(take_apart) {
        let Some(address) = line.address else { continue };
        for name in line.names.iter().filter(|name| !is_standard(address, name)) {
            let entry = HostEntry { name: (*name).to_owned(), address };
            found.insert(HostsLine { entry, marked: line.marked });
        }
    }
    found
}

/// What stands in every such file: `localhost`, `fe00::0 ip6-localnet` and their like. Other names of the loopback are somebody's.
fn is_standard(address: IpAddr, name: &str) -> bool {
    name.starts_with("ip6-") || name == "localhost" && address.is_loopback()
}

fn rewrite(old: &str, set: &BTreeSet<HostEntry>, remove: &BTreeSet<HostEntry>) -> String {
    let mut new = String::with_capacity(old.len() + 64 * set.len());
    for whole in old.split_inclusive('\n') {
        let line = take_apart(whole);
        if line.marked {
            continue;
        }
        let goes = |name: &str| line.address.is_some_and(|address| remove.contains(&HostEntry { name: name.to_owned(), address }));
        if !line.names.iter().any(|name| goes(name)) {
            new.push_str(whole);
            continue;
        }
        let stay: Vec<&str> = line.names.iter().copied().filter(|name| !goes(name)).collect();
        if let (Some(address), false) = (line.address, stay.is_empty()) {
            new.extend([&address.to_string(), "\t", &stay.join(" "), "\n"]);
        }
    }
    if !set.is_empty() && !new.is_empty() && !new.ends_with('\n') {
        new.push('\n');
    }
    for HostEntry { name, address } in set {
        new.extend([&address.to_string(), "\t", name, "\t# ", MARK, "\n"]);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff02::1\tip6-allnodes\n\
        172.17.0.2\tweb 0a1b2c # by the engine\n10.0.0.9\told\t# fly\n";

    fn entry(name: &str, address: &str) -> HostEntry {
        HostEntry { name: name.into(), address: address.parse().unwrap() }
    }

    #[test]
    fn reads_names_one_by_one_and_leaves_the_standard_lines_out() {
        let read = |name: &str, address: &str, marked| HostsLine { entry: entry(name, address), marked };
        let wanted = [read("web", "172.17.0.2", false), read("0a1b2c", "172.17.0.2", false), read("old", "10.0.0.9", true)];
        assert_eq!(parse(DOCKERS), BTreeSet::from(wanted));
        let own = [read("api.test", "127.0.0.1", true), read("api.test", "::1", false), read("ads", "0.0.0.0", false)];
        assert_eq!(parse("127.0.0.1\tapi.test # fly\n::1 localhost api.test\n0.0.0.0 ads\n"), BTreeSet::from(own));
    }

    #[test]
    fn writes_its_own_lines_and_keeps_the_others() {
        let set = BTreeSet::from([entry("db", "10.0.0.2"), entry("db", "fd00::2")]);
        let new = rewrite(DOCKERS, &set, &BTreeSet::from([entry("0a1b2c", "172.17.0.2")]));
        assert!(new.starts_with(&DOCKERS[..DOCKERS.find("172").unwrap()]));
        assert!(new.ends_with("172.17.0.2\tweb\n10.0.0.2\tdb\t# fly\nfd00::2\tdb\t# fly\n"));
        assert_eq!(rewrite(&new, &set, &BTreeSet::new()), new);
        assert_eq!(rewrite("10.1.1.1 x", &BTreeSet::from([entry("y", "10.1.1.2")]), &BTreeSet::new()), "10.1.1.1 x\n10.1.1.2\ty\t# fly\n");
    }
}
