//! Requests that nobody would send. `FLY_CASES` in the environment raises the number of cases.

use std::fs;

use fly::guest::sftp::codec::{Attributes, MAX_PACKET, Malformed, Reader};
use fly::guest::sftp::request::{Extended, Packet, Request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed};

use super::client::{Answer, Client, attributes, kind, n, packet, q, s};
use super::place::Place;

fn cases(usual: u32) -> Config {
    let cases = std::env::var("FLY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let seed = std::env::var("FLY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    // The same cases every time: a red test is red again. Raising the number, or `FLY_SEED`, tries others too.
    Config { cases, rng_seed: RngSeed::Fixed(seed), max_shrink_iters: 2000, failure_persistence: None, ..Config::default() }
}

/// What a request is made of, so that it can be said as bytes and be compared with what is read from them.
#[derive(Clone, Debug)]
enum Part {
    Text(Vec<u8>),
    Small(u32),
    Large(u64),
    Attributes(Attributes),
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => s(text),
            Self::Small(number) => n(*number),
            Self::Large(number) => q(*number),
            Self::Attributes(wanted) => attributes(*wanted),
        }
    }
}

/// Sizes and offsets that are small, or more than any file can have: nothing that fills a disk.
fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_000_u64, select(vec![u64::MAX, 1 << 63, u64::MAX - 1])]
}

fn some_attributes() -> impl Strategy<Value = Attributes> {
    use proptest::option::of;
    // Nothing that the test itself could not clear away any more.
    (of(offset()), of(Just((u32::MAX, u32::MAX))), of(any::<u32>().prop_map(|mode| mode | 0o700)), of(any::<(u32, u32)>()))
        .prop_map(|(size, owner, permissions, times)| Attributes { size, owner, permissions, times })
}

/// Names below the folder that a test begins in, and no way out of it.
fn name() -> impl Strategy<Value = Vec<u8>> {
    let names: &[&[u8]] =
        &[b"a", b"b", b"d", b"d/a", b"d/e", b"link", b"loop", b"\xff", b"", b".", b"~/a", b"~nobody-at-all", b"a\0b", b"d/./e"];
    prop_oneof![8 => select(names.to_vec()).prop_map(<[u8]>::to_vec), 1 => Just(vec![b'n'; 5000])]
}

/// Handles count up, so the small ones are or were open.
fn handle() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![9 => (0..6_u64).prop_map(q), 1 => vec(any::<u8>(), 0..12)]
}

