//! A client that is logged in and says whatever it is told to: no library of a client lets one do that.
//!
//! It comes by the machine's own socket, where nothing is asked. After that the protocol is the same for everybody.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use ring::aead::chacha20_poly1305_openssh::{KEY_LEN, OpeningKey, SealingKey, TAG_LEN};
use ring::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;

use super::lab::{Guest, PATIENCE};

const GREETING: &str = "SSH-2.0-raw";

pub(super) struct Sender {
    stream: UnixStream,
    key: SealingKey,
    number: u32,
}

pub(super) struct Receiver {
    stream: BufReader<UnixStream>,
    key: OpeningKey,
    number: u32,
}

pub(super) fn n(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

pub(super) fn s(text: impl AsRef<[u8]>) -> Vec<u8> {
    let text = text.as_ref();
    [&n(u32::try_from(text.len()).unwrap()), text].concat()
}

/// A number of any length: without zeros in front, but for the one that keeps it positive.
fn mpint(bytes: &[u8]) -> Vec<u8> {
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    if bytes.first().is_some_and(|byte| *byte >= 128) { s([&[0], bytes].concat()) } else { s(bytes) }
}

/// What a client offers: one of each.
pub(super) fn offer() -> Vec<u8> {
    let lists = [
        "curve25519-sha256",
        "ssh-ed25519",
        "chacha20-poly1305@openssh.com",
        "chacha20-poly1305@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-256",
        "none",
        "none",
        "",
        "",
    ];
    [&[20][..], &[7; 16], &lists.map(s).concat(), &[0; 5]].concat()
}

/// Length, padding and message, of which with `head` bytes before the message a multiple of eight is made.
fn padded(message: &[u8], head: usize) -> Vec<u8> {
    let padding = (4..12).find(|padding| (head + message.len() + padding).is_multiple_of(8)).unwrap();
    let length = u32::try_from(1 + message.len() + padding).unwrap();
    [&n(length)[..], &[u8::try_from(padding).unwrap()], message, &vec![0; padding]].concat()
}

fn clear(from: &mut impl Read) -> Vec<u8> {
    let mut head = [0; 5];
    from.read_exact(&mut head).unwrap();
    let length = usize::try_from(u32::from_be_bytes(head[..4].try_into().unwrap())).unwrap();
    let mut message = vec![0; length - 1];
    from.read_exact(&mut message).unwrap();
    message.truncate(length - 1 - usize::from(head[4]));
    message
}

/// The first string of a message, and what follows.
fn string(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::try_from(u32::from_be_bytes(bytes[..4].try_into().unwrap())).unwrap();
    bytes[4..].split_at(length)
}

/// The key exchange: both keys, and what both sides begin to count at.
pub(super) fn connect(guest: &Guest) -> (Sender, Receiver) {
    let stream = UnixStream::connect(guest.home.join("ssh.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let (mut to, mut from) = (stream.try_clone().unwrap(), BufReader::new(stream));
    to.write_all(format!("{GREETING}\r\n").as_bytes()).unwrap();
    let mut greeting = String::new();
    from.read_line(&mut greeting).unwrap();
    to.write_all(&padded(&offer(), 5)).unwrap();
    let offered = clear(&mut from);

    let own = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new()).unwrap();
    let own_public = own.compute_public_key().unwrap();
    to.write_all(&padded(&[&[30][..], &s(&own_public)].concat(), 5)).unwrap();
    let answer = clear(&mut from);
    let (host_key, rest) = string(&answer[1..]);
    let (public, _) = string(rest);
    let shared = agree_ephemeral(own, &UnparsedPublicKey::new(&X25519, public), mpint).unwrap();
    let exchange = [s(GREETING), s(greeting.trim_end()), s(offer()), s(&offered), s(host_key), s(&own_public), s(public)];
    let exchange = [exchange.concat(), shared.clone()].concat();
    let hash = digest(&SHA256, &exchange);
    to.write_all(&padded(&[21], 5)).unwrap();
    assert_eq!(clear(&mut from), [21]);

    let key = |letter: u8| -> [u8; KEY_LEN] {
        let base = [&shared, hash.as_ref()].concat();
        let first = digest(&SHA256, &[&base, &[letter][..], hash.as_ref()].concat());
        let second = digest(&SHA256, &[&base, first.as_ref()].concat());
        [first.as_ref(), second.as_ref()].concat().try_into().unwrap()
    };
    // Offer, key, new keys: three messages went each way.
    let sender = Sender { stream: to, key: SealingKey::new(&key(b'C')), number: 3 };
    (sender, Receiver { stream: from, key: OpeningKey::new(&key(b'D')), number: 3 })
}

/// The same, as somebody who is in.
pub(super) fn log_in(guest: &Guest) -> (Sender, Receiver) {
    let (mut to, mut from) = connect(guest);
    to.say(&[&[5][..], &s("ssh-userauth")].concat()).unwrap();
    assert_eq!(from.hear().unwrap()[0], 6);
    to.say(&[&[50][..], &s(&guest.user), &s("ssh-connection"), &s("none")].concat()).unwrap();
    assert_eq!(from.hear().unwrap()[0], 52, "{}", guest.log());
    (to, from)
}

/// The number that the server gives it.
pub(super) fn open_session(to: &mut Sender, from: &mut Receiver) -> u32 {
    to.say(&[&[90][..], &s("session"), &n(0), &n(1 << 20), &n(32_768)].concat()).unwrap();
    loop {
        let heard = from.hear().unwrap();
        if heard[0] == 91 {
            return u32::from_be_bytes(heard[5..9].try_into().unwrap());
        }
    }
}

impl Sender {
    pub(super) fn say(&mut self, message: &[u8]) -> std::io::Result<()> {
        // The length stands outside of what is a multiple of eight.
        let mut packet = padded(message, 1);
        let mut tag = [0; TAG_LEN];
        self.key.seal_in_place(self.number, &mut packet, &mut tag);
        self.number = self.number.wrapping_add(1);
        packet.extend(tag);
        self.stream.write_all(&packet)
    }

    /// Without any key.
    pub(super) fn noise(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub(super) fn patience(&self, time: std::time::Duration) {
        self.stream.set_write_timeout(Some(time)).unwrap();
    }

    pub(super) fn end(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }
}

impl Receiver {
    pub(super) fn hear(&mut self) -> std::io::Result<Vec<u8>> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head)?;
        let length = self.key.decrypt_packet_length(self.number, head);
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap();
        assert!(length <= 256 * 1024, "the server's packets can be read");
        let mut packet = [&head[..], &vec![0; length]].concat();
        self.stream.read_exact(&mut packet[4..])?;
        let mut tag = [0; TAG_LEN];
        self.stream.read_exact(&mut tag)?;
        let plain = self.key.open_in_place(self.number, &mut packet, &tag).expect("the server's packets are whole");
        self.number = self.number.wrapping_add(1);
        let padding = usize::from(plain[0]);
        Ok(plain[1..plain.len() - padding].to_vec())
    }
}
