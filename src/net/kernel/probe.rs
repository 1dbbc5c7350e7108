//! Good manners on a wire with strangers: asking before an address is used, telling the neighbours afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::error::{Refused, While, fault};
use super::link::Card;
use super::neighbour::{self, ALL_NODES, ARP, IPV6};
use super::packet::PacketSocket;
use super::read;
use crate::net::{NetError, NetErrorKind};
use crate::types::Mac;

/// A neighbour answers within milliseconds, unless it sleeps or the question is lost: hence three of them.
const QUESTIONS: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(200);
/// A card of our own whose machine has just ended answers until the kernel has cleared it away: only who still answers then is one.
const AGAIN: Duration = Duration::from_millis(400);
/// Before the second announcement, and the third. The kernel has made the first.
const TELLINGS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(250)];

/// Fails if somebody else on the wire has one of these addresses. The card is up.
pub(super) fn ask(card: &Card<'_>, addresses: &BTreeSet<IpAddr>) -> Result<(), NetError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let list = || addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let doing = || format!("probe for {} on {}", list(), card.at());
    let Some(mac) = mac(card)? else { return Ok(()) };
    let mut found = round(card, mac, addresses).doing(doing)?;
    if !found.is_empty() {
        std::thread::sleep(AGAIN);
        found = round(card, mac, addresses).doing(doing)?;
    }
    if found.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = found.iter().map(|(address, mac)| format!("{address} is in use by {mac}")).collect();
    let so = format!(
        "{}: it was not given to {}; choose another `ip`, take it from there, or skip the probe with `probe: false` or `fly up --no-probe`",
        said.join(", "),
        card.at()
    );
    Err(fault(NetErrorKind::Conflict, doing(), so))
}

/// As it is now: in mode passthru, and where the engine has chosen it, it is not the one that it was born with.
fn mac(card: &Card<'_>) -> Result<Option<Mac>, NetError> {
    let now = read::link_at(&card.place.client, card.raw.index).doing(|| format!("look at {}", card.at()))?;
    Ok(now.filter(|now| now.up).and_then(|now| now.mac))
}

/// Who claims what, as far as anybody says so in time.
fn round(card: &Card<'_>, mac: Mac, addresses: &BTreeSet<IpAddr>) -> Result<BTreeMap<IpAddr, Mac>, Refused> {
    let sockets = card.inside(|| {
        let kinds = [(ARP, addresses.iter().any(IpAddr::is_ipv4)), (IPV6, addresses.iter().any(IpAddr::is_ipv6))];
        let wanted = kinds.into_iter().filter(|(_, is_wanted)| *is_wanted);
        wanted.map(|(kind, _)| Ok((kind, listening(card.raw.index, kind)?))).collect::<Result<BTreeMap<_, _>, Refused>>()
    })?;
    let mut found = BTreeMap::new();
    for _ in 0..QUESTIONS {
        for address in addresses.iter().filter(|address| !found.contains_key(*address)) {
            match sockets[if address.is_ipv4() { &ARP } else { &IPV6 }].send(&neighbour::question(mac, *address)) {
                // A wire that takes nothing, or not at the moment, has nobody to ask.
                Err(refused) if !refused.is(&[Errno::NETDOWN, Errno::NOBUFS, Errno::AGAIN]) => return Err(refused),
                _ => {}
            }
        }
        let until = Instant::now() + BETWEEN;
        while let Some(rest) = until.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            let mut all: Vec<PollFd<'_>> = sockets.values().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
            let _ = poll(&mut all, Timespec::try_from(rest).ok().as_ref());
            for socket in sockets.values() {
                hear(socket, mac, addresses, &mut found)?;
            }
        }
        if found.len() == addresses.len() {
            break;
        }
    }
    Ok(found)
}

fn listening(index: u32, kind: u16) -> Result<PacketSocket, Refused> {
    let socket = PacketSocket::open(index)?;
    if kind == IPV6 {
        socket.hear(ALL_NODES)?;
    }
    socket.listen(kind)?;
    Ok(socket)
}

fn hear(socket: &PacketSocket, mac: Mac, addresses: &BTreeSet<IpAddr>, found: &mut BTreeMap<IpAddr, Mac>) -> Result<(), Refused> {
    let mut buffer = [0; 128];
    while let Some(frame) = socket.receive(&mut buffer)? {
        found.extend(neighbour::claim(&buffer[..frame.captured], mac, addresses));
    }
    Ok(())
}

/// Announcements that are still to be made; whoever lets go of it waits for them, less than half a second.
#[derive(Default)]
pub(super) struct Later(Mutex<Vec<JoinHandle<()>>>);

impl Later {
    /// Says twice more, in a while, that these addresses are here. It is a courtesy: what hinders it hinders nothing else.
    pub(super) fn tell(&self, card: &Card<'_>, addresses: BTreeSet<IpAddr>) {
        self.tell_after(&TELLINGS, card, addresses);
    }

    /// All three times: of an address whose coming the kernel does not announce.
    pub(super) fn tell_thrice(&self, card: &Card<'_>, address: IpAddr) {
        self.tell_after(&[&[Duration::ZERO], &TELLINGS[..]].concat(), card, BTreeSet::from([address]));
    }

    fn tell_after(&self, pauses: &[Duration], card: &Card<'_>, addresses: BTreeSet<IpAddr>) {
        let (Ok(Some(mac)), false) = (mac(card), addresses.is_empty()) else { return };
        let Ok(socket) = card.inside(|| PacketSocket::open(card.raw.index)) else { return };
        // Nothing of this kind is received: binding only says by which card it leaves.
        if socket.listen(0).is_err() {
            return;
        }
        let pauses = pauses.to_vec();
        let tell = move || {
            for pause in pauses {
                std::thread::sleep(pause);
                for address in &addresses {
                    let _ = socket.send(&neighbour::announcement(mac, *address));
                }
            }
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|thread| !thread.is_finished());
        all.extend(std::thread::Builder::new().name("announce".to_owned()).spawn(tell));
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        for thread in std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = thread.join();
        }
    }
}
