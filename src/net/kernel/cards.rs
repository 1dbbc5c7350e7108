//! What links do not tell of the host's own cards: who has one that is not there, and which are wireless.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::error::Refused;
use super::read::{self, RawLink};
use super::socket::Client;
use super::space::Space;
use crate::net::Cards;
use crate::types::Origin;

/// On a thread that is thrown away: it enters every namespace that a process has.
pub(super) fn of(host: &Space, devices: &BTreeSet<String>) -> Result<Cards, Refused> {
    host.enter()?;
    let there: BTreeSet<String> = read::links(&Client::open()?)?.items.into_iter().map(|link| link.name).collect();
    let is_wireless = |device: &&String| Path::new(&format!("/sys/class/net/{device}/phy80211")).exists();
    let wireless = devices.intersection(&there).filter(is_wireless).cloned().collect();
    let mut cards = Cards { wireless, ..Cards::default() };
    let mut missing: BTreeSet<&String> = devices.difference(&there).collect();
    let mut seen = BTreeSet::from([host.inode]);
    for pid in if missing.is_empty() { vec![] } else { processes()? } {
        let file = format!("/proc/{pid}/ns/net");
        // Whoever has ended meanwhile, or may not be looked at, is passed over: this only finds words for what is missing.
        let Ok(inode) = std::fs::metadata(&file).map(|file| file.ino()) else { continue };
        if !seen.insert(inode) {
            continue;
        }
        let look = || -> Result<Vec<RawLink>, Refused> {
            Space::at(Path::new(&file))?.enter()?;
            Ok(read::links(&Client::open()?)?.items)
        };
        for link in look().unwrap_or_default() {
            let found = match Origin::of(link.alias.as_deref()) {
                Some(Origin { name, project, machine, nic, .. }) => {
                    missing.take(&name).map(|device| (device, format!("`{machine}:{nic}` of project `{project}`")))
                }
                // Moved by hand, most often without another name.
                None if link.kind.is_empty() => missing.take(&link.name).map(|device| (device, process(pid))),
                None => None,
            };
            cards.holders.extend(found.map(|(device, holder)| (device.clone(), holder)));
        }
    }
    Ok(cards)
}

fn processes() -> Result<Vec<u32>, Refused> {
    let all = std::fs::read_dir("/proc")?.flatten();
    let mut pids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The first of a namespace is most often the one that it is for.
    pids.sort_unstable();
    Ok(pids)
}

/// `process 77 (nginx, of container 0123456789ab)`.
fn process(pid: u32) -> String {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let cgroups = read("cgroup");
    let is_id = |word: &&str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let container = cgroups.split(|c: char| !c.is_ascii_alphanumeric()).find(is_id);
    let of = container.map_or_else(String::new, |id| format!(", of container {}", &id[..12]));
    format!("process {pid} ({}{of})", read("comm").trim())
}
