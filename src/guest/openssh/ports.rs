//! Who listens in this machine, from the kernel itself: asking by a connection would leave a line in sshd's log each time.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    pub(super) inode: u64,
}

/// All listeners on a port, of both families.
pub(super) fn listeners(port: u16) -> Vec<Listener> {
    let all = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    all.iter().flat_map(|table| table.lines().filter_map(listener)).filter(|it| it.address.port() == port).collect()
}

/// The sockets of a process, by inode; nothing where one may not look.
pub(super) fn sockets_of(pid: u32) -> Option<BTreeSet<u64>> {
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    Some(links.filter_map(inode).collect())
}

/// `0: 0100007F:0016 00000000:0000 0A …`, the tenth field being the inode.
fn listener(line: &str) -> Option<Listener> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    if *fields.get(3)? != LISTEN {
        return None;
    }
    let (address, port) = fields.get(1)?.split_once(':')?;
    Some(Listener { address: SocketAddr::new(ip(address)?, u16::from_str_radix(port, 16).ok()?), inode: fields.get(9)?.parse().ok()? })
}

/// Words of 32 bits in the machine's own order.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let bytes: Vec<u8> = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_ones_own_is_found_with_its_owner() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = std::net::TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let found = listeners(address.port());
            assert_eq!(found.iter().map(|it| it.address).collect::<Vec<_>>(), [address]);
            assert!(sockets_of(std::process::id()).unwrap().contains(&found[0].inode));
            drop(listener);
            assert_eq!(listeners(address.port()), []);
        }
    }

    #[test]
    fn rubbish_is_no_listener() {
        for line in ["", "sl local_address", "0: zz:16 0:0 0A 0 0 0 0 0 1", "0: 0100007F:0016 00000000:0000 01 0 0 0 0 0 1"] {
            assert_eq!(listener(line), None, "{line}");
        }
    }
}
