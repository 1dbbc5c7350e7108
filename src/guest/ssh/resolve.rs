//! Names in addresses, without the C library's resolver: a static binary has none that works in every image.
//!
//! Numbers, then /etc/hosts, then a question to the servers of /etc/resolv.conf. That is what a forwarded connection needs and no more.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdUdpSocket};
use std::time::Duration;

use rustix::rand::{GetRandomFlags, getrandom};
use tokio::net::UdpSocket;

const WAIT: Duration = Duration::from_secs(2);
const TRIES: usize = 2;
const A: u16 = 1;
const AAAA: u16 = 28;
/// The longest name that the DNS has.
const LONGEST: usize = 253;

/// All addresses of a host, in the order to try them.
pub(crate) async fn addresses(host: &str) -> io::Result<Vec<IpAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Ok(vec![address]);
    }
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let found = in_hosts(&hosts, host);
    if !found.is_empty() {
        return Ok(found);
    }
    if host.eq_ignore_ascii_case("localhost") {
        return Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    }
    let config = Config::parse(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    for name in config.names(host) {
        let mut found = config.ask(&name, A).await;
        found.extend(config.ask(&name, AAAA).await);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "there is no such host"))
}

fn in_hosts(hosts: &str, host: &str) -> Vec<IpAddr> {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default().split_whitespace());
    lines
        .filter_map(|mut words| Some((words.next()?.parse().ok()?, words)))
        .filter(|(_, names)| names.clone().any(|name| name.eq_ignore_ascii_case(host)))
        .map(|(address, _)| address)
        .collect()
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Config {
    servers: Vec<IpAddr>,
    search: Vec<String>,
}

impl Config {
    fn parse(text: &str) -> Config {
        let mut config = Config::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => config.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                Some("search" | "domain") => config.search = words.take(6).map(str::to_owned).collect(),
                _ => {}
            }
        }
        config.servers.truncate(3);
        config
    }

    /// A name with a dot is meant as it is; one without is first looked for in the domains.
    fn names(&self, host: &str) -> Vec<String> {
        let plain = host.trim_end_matches('.').to_owned();
        let mut names: Vec<String> = self.search.iter().map(|domain| format!("{plain}.{domain}")).collect();
        if host.ends_with('.') {
            return vec![plain];
        }
        names.insert(if plain.contains('.') { 0 } else { names.len() }, plain);
        names
    }

    async fn ask(&self, name: &str, kind: u16) -> Vec<IpAddr> {
        let mut id = [0; 2];
        if getrandom(&mut id, GetRandomFlags::empty()).is_err() {
            return vec![];
        }
        let Some(question) = question(u16::from_ne_bytes(id), name, kind) else { return vec![] };
        for server in self.servers.iter().cycle().take(self.servers.len() * TRIES) {
            if let Ok(Ok(found)) = tokio::time::timeout(WAIT, ask_one(*server, &question, kind)).await {
                return found;
            }
        }
        vec![]
    }
}

async fn ask_one(server: IpAddr, question: &[u8], kind: u16) -> io::Result<Vec<IpAddr>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = StdUdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    // Connected: answers of others do not come through.
    socket.connect(SocketAddr::new(server, 53)).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let count = socket.recv(&mut buffer).await?;
        if let Some(found) = buffer.get(..count).and_then(|answer| answers(answer, question, kind)) {
            return Ok(found);
        }
    }
}

fn question(id: u16, name: &str, kind: u16) -> Option<Vec<u8>> {
    if name.is_empty() || name.len() > LONGEST {
        return None;
    }
    let mut packet = id.to_be_bytes().to_vec();
    // Recursion desired, one question.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?;
        packet.push(length);
        packet.extend(label.bytes());
    }
    packet.push(0);
    packet.extend(kind.to_be_bytes());
    packet.extend([0, 1]);
    Some(packet)
}

/// The addresses in an answer to that question; `None` if it is something else.
fn answers(packet: &[u8], question: &[u8], kind: u16) -> Option<Vec<IpAddr>> {
    let word = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    let same_question = packet.get(12..question.len())?.eq_ignore_ascii_case(question.get(12..)?);
    if word(0)? != u16::from_be_bytes(question.get(..2)?.try_into().ok()?) || word(2)? & 0x8000 == 0 || word(4)? != 1 || !same_question {
        return None;
    }
    let mut found = vec![];
    let mut at = question.len();
    for _ in 0..word(6)? {
        at = after_name(packet, at)?;
        let (this, length) = (word(at)?, usize::from(word(at + 8)?));
        let data = packet.get(at + 10..at + 10 + length)?;
        match this {
            A if kind == A => found.extend(<[u8; 4]>::try_from(data).ok().map(IpAddr::from)),
            AAAA if kind == AAAA => found.extend(<[u8; 16]>::try_from(data).ok().map(IpAddr::from)),
            // Also the names on the way (CNAME): their addresses are in the same answer.
            _ => {}
        }
        at += 10 + length;
    }
    Some(found)
}

/// Names are only passed over, so that pointers cannot lead in circles.
fn after_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length if length >= 0xc0 => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_search_domains_are_as_everywhere() {
        let hosts = "127.0.0.1 localhost\n10.0.0.2\tdb DB.shop # the base\n# 10.0.0.3 db\nrubbish db\n::1 localhost\n";
        assert_eq!(in_hosts(hosts, "db.SHOP"), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        assert_eq!(in_hosts(hosts, "localhost").len(), 2);
        let config = Config::parse("# x\nnameserver 127.0.0.11\nsearch shop.fly example\noptions ndots:0\nnameserver rubbish\n");
        assert_eq!(config.servers.len(), 1);
        assert_eq!(config.names("db"), ["db.shop.fly", "db.example", "db"]);
        assert_eq!(config.names("a.b"), ["a.b", "a.b.shop.fly", "a.b.example"]);
        assert_eq!(config.names("a."), ["a"]);
    }

    #[test]
    fn an_answer_is_taken_and_rubbish_is_not() {
        let asked = question(7, "db.example", A).unwrap();
        let mut answer = asked.clone();
        answer[2] = 0x81;
        answer[7] = 2;
        answer.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2, 0xc0, 12]);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 9]);
        assert_eq!(answers(&answer, &asked, A), Some(vec![Ipv4Addr::new(10, 0, 0, 9).into()]));
        for cut in 0..answer.len() {
            assert_eq!(answers(&answer[..cut], &asked, A), None, "{cut}");
        }
        assert_eq!(answers(&answer, &question(8, "db.example", A).unwrap(), A), None);
        assert_eq!(question(1, &"a".repeat(64), A), None);
        assert_eq!(question(1, "a..b", A), None);
    }
}
