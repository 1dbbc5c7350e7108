//! `/etc/resolv.conf` of a machine: the name servers that came with a lease, between the lines of others.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::IpAddr;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::error::Refused;
use super::space::Process;
use crate::types::Dynamic;

const PATH: &str = "etc/resolv.conf";
const LARGEST: u64 = 1 << 20;
/// The engine's own server, which knows the names of its networks: it stays the first one.
const ENGINES: &str = "nameserver 127.0.0.11";

/// What `way` says for this card becomes exactly this. In place: the engine has mounted the file.
pub(super) fn write(process: &Process, card: &str, way: Dynamic, servers: &[IpAddr], search: &[String]) -> Result<(), Refused> {
    let mut file = match process.file(PATH, OFlags::RDWR) {
        Err(refused) if refused.is(&[Errno::NOENT]) && servers.is_empty() => return Ok(()),
        Err(refused) if refused.is(&[Errno::NOENT]) => process.file(PATH, OFlags::RDWR | OFlags::CREATE)?,
        other => other?,
    };
    let old = slurp(&mut file)?;
    let new = rewrite(&old, &format!("# fly {card} {way}"), servers, search);
    if new != old {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(new.as_bytes())?;
        file.set_len(new.len() as u64)?;
    }
    Ok(())
}

fn slurp(file: &mut File) -> Result<String, Refused> {
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Each of fly's lines stands behind one that says whose it is.
fn rewrite(old: &str, mark: &str, servers: &[IpAddr], search: &[String]) -> String {
    let mut others = vec![];
    let mut lines = old.lines();
    while let Some(line) = lines.next() {
        if line == mark {
            lines.next();
        } else {
            others.push(line.to_owned());
        }
    }
    // What is told by a stranger is words of a name, and nothing else.
    let is_name = |name: &&String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    let search: Vec<&str> = search.iter().filter(is_name).map(String::as_str).collect();
    let mut ours: Vec<String> = servers.iter().map(|server| format!("nameserver {server}")).collect();
    if !search.is_empty() {
        ours.push(format!("search {}", search.join(" ")));
    }
    let ours = ours.into_iter().flat_map(|line| [mark.to_owned(), line]);
    let at = others.iter().position(|line| line.starts_with(ENGINES)).map_or(0, |at| at + 1);
    others.splice(at..at, ours);
    let mut new = others.join("\n");
    if !new.is_empty() {
        new.push('\n');
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leases_servers_come_and_go_and_the_others_stay() {
        let servers = ["192.0.2.1".parse().unwrap()];
        let search = ["lab.example".to_owned(), "x\nnameserver 6.6.6.6".to_owned()];
        let old = "nameserver 127.0.0.11\noptions ndots:0\n";
        let new = rewrite(old, "# fly eth2 dhcp", &servers, &search);
        assert_eq!(
            new,
            "nameserver 127.0.0.11\n# fly eth2 dhcp\nnameserver 192.0.2.1\n# fly eth2 dhcp\nsearch lab.example\noptions ndots:0\n"
        );
        assert_eq!(rewrite(&new, "# fly eth2 dhcp", &servers, &search), new);
        assert_eq!(rewrite(&new, "# fly eth2 dhcp", &[], &[]), old);
        assert_eq!(rewrite("", "# fly eth2 dhcp", &servers, &[]), "# fly eth2 dhcp\nnameserver 192.0.2.1\n");
    }
}
