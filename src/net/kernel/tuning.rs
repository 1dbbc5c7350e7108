//! What a link carries: kernel parameters, neighbours that are not asked for, and how well packets get through.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage as Say;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rustix::io::Errno;

use super::error::{Refused, While};
use super::link::Card;
use super::message::PROTOCOL;
use super::port::host_end;
use super::read::ip;
use super::socket::{Client, Dump};
use super::wire::{attributes, u16_at, u32_at};
use crate::net::{NetError, Tune};
use crate::types::{Mac, Sysctl, Traffic};

const PERMANENT: u16 = 0x80;

/// A neighbour whose MAC somebody has set for good.
pub(super) struct RawNeighbour {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) mac: Mac,
    /// Its protocol; 0 where nobody said, or the kernel is too old to keep it.
    pub(super) maker: u8,
}

pub(super) fn neighbours(client: &Client) -> Result<Dump<RawNeighbour>, Refused> {
    client.dump(&Say::GetNeighbour(NeighbourMessage::default()), read_neighbour)
}

fn read_neighbour(payload: &[u8]) -> Option<RawNeighbour> {
    if u16_at(payload, 8)? & PERMANENT == 0 {
        return None;
    }
    let (mut address, mut mac, mut maker) = (None, None, 0);
    for (kind, value) in attributes(payload, 12) {
        match kind {
            1 => address = ip(value),
            2 => mac = <[u8; 6]>::try_from(value).ok().and_then(|bytes| Mac::new(bytes).ok()),
            12 => maker = *value.first()?,
            _ => {}
        }
    }
    Some(RawNeighbour { index: u32_at(payload, 4)?, address: address?, mac: mac?, maker })
}

/// With `mac`, also who has made it, as far as somebody says so.
fn neighbour(index: u32, address: IpAddr, mac: Option<(Mac, u8)>) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.attributes.push(NeighbourAttribute::Destination(match address {
        IpAddr::V4(address) => NeighbourAddress::Inet(address),
        IpAddr::V6(address) => NeighbourAddress::Inet6(address),
    }));
    if let Some((mac, maker)) = mac {
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.bytes().to_vec()));
        if maker != 0 {
            message.attributes.push(NeighbourAttribute::Protocol(maker.into()));
        }
    }
    message
}

impl Card<'_> {
    /// Writes what is not so already.
    pub(super) fn set_sysctls(&self, sysctls: &BTreeMap<Sysctl, i32>) -> Result<(), NetError> {
        for (sysctl, value) in sysctls {
            let doing = || format!("set {sysctl} of {} to {value}", self.at());
            let path = sysctl.path(&self.raw.name);
            let put = || match std::fs::read_to_string(&path) {
                Ok(text) if text.trim().parse() == Ok(*value) => Ok(()),
                Ok(_) => std::fs::write(&path, value.to_string()).map_err(Refused::from),
                Err(error) => Err(Refused::from(error)),
            };
            match self.places.inside(&self.place, put) {
                Err(refused) if refused.is(&[Errno::NOENT]) => {
                    return Err(Refused::new(Errno::OPNOTSUPP, format!("this kernel has no `{path}`")).doing(doing()));
                }
                Err(refused) if refused.is(&[Errno::INVAL, Errno::RANGE]) => {
                    return Err(Refused::new(Errno::INVAL, "the kernel does not take this value").doing(doing()));
                }
                other => other.doing(doing)?,
            }
        }
        Ok(())
    }

    pub(super) fn put_neighbours<'n>(&self, neighbours: impl IntoIterator<Item = (&'n IpAddr, &'n Mac)>) -> Result<(), NetError> {
        for (address, mac) in neighbours {
            self.put_neighbour(*address, *mac, PROTOCOL)?;
        }
        Ok(())
    }

    fn put_neighbour(&self, address: IpAddr, mac: Mac, maker: u8) -> Result<(), NetError> {
        let say = Say::NewNeighbour(neighbour(self.raw.index, address, Some((mac, maker))));
        self.tell(say, NLM_F_CREATE | NLM_F_REPLACE).doing(|| format!("add neighbour {address} to {}", self.at()))
    }

    /// Those that somebody has set for good.
    pub(super) fn neighbours(&self) -> Result<Vec<RawNeighbour>, NetError> {
        let dump = neighbours(&self.place.client).doing(|| format!("read the neighbours of {}", self.at()))?;
        Ok(dump.items.into_iter().filter(|one| one.index == self.raw.index).collect())
    }

    /// `before` are those that were there, whoever made them, and that the kernel may have forgotten on the way.
    pub(super) fn change_neighbours(&self, tune: &Tune, before: &[RawNeighbour]) -> Result<(), NetError> {
        for address in &tune.remove_neighbours {
            match self.tell(Say::DelNeighbour(neighbour(self.raw.index, *address, None)), 0) {
                Err(refused) if refused.is(&[Errno::NOENT]) => {}
                other => other.doing(|| format!("remove neighbour {address} from {}", self.at()))?,
            }
        }
        self.put_neighbours(&tune.neighbours)?;
        if tune.keep_neighbours.is_empty() && before.is_empty() {
            return Ok(());
        }
        let now = self.neighbours()?;
        let is_gone = |address: &IpAddr| !now.iter().any(|one| one.address == *address);
        self.put_neighbours(tune.keep_neighbours.iter().filter(|(address, _)| is_gone(address)))?;
        let is_kept = |address: &IpAddr| tune.keep_neighbours.contains_key(address) || tune.remove_neighbours.contains(address);
        let lost = before.iter().filter(|one| is_gone(&one.address) && !is_kept(&one.address));
        lost.into_iter().try_for_each(|one| self.put_neighbour(one.address, one.mac, one.maker))
    }

    /// What leaves by this link, and what comes to it from its end on the host.
    pub(super) fn shape(&self, traffic: &Traffic) -> Result<(), NetError> {
        if let Some(end) = host_end(self.places, self)? {
            end.send_by(traffic)?;
        }
        self.send_by(traffic)
    }
}
