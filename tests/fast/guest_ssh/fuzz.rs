//! What no client would say, to a server that runs. `FLY_CASES` in the environment raises the number of cases.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

use super::abuse::{connect, resident};
use super::lab::{Guest, run};

/// Each case is a connection: fewer are usual than for what is only read.
pub(super) fn cases(usual: u32) -> TestRunner {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let cases = number("FLY_CASES").map_or(usual, |cases| cases / 10);
    let seed = u64::from(number("FLY_SEED").unwrap_or(3));
    TestRunner::new(Config { cases, rng_seed: RngSeed::Fixed(seed), max_shrink_iters: 100, failure_persistence: None, ..Config::default() })
}

/// All that OpenSSH's client says in one login: greeting, offer, key exchange, and then what is encrypted for this server alone.
fn valid(guest: &Guest) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, server) = (listener.local_addr().unwrap().port(), guest.port);
    let recorded = thread::spawn(move || {
        let (client, server) = (listener.accept().unwrap().0, TcpStream::connect(("127.0.0.1", server)).unwrap());
        let (mut back, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut &server, &mut back));
        let (mut client, mut all, mut buffer) = (client, vec![], [0; 4096]);
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
            to.write_all(&buffer[..count]).unwrap();
        }
        all
    });
    let user = format!("{}@127.0.0.1", guest.user);
    assert!(run(guest.client("ssh").args(["-o", "BatchMode=yes", "-i", "id", "-p", &port.to_string(), &user, "true"])).status.success());
    recorded.join().unwrap()
}

/// Packets as they lie in a clear stream, behind the greeting.
fn packets(stream: &[u8]) -> Vec<Vec<u8>> {
    let greeting = stream.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let mut all = vec![stream[..greeting].to_vec()];
    let mut rest = &stream[greeting..];
    // Offer, key exchange, new keys: what follows is encrypted.
    for _ in 0..3 {
        let length = 4 + usize::try_from(u32::from_be_bytes(rest[..4].try_into().unwrap())).unwrap();
        all.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    all.push(rest.to_vec());
    all
}

/// A packet in the clear, well formed, with anything in it.
fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let padding = 8 - (6 + body.len()) % 8 + 8;
    let length = u32::try_from(2 + body.len() + padding).unwrap();
    [&length.to_be_bytes()[..], &[u8::try_from(padding).unwrap(), kind], body, &vec![0; padding]].concat()
}

/// The packets of a login, some of them damaged, missing, twice, or with others in between.
fn stream(valid: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let valid = valid.to_vec();
    let damage = vec((any::<Index>(), any::<u8>()), 0..4);
    let kinds = select(vec![1_u8, 2, 3, 4, 5, 6, 7, 20, 21, 30, 31, 34, 50, 51, 60, 61, 80, 90, 94, 98, 255]);
    let other = (kinds, vec(any::<u8>(), 0..200)).prop_map(|(kind, body)| packet(kind, &body));
    let damaged = (0..valid.len(), damage, any::<Index>(), any::<bool>()).prop_map(move |(number, damage, cut, whole)| {
        let mut bytes = valid[number].clone();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(if whole { bytes.len() } else { cut.index(bytes.len()) });
        bytes
    });
    let rubbish = vec(any::<u8>(), 0..300);
    let greeting = Just(b"SSH-2.0-fuzz\r\n".to_vec());
    let piece = prop_oneof![6 => damaged, 3 => other, 1 => rubbish];
    (prop_oneof![8 => greeting.boxed(), 1 => vec(any::<u8>(), 0..300).boxed()], vec(piece, 0..8))
        .prop_map(|(greeting, pieces)| [greeting, pieces.concat()].concat())
}

/// Says it all, and hears it out: whatever it was, the server ends the connection.
fn say(guest: &Guest, words: &[u8]) -> Result<(), TestCaseError> {
    let mut stream = connect(guest);
    let _ = stream.write_all(words);
    let _ = stream.shutdown(Shutdown::Write);
    match stream.read_to_end(&mut vec![]) {
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            Err(TestCaseError::fail("the server waits for more"))
        }
        _ => Ok(()),
    }
}

#[test]
fn nothing_that_is_said_before_a_login_harms() {
    let mut guest = Guest::start_with_grace(10);
    let valid = packets(&valid(&guest));
    say(&guest, &valid.concat()).unwrap();
    let before = resident(&guest);
    cases(60).run(&stream(&valid), |words| say(&guest, &words)).unwrap_or_else(|failure| panic!("{failure}\n{}", guest.log()));
    assert!(guest.server.try_wait().unwrap().is_none(), "the server lives: {}", guest.log());
    assert!(!guest.log().contains("panicked"), "{}", guest.log());
    assert!(guest.ssh(&[], "true").status.success(), "and others get in");
    let after = resident(&guest);
    assert!(after < before + 16 * 1024, "{before} kB before, {after} kB after");
    assert_eq!(guest.log().matches("logged in from").count(), 2, "nobody has got in by it: {}", guest.log());
}
