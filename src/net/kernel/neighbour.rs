//! What neighbours on an Ethernet say to each other of addresses: ARP (RFC 826, 5227) and neighbour discovery (RFC 4861, 4862).
//! Frames in bytes, and what they mean.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::types::Mac;

pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV6: u16 = 0x86dd;
/// Where answers to a question for an unused IPv6 address go, since who asks has none: all nodes.
pub(super) const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const TARGET_MAC: u8 = 2;

fn ethernet(to: [u8; 6], from: Mac, kind: u16) -> Vec<u8> {
    [&to[..], &from.bytes(), &kind.to_be_bytes()].concat()
}

/// "Does anybody have `address`?", without naming an address of one's own: nobody remembers it.
pub(super) fn question(from: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(from, Ipv4Addr::UNSPECIFIED, address),
        IpAddr::V6(address) => {
            let [.., a, b, c] = address.octets();
            let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
            let body = [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0][..], &address.octets()].concat();
            icmpv6(from, [0x33, 0x33, 0xff, a, b, c], Ipv6Addr::UNSPECIFIED, group, body)
        }
    }
}

/// "`address` is mine", to all.
pub(super) fn announcement(from: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => arp(from, address, address),
        IpAddr::V6(address) => {
            const OVERRIDE: u8 = 0x20;
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let head = [ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0];
            let body = [&head[..], &address.octets(), &[TARGET_MAC, 1], &from.bytes()].concat();
            icmpv6(from, ALL_NODES, address, group, body)
        }
    }
}

fn arp(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet([0xff; 6], from, ARP);
    // Ethernet, IPv4, their lengths, a request.
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(from.bytes());
    frame.extend(sender.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

fn icmpv6(mac: Mac, to_mac: [u8; 6], from: Ipv6Addr, to: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let pseudo = [&from.octets()[..], &to.octets(), &u32::from(length).to_be_bytes(), &[0, 0, 0, ICMPV6], &body].concat();
    body[2..4].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut frame = ethernet(to_mac, mac, IPV6);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    // The hop limit shows that no router has passed it on.
    frame.extend([ICMPV6, 255]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(body);
    frame
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// Which of `wanted` a frame says to be somebody else's, or that somebody else asks for just as we do; and whose.
pub(super) fn claim(frame: &[u8], own: Mac, wanted: &BTreeSet<IpAddr>) -> Option<(IpAddr, Mac)> {
    let kind = u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?);
    let (address, mac) = match kind {
        ARP => claimed_by_arp(frame.get(14..)?)?,
        IPV6 => claimed_by_discovery(frame)?,
        _ => return None,
    };
    (mac != own && wanted.contains(&address)).then_some((address, mac))
}

fn claimed_by_arp(packet: &[u8]) -> Option<(IpAddr, Mac)> {
    if packet.get(..6)? != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let mac = Mac::new(packet.get(8..14)?.try_into().ok()?).ok()?;
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
    let (sender, target) = (address(14)?, address(24)?);
    Some((if sender.is_unspecified() { target } else { sender }.into(), mac))
}

fn claimed_by_discovery(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let packet = frame.get(14..)?;
    if *packet.get(6)? != ICMPV6 || *packet.get(7)? != 255 {
        return None;
    }
    let from = Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(8..24)?).ok()?);
    let body = packet.get(40..)?;
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(body.get(8..24)?).ok()?);
    let sender = || Mac::new(frame.get(6..12)?.try_into().ok()?).ok();
    let said = || {
        let option = body.get(24..32).filter(|option| option[..2] == [TARGET_MAC, 1])?;
        Mac::new(option[2..8].try_into().ok()?).ok()
    };
    match *body.first()? {
        // Who asks by an address of its own wants to talk to it, and has it not.
        SOLICITATION if from.is_unspecified() => Some((target.into(), sender()?)),
        ADVERTISEMENT => Some((target.into(), said().or_else(sender)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mac(last: u8) -> Mac {
        Mac::new([2, 0, 0, 0, 0, last]).unwrap()
    }

    #[test]
    fn questions_and_announcements_are_claims_of_others_and_not_of_ones_own() {
        let all: [IpAddr; 2] = ["192.168.1.9".parse().unwrap(), "fd00::9".parse().unwrap()];
        let wanted = BTreeSet::from(all);
        for address in all {
            for frame in [question(mac(1), address), announcement(mac(1), address)] {
                assert_eq!(claim(&frame, mac(2), &wanted), Some((address, mac(1))));
                assert_eq!(claim(&frame, mac(1), &wanted), None);
                assert_eq!(claim(&frame, mac(2), &BTreeSet::new()), None);
                // Cut anywhere, or full of nonsense, it says nothing or the same.
                for end in 0..frame.len() {
                    assert!(claim(&frame[..end], mac(2), &wanted).is_none_or(|found| found.0 == address));
                }
            }
        }
        // Somebody asks who has it, to talk to it: no claim.
        let asked = arp(mac(1), "192.168.1.1".parse().unwrap(), "192.168.1.9".parse().unwrap());
        assert_eq!(claim(&asked, mac(2), &wanted), None);
    }

    #[test]
    fn checksums_add_up() {
        // As Linux sent it: a question for fe80::1.
        let frame = question(mac(1), "fe80::1".parse().unwrap());
        let (from, to, body) = (&frame[22..38], &frame[38..54], &frame[54..]);
        let pseudo = [from, to, &24_u32.to_be_bytes(), &[0, 0, 0, ICMPV6], body].concat();
        assert_eq!(checksum(&pseudo), 0, "a sum over its own complement");
    }
}
