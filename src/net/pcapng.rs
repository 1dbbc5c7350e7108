//! Packets as a file: pcapng, which knows several cards, their names, and times in nanoseconds. Bytes only, all little-endian.
//!
//! <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>

use std::time::Duration;

use crate::types::Mac;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const NANOSECONDS: u8 = 9;

/// A card, as a file of packets names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) mac: Option<Mac>,
    /// Frames have a header of Ethernet; otherwise they begin with that of IP.
    pub(super) is_ethernet: bool,
    pub(super) snaplen: u32,
    pub(super) filter: Option<String>,
}

/// One that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    /// Which card's, by its place among those of the file.
    pub(super) card: u32,
    /// Since 1970.
    pub(super) time: Duration,
    /// As long as it was; `bytes` may be less of it.
    pub(super) length: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) way: Way,
}

/// Where it was going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    ToUs,
    ToSeveral,
    ToAll,
    ToOthers,
    Out,
}

/// A block: its kind, its length before and behind what is in it, all in whole words.
fn block(kind: u32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend([0; 4]);
    body(&mut out);
    let length = u32::try_from(out.len() + 4).expect("a block is less than 4 GiB").to_le_bytes();
    out[4..8].copy_from_slice(&length);
    out.extend(length);
    out
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(usize::from(u16::MAX))];
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_le_bytes());
    padded(out, value);
}

/// What every file begins with.
pub(super) fn section(comment: &str) -> Vec<u8> {
    block(SECTION, |out| {
        out.extend(0x1a2b_3c4d_u32.to_le_bytes());
        out.extend([1, 0, 0, 0]);
        // How long it is, is not known yet.
        out.extend((-1_i64).to_le_bytes());
        option(out, 1, comment.as_bytes());
        option(out, 3, b"Linux");
        option(out, 4, concat!("fly ", env!("CARGO_PKG_VERSION")).as_bytes());
        option(out, 0, b"");
    })
}

pub(super) fn card(card: &Card) -> Vec<u8> {
    const ETHERNET: u16 = 1;
    const RAW_IP: u16 = 101;
    block(INTERFACE, |out| {
        out.extend(if card.is_ethernet { ETHERNET } else { RAW_IP }.to_le_bytes());
        out.extend([0; 2]);
        out.extend(card.snaplen.to_le_bytes());
        option(out, 2, card.name.as_bytes());
        option(out, 3, card.description.as_bytes());
        if let Some(mac) = card.mac {
            option(out, 6, &mac.bytes());
        }
        option(out, 9, &[NANOSECONDS]);
        if let Some(filter) = &card.filter {
            // A zero says that what follows is a filter as people write it.
            option(out, 11, &[b"\0", filter.as_bytes()].concat());
        }
        option(out, 0, b"");
    })
}

fn time(out: &mut Vec<u8>, time: Duration) {
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    out.extend(((nanoseconds >> 32) as u32).to_le_bytes());
    out.extend(((nanoseconds & 0xffff_ffff) as u32).to_le_bytes());
}

pub(super) fn packet(packet: &Packet) -> Vec<u8> {
    let flags: u32 = match packet.way {
        Way::ToUs => 0b001 << 2 | 0b01,
        Way::ToSeveral => 0b010 << 2 | 0b01,
        Way::ToAll => 0b011 << 2 | 0b01,
        Way::ToOthers => 0b100 << 2 | 0b01,
        Way::Out => 0b10,
    };
    block(PACKET, |out| {
        out.extend(packet.card.to_le_bytes());
        time(out, packet.time);
        out.extend(u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend(packet.length.to_le_bytes());
        padded(out, &packet.bytes);
        option(out, 2, &flags.to_le_bytes());
        option(out, 0, b"");
    })
}

/// What a card's capture comes to in the end.
pub(super) fn statistics(card: u32, now: Duration, received: u64, dropped: u64) -> Vec<u8> {
    block(STATISTICS, |out| {
        out.extend(card.to_le_bytes());
        time(out, now);
        option(out, 4, &received.to_le_bytes());
        option(out, 5, &dropped.to_le_bytes());
        option(out, 0, b"");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_says_its_length_twice_and_is_whole_words() {
        let one = Card {
            name: "eth0".into(),
            description: "web:eth0 of shop".into(),
            mac: Some("02:00:5e:10:00:01".parse().unwrap()),
            is_ethernet: true,
            snaplen: 96,
            filter: Some("icmp".into()),
        };
        let seen = |length: usize| Packet { card: 0, time: Duration::new(7, 9), length: 99, bytes: vec![1; length], way: Way::Out };
        let blocks = [section("a comment"), card(&one), statistics(0, Duration::from_secs(1), 3, 1)];
        for block in blocks.into_iter().chain((0..9).map(|length| packet(&seen(length)))) {
            let length = u32::try_from(block.len()).unwrap().to_le_bytes();
            assert_eq!((block.len() % 4, &block[4..8], &block[block.len() - 4..]), (0, &length[..], &length[..]), "{block:02x?}");
        }
    }

    #[test]
    fn times_are_nanoseconds_in_two_halves() {
        let bytes = packet(&Packet { card: 3, time: Duration::new(5, 1), length: 60, bytes: vec![], way: Way::ToAll });
        assert_eq!(bytes[8..12], 3_u32.to_le_bytes());
        let half = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        assert_eq!(half(12) << 32 | half(16), 5_000_000_001);
    }
}