fn request() -> impl Strategy<Value = (u8, Vec<Part>)> {
    let path = || name().prop_map(Part::Text).boxed();
    let file = || handle().prop_map(Part::Text).boxed();
    let large = || offset().prop_map(Part::Large).boxed();
    let small = || prop_oneof![0..70_000_u32, Just(u32::MAX)].prop_map(Part::Small).boxed();
    let flags = || (0..64_u32).prop_map(Part::Small).boxed();
    let set = || some_attributes().prop_map(Part::Attributes).boxed();
    let data = || vec(any::<u8>(), 0..300).prop_map(Part::Text).boxed();
    let word = |word: &str| Just(Part::Text(word.as_bytes().to_vec())).boxed();
    let all = vec![
        (kind::OPEN, vec![path(), flags(), set()]),
        (kind::OPEN, vec![path(), Just(Part::Small(0b1011)).boxed(), set()]),
        (kind::CLOSE, vec![file()]),
        (kind::READ, vec![file(), large(), small()]),
        (kind::WRITE, vec![file(), large(), data()]),
        (kind::LSTAT, vec![path()]),
        (kind::FSTAT, vec![file()]),
        (kind::SETSTAT, vec![path(), set()]),
        (kind::FSETSTAT, vec![file(), set()]),
        (kind::OPENDIR, vec![path()]),
        (kind::READDIR, vec![file()]),
        (kind::REMOVE, vec![path()]),
        (kind::MKDIR, vec![path(), set()]),
        (kind::RMDIR, vec![path()]),
        (kind::REALPATH, vec![path()]),
        (kind::STAT, vec![path()]),
        (kind::RENAME, vec![path(), path()]),
        (kind::READLINK, vec![path()]),
        (kind::SYMLINK, vec![path(), path()]),
        (kind::EXTENDED, vec![word("posix-rename@openssh.com"), path(), path()]),
        (kind::EXTENDED, vec![word("statvfs@openssh.com"), path()]),
        (kind::EXTENDED, vec![word("fstatvfs@openssh.com"), file()]),
        (kind::EXTENDED, vec![word("hardlink@openssh.com"), path(), path()]),
        (kind::EXTENDED, vec![word("fsync@openssh.com"), file()]),
        (kind::EXTENDED, vec![word("lsetstat@openssh.com"), path(), set()]),
        (kind::EXTENDED, vec![word("limits@openssh.com")]),
        (kind::EXTENDED, vec![word("expand-path@openssh.com"), path()]),
        (kind::EXTENDED, vec![word("copy-data"), file(), large(), (0..100_000_u64).prop_map(Part::Large).boxed(), file(), large()]),
        (kind::EXTENDED, vec![word("home-directory"), path()]),
        (kind::EXTENDED, vec![word("users-groups-by-id@openssh.com"), data(), data()]),
        (kind::EXTENDED, vec![word("unknown@example.org"), data()]),
        (77, vec![data()]),
    ];
    proptest::strategy::Union::new(all.into_iter().map(|(kind, parts)| parts.prop_map(move |parts| (kind, parts)).boxed()))
}

fn body(parts: &[Part]) -> Vec<u8> {
    parts.iter().flat_map(Part::bytes).collect()
}

/// What was read of a request, in the order in which it stands in the packet.
fn parts(request: &Request) -> Vec<Part> {
    use Part::{Large, Small};
    let text = |text: &[u8]| Part::Text(text.to_vec());
    match *request {
        Request::Open { path, flags, attributes } => vec![text(path), Small(flags), Part::Attributes(attributes)],
        Request::Read { handle, offset, length } => vec![text(handle), Large(offset), Small(length)],
        Request::Write { handle, offset, data } => vec![text(handle), Large(offset), text(data)],
        Request::SetStat { path, attributes } | Request::MakeDir { path, attributes } => vec![text(path), Part::Attributes(attributes)],
        Request::FsetStat { handle, attributes } => vec![text(handle), Part::Attributes(attributes)],
        Request::Close { handle } | Request::Fstat { handle } | Request::ReadDir { handle } => vec![text(handle)],
        Request::Stat { path }
        | Request::Lstat { path }
        | Request::OpenDir { path }
        | Request::Remove { path }
        | Request::RemoveDir { path }
        | Request::RealPath { path }
        | Request::ReadLink { path } => vec![text(path)],
        Request::Rename { from, to } => vec![text(from), text(to)],
        Request::Symlink { target, link } => vec![text(target), text(link)],
        Request::Extended(extended) => match extended {
            Extended::PosixRename { from, to } | Extended::HardLink { from, to } => vec![text(from), text(to)],
            Extended::StatVfs { path } | Extended::ExpandPath { path } => vec![text(path)],
            Extended::FstatVfs { handle } | Extended::Fsync { handle } => vec![text(handle)],
            Extended::LsetStat { path, attributes } => vec![text(path), Part::Attributes(attributes)],
            Extended::Limits => vec![],
            Extended::CopyData { from, from_offset, length, to, to_offset } => {
                vec![text(from), Large(from_offset), Large(length), text(to), Large(to_offset)]
            }
            Extended::HomeDirectory { user } => vec![text(user)],
            Extended::UsersGroups { users, groups } => vec![text(users), text(groups)],
        },
        Request::Unknown => vec![],
    }
}

