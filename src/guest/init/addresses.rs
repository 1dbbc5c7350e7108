//! Which addresses the machine has: one question to the kernel, without `async` and without libraries of the image.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netdevice, recv, sendto, socket_with};

const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const DONE: u16 = 3;
const ERROR: u16 = 2;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x1 | 0x300;
/// Changes of links, and of addresses of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;

fn open(groups: u32, flags: SocketFlags) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags | SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

/// A socket that can be read as soon as a link or an address changes.
pub(super) fn changes() -> io::Result<OwnedFd> {
    open(GROUPS, SocketFlags::NONBLOCK)
}

pub(super) fn index(name: &str) -> Option<u32> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
    netdevice::name_to_index(&socket, name).ok()
}

/// All addresses of the namespace, by the link's index.
pub(super) fn all() -> io::Result<BTreeSet<(u32, IpNet)>> {
    let socket = open(0, SocketFlags::empty())?;
    let mut ask = Vec::with_capacity(24);
    ask.extend(24_u32.to_ne_bytes());
    ask.extend(GET_ADDRESS.to_ne_bytes());
    ask.extend(DUMP.to_ne_bytes());
    // Sequence, sender, and an `ifaddrmsg` of any family.
    ask.extend([0; 16]);
    sendto(&socket, &ask, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let (mut found, mut buffer) = (BTreeSet::new(), vec![0_u8; 32 << 10]);
    loop {
        let (length, _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        let mut rest = buffer.get(..length).unwrap_or_default();
        while let Some((kind, payload, next)) = message(rest) {
            match kind {
                NEW_ADDRESS => found.extend(address(payload)),
                DONE | ERROR => return Ok(found),
                _ => {}
            }
            rest = next;
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The first message's kind and payload, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok().filter(|length| *length >= 16)?;
    let payload = bytes.get(16..length)?;
    Some((u16_at(bytes, 4)?, payload, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// `ifaddrmsg` and its attributes. Of a point-to-point link the local address counts.
fn address(payload: &[u8]) -> Option<(u32, IpNet)> {
    let (prefix, index) = (*payload.get(1)?, u32_at(payload, 4)?);
    let (mut address, mut local) = (None, None);
    let mut rest = payload.get(8..)?;
    while let Some(length) = u16_at(rest, 0).map(usize::from).filter(|length| *length >= 4) {
        let value = rest.get(4..length)?;
        match u16_at(rest, 2)? {
            1 => address = ip(value),
            2 => local = ip(value),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((index, IpNet::new(local.or(address)?, prefix).ok()?))
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    match value.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(value).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(value).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_its_address_here_too() {
        let lo = index("lo").unwrap();
        assert!(all().unwrap().contains(&(lo, "127.0.0.1/8".parse().unwrap())));
        assert_eq!(index("nosuchcard"), None);
    }

    #[test]
    fn rubbish_is_no_message() {
        for bytes in [&[][..], &[0; 3], &[0; 16], &[255; 64], &[17, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]] {
            if let Some((_, payload, _)) = message(bytes) {
                assert_eq!(address(payload), None);
            }
        }
    }

    mod fuzz {
        use proptest::collection::vec;
        use proptest::prelude::*;

        use super::super::*;
        use crate::guest::fuzz::{cases, damaged};

        /// What `all` reads out of one answer of the kernel.
        fn read(mut rest: &[u8]) -> Vec<(u32, IpNet)> {
            let mut found = vec![];
            while let Some((kind, payload, next)) = message(rest) {
                assert!(next.len() < rest.len(), "it comes to an end");
                found.extend((kind == NEW_ADDRESS).then(|| address(payload)).flatten());
                rest = next;
            }
            found
        }

        /// As the kernel writes it, attributes in any order.
        fn told(index: u32, net: IpNet, local_first: bool) -> Vec<u8> {
            let octets = match net.addr() {
                IpAddr::V4(four) => four.octets().to_vec(),
                IpAddr::V6(six) => six.octets().to_vec(),
            };
            let length = u16::try_from(4 + octets.len()).unwrap();
            let attribute = |kind: u16, value: &[u8]| [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
            let other = vec![7; octets.len()];
            let mut attributes = [attribute(2, &octets), attribute(1, &other)];
            if !local_first {
                attributes.reverse();
            }
            let body = [&[2, net.prefix_len(), 0, 0][..], &index.to_ne_bytes(), &attributes.concat()].concat();
            let total = u32::try_from(16 + body.len()).unwrap();
            [&total.to_ne_bytes()[..], &NEW_ADDRESS.to_ne_bytes(), &[0; 10], &body].concat()
        }

        fn net() -> impl Strategy<Value = IpNet> {
            let four = (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(ip, prefix)| IpNet::new(ip.into(), prefix).unwrap());
            let six = (any::<[u8; 16]>(), 0..=128_u8).prop_map(|(ip, prefix)| IpNet::new(ip.into(), prefix).unwrap());
            prop_oneof![four, six]
        }

        proptest! {
            #![proptest_config(cases(500))]

            #[test]
            fn any_answer_comes_to_an_end(bytes in vec(any::<u8>(), 0..300)) {
                read(&bytes);
            }

            #[test]
            fn what_is_told_is_read(
                told_of in vec((any::<u32>(), net(), any::<bool>()), 0..6),
                damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            ) {
                let bytes: Vec<u8> = told_of.iter().flat_map(|(index, net, first)| told(*index, *net, *first)).collect();
                let expected: Vec<_> = told_of.iter().map(|(index, net, _)| (*index, *net)).collect();
                prop_assert_eq!(read(&bytes), expected);
                read(&damaged(&bytes, &damage, None));
            }
        }
    }
}