proptest! {
    #![proptest_config(cases(2000))]

    /// Whatever comes is a request, a request that is wrong, or not sftp; and all that a request holds lies in the packet.
    #[test]
    fn bytes_never_harm(bytes in vec(any::<u8>(), 0..200), kind in any::<u8>()) {
        let _ = Packet::parse(&bytes);
        if let Ok(Packet::Request { request: Ok(request), .. }) = Packet::parse(&[&[kind], &bytes[..]].concat()) {
            prop_assert!(body(&parts(&request)).len() <= bytes.len());
        }
        let mut reader = Reader::new(&bytes);
        while reader.string().is_ok() {}
    }

    #[test]
    fn what_is_sent_is_what_is_read((kind, sent) in request(), id in any::<u32>(), cut in any::<prop::sample::Index>()) {
        let bytes = [&[kind][..], &n(id), &body(&sent)].concat();
        let Ok(Packet::Request { id: read_id, request: Ok(request) }) = Packet::parse(&bytes) else {
            return Err(TestCaseError::fail("a good request is refused"));
        };
        prop_assert_eq!(read_id, id);
        if request != Request::Unknown {
            let name = usize::from(kind == kind::EXTENDED);
            prop_assert_eq!(body(&parts(&request)), body(&sent[name..]));
            // One byte less is too little for all of them.
            let short = Packet::parse(&bytes[..bytes.len() - 1]);
            prop_assert_eq!(short, Ok(Packet::Request { id, request: Err(Malformed) }));
            let _ = Packet::parse(&bytes[..cut.index(bytes.len())]);
        }
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// Each request has one answer, in order, whatever was asked for; then the server ends well.
    #[test]
    fn every_request_is_answered(requests in vec(request(), 1..60)) {
        let place = Place::new("fuzz");
        place.write("a", vec![b'a'; 50_000]);
        place.write("d/e", "e");
        std::os::unix::fs::symlink("loop", place.path("loop")).unwrap();
        let mut client = Client::new(place.root());
        let all: Vec<u8> = requests.iter().zip(0..).flat_map(|((kind, parts), id)| packet(*kind, &[n(id), body(parts)].concat())).collect();
        // What does not fit into the pipes would wait for answers that are not read yet.
        prop_assume!(all.len() < 60_000);
        client.raw(&all);
        for id in 0..u32::try_from(requests.len()).unwrap() {
            let (answered, answer) = client.answer();
            prop_assert_eq!(answered, id);
            if let Answer::Status(code, text) = answer {
                prop_assert!(code <= 8 && !text.is_empty());
            }
        }
        let (status, said) = client.leave();
        prop_assert_eq!((status.code(), &*said), (Some(0), ""));
    }

    /// Damaged requests too, where nothing may be changed: then their names can be anything.
    #[test]
    fn damage_is_answered(
        requests in vec((request(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), any::<prop::sample::Index>()), 1..40),
        rubbish in vec(any::<u8>(), 0..64),
    ) {
        let place = Place::new("damage");
        place.write("a", "a");
        let mut client = Client::with(place.root(), &["-R"]);
        let mut all = vec![];
        for (((kind, parts), damage, cut), id) in requests.iter().zip(0..) {
            let mut body = body(parts);
            for (at, byte) in damage {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
            }
            body.truncate(cut.index(body.len() + 1).max(body.len() / 2));
            all.extend(packet(*kind, &[n(id), body].concat()));
        }
        prop_assume!(all.len() < 60_000);
        client.raw(&all);
        for id in 0..u32::try_from(requests.len()).unwrap() {
            prop_assert_eq!(client.answer().0, id);
        }
        // And then anything at all: it ends, by itself or when the client goes, and never by a signal.
        client.raw(&rubbish);
        let (status, _) = client.leave();
        prop_assert!(matches!(status.code(), Some(0 | 1)), "{status}");
        prop_assert_eq!(fs::read(place.path("a")).unwrap(), b"a");
        prop_assert!(all.len() < MAX_PACKET);
    }
}
