//! What no client says once it is logged in: the same as `fuzz`, behind the door. `FLY_CASES` raises the number of cases.

use std::fs;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestCaseError;

use super::abuse::resident;
use super::fuzz::cases;
use super::lab::{Guest, eventually, free_port};
use super::raw::{log_in, n, offer, open_session, s};

/// One thing that is said. Texts are never damaged, only their lengths: what runs, and where it connects to, stays harmless.
#[derive(Clone, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Text(&'static str, Option<u32>),
    /// A path in the guest's folder.
    Path(&'static str),
    /// A port of loopback where nobody listens.
    Closed,
    /// One of the sessions that were opened first.
    Channel(usize),
}

use Piece::{Bytes, Channel, Closed, Path, Text};

type Message = Vec<Piece>;

/// That every case begins with.
const SESSIONS: usize = 3;

#[derive(Clone, Debug)]
enum Act {
    Say(Message, Option<Index>),
    /// Bytes that are no packet: the connection ends.
    Noise(Vec<u8>),
    Pause,
}

fn number() -> BoxedStrategy<u32> {
    prop_oneof![8 => 0..4_u32, 2 => select(vec![32_768, 2_097_152, i32::MAX.unsigned_abs(), u32::MAX]), 1 => any::<u32>()].boxed()
}

fn text(of: &'static [&'static str]) -> BoxedStrategy<Piece> {
    let length = prop_oneof![60 => Just(None), 1 => number().prop_map(Some)];
    (select(of), length).prop_map(|(text, length)| Text(text, length)).boxed()
}

fn number_piece() -> BoxedStrategy<Piece> {
    number().prop_map(|it| Bytes(n(it))).boxed()
}

/// A connection ends with the first thing that is said of a channel that is not there, and then nothing more is tried.
fn channel() -> BoxedStrategy<Piece> {
    prop_oneof![80 => (0..SESSIONS).prop_map(Channel), 1 => number_piece()].boxed()
}

/// Of a packet: none at all is no channel.
fn size() -> BoxedStrategy<Piece> {
    select(vec![1, 7, 32_768, 32_768, 32_768, 32_768, u32::MAX, 0]).prop_map(|it| Bytes(n(it))).boxed()
}

fn flag() -> BoxedStrategy<Piece> {
    prop_oneof![20 => Just(Bytes(vec![0])), 20 => Just(Bytes(vec![1])), 1 => Just(Bytes(vec![77]))].boxed()
}

fn bytes() -> BoxedStrategy<Piece> {
    vec(any::<u8>(), 0..80).prop_map(|it| Bytes(s(it))).boxed()
}

/// The kind, and then what is drawn.
fn message(kind: u8, rest: Vec<BoxedStrategy<Piece>>) -> BoxedStrategy<Message> {
    rest.prop_map(move |rest| [vec![Bytes(vec![kind])], rest].concat()).boxed()
}

fn fixed(text: &'static str) -> BoxedStrategy<Piece> {
    Just(Text(text, None)).boxed()
}

fn opening() -> BoxedStrategy<Message> {
    let open = |kind: &'static str, more: Vec<BoxedStrategy<Piece>>| {
        message(90, [vec![fixed(kind), number_piece(), number_piece(), size()], more].concat())
    };
    let closed = || Just(Closed).boxed();
    prop_oneof![
        30 => open("session", vec![]),
        4 => open("direct-tcpip", vec![fixed("127.0.0.1"), closed(), fixed("::1"), number_piece()]),
        4 => open("direct-streamlocal@openssh.com", vec![Just(Path("nobody.sock")).boxed(), fixed(""), number_piece()]),
        1 => open("forwarded-tcpip", vec![fixed("127.0.0.1"), number_piece(), fixed("::1"), number_piece()]),
        1 => open("auth-agent@openssh.com", vec![]),
        1 => open("x11", vec![fixed("::1"), number_piece()]),
        1 => open("no-such-kind", vec![bytes()]),
        1 => message(91, vec![number_piece(), number_piece(), number_piece(), number_piece()]),
        1 => message(92, vec![number_piece(), number_piece(), bytes(), bytes()]),
    ]
    .boxed()
}

fn request() -> BoxedStrategy<Message> {
    const COMMANDS: &[&str] = &["true", "cat", "exit 3", "sleep 100", "kill -9 $$", "head -c 300000 /dev/zero", "cat >&2", ""];
    let ask = |kind: &'static str, more: Vec<BoxedStrategy<Piece>>| message(98, [vec![channel(), fixed(kind), flag()], more].concat());
    let window = || vec![number_piece(), number_piece(), number_piece(), number_piece()];
    let modes = vec((prop_oneof![3 => 0..100_u8, 1 => any::<u8>()], number()), 0..6)
        .prop_map(|modes| Bytes(s(modes.into_iter().flat_map(|(mode, value)| [vec![mode], n(value)].concat()).collect::<Vec<_>>())))
        .boxed();
    prop_oneof![
        3 => ask("pty-req", [vec![text(&["vt220", "", "a\0b"])], window(), vec![modes]].concat()),
        2 => ask("env", vec![text(&["LANG", "LC_ALL", "LD_PRELOAD", "", "TZ"]), text(&["C", "a\0b", ""])]),
        4 => ask("exec", vec![text(COMMANDS)]),
        2 => ask("shell", vec![]),
        3 => ask("subsystem", vec![text(&["sftp", "netconf", ""])]),
        2 => ask("signal", vec![text(&["TERM", "KILL", "USR1", "NOSUCH", ""])]),
        2 => ask("window-change", window()),
        1 => ask("auth-agent-req@openssh.com", vec![]),
        1 => ask("x11-req", vec![flag(), text(&["MIT-MAGIC-COOKIE-1"]), text(&["00ff", ""]), number_piece()]),
        1 => ask("exit-status", vec![number_piece()]),
        1 => ask("eow@openssh.com", vec![]),
        1 => ask("no-such-request", vec![bytes()]),
    ]
    .boxed()
}

/// Of sftp only what changes nothing, whole or in pieces, and what is none of it.
fn sftp() -> BoxedStrategy<Piece> {
    let packet = |kind: u8, rest: Vec<u8>| [n(u32::try_from(rest.len() + 1).unwrap()), vec![kind], rest].concat();
    let named = select(vec![7_u8, 11, 16, 17, 19]);
    let handle = |it: u32| s([n(0), n(it)].concat());
    prop_oneof![
        3 => Just(packet(1, n(3))),
        3 => (named, number(), select(vec![".", "nobody", ""])).prop_map(move |(kind, id, name)| packet(kind, [n(id), s(name)].concat())),
        2 => (number(), number()).prop_map(move |(id, it)| packet(12, [n(id), handle(it)].concat())),
        2 => (number(), number(), number()).prop_map(move |(id, it, length)| packet(5, [n(id), handle(it), n(0), n(length), n(length)].concat())),
        1 => (number(), vec(any::<u8>(), 0..40)).prop_map(move |(length, rest)| [n(length), vec![201], rest].concat()),
    ]
    .prop_flat_map(|whole| (Just(whole), prop_oneof![4 => Just(None), 1 => any::<Index>().prop_map(Some)]))
    .prop_map(|(mut whole, cut)| {
        whole.truncate(cut.map_or(whole.len(), |cut| cut.index(whole.len())));
        Bytes(s(whole))
    })
    .boxed()
}

fn data() -> BoxedStrategy<Message> {
    prop_oneof![
        24 => message(94, vec![channel(), sftp()]),
        12 => message(94, vec![channel(), bytes()]),
        6 => message(94, vec![channel(), Just(Bytes(s(vec![b'x'; 30_000]))).boxed()]),
        4 => message(95, vec![channel(), number_piece(), bytes()]),
        6 => message(93, vec![channel(), number_piece()]),
        2 => message(96, vec![channel()]),
        1 => message(97, vec![channel()]),
        1 => message(99, vec![channel()]),
        1 => message(100, vec![channel()]),
    ]
    .boxed()
}

fn global() -> BoxedStrategy<Message> {
    let ask = |kind: &'static str, more: Vec<BoxedStrategy<Piece>>| message(80, [vec![fixed(kind), flag()], more].concat());
    let address = || text(&["127.0.0.1", "", "localhost", "*"]);
    let port = || prop_oneof![Just(Closed), Just(Bytes(n(0))), Just(Bytes(n(u32::MAX)))].boxed();
    let path = || select(vec!["a.sock", "b.sock", "none/c.sock"]).prop_map(Path).boxed();
    prop_oneof![
        2 => ask("tcpip-forward", vec![address(), port()]),
        2 => ask("cancel-tcpip-forward", vec![address(), port()]),
        2 => ask("streamlocal-forward@openssh.com", vec![path()]),
        2 => ask("cancel-streamlocal-forward@openssh.com", vec![path()]),
        1 => ask("keepalive@openssh.com", vec![]),
        1 => ask("no-more-sessions@openssh.com", vec![]),
        1 => ask("hostkeys-prove-00@openssh.com", vec![bytes()]),
        1 => ask("no-such-request", vec![bytes()]),
        1 => message(81, vec![bytes()]),
        1 => message(82, vec![]),
    ]
    .boxed()
}

/// Of the other layers: once more a login, a key exchange, and what is nothing.
fn other() -> BoxedStrategy<Message> {
    let kinds = select(vec![0_u8, 2, 3, 4, 7, 8, 21, 30, 31, 49, 52, 60, 79, 101, 192, 255]);
    prop_oneof![
        1 => Just(vec![Bytes(offer())]),
        1 => message(5, vec![text(&["ssh-userauth", "ssh-connection"])]),
        1 => message(50, vec![text(&["root", ""]), text(&["ssh-connection"]), text(&["none", "publickey", "password"])]),
        2 => (kinds, vec(any::<u8>(), 0..60)).prop_map(|(kind, rest)| vec![Bytes(vec![kind]), Bytes(rest)]),
        1 => Just(vec![]),
    ]
    .boxed()
}

/// Most of them say more than one thing that makes sense, on channels that are there.
fn acts() -> impl Strategy<Value = (Vec<Act>, bool)> {
    let said = prop_oneof![12 => opening(), 40 => request(), 30 => data(), 10 => global(), 1 => other()];
    let cut = prop_oneof![80 => Just(None), 1 => any::<Index>().prop_map(Some)];
    let act = prop_oneof![
        80 => (said, cut).prop_map(|(said, cut)| Act::Say(said, cut)),
        1 => vec(any::<u8>(), 1..60).prop_map(Act::Noise),
        4 => Just(Act::Pause),
    ];
    (vec(act, 1..40), prop_oneof![3 => Just(true), 1 => Just(false)])
}

fn written(guest: &Guest, port: u16, sessions: &[u32], message: &Message, cut: Option<Index>) -> Vec<u8> {
    let piece = |piece: &Piece| match piece {
        Bytes(bytes) => bytes.clone(),
        Text(text, None) => s(text),
        Text(text, Some(length)) => [&n(*length), text.as_bytes()].concat(),
        Path(name) => s(guest.home.join(name).display().to_string()),
        Closed => n(port.into()),
        Channel(number) => n(sessions[*number]),
    };
    let mut all: Vec<u8> = message.iter().flat_map(piece).collect();
    all.truncate(cut.map_or(all.len(), |cut| cut.index(all.len() + 1)));
    all
}

/// Says it all. Who hears waits for the server to end the connection; who does not just leaves.
fn play(guest: &Guest, port: u16, acts: &[Act], hears: bool) -> Result<(), TestCaseError> {
    let (mut to, mut from) = log_in(guest);
    let sessions: Vec<u32> = (0..SESSIONS).map(|_| open_session(&mut to, &mut from)).collect();
    to.patience(Duration::from_secs(5));
    let hearing = hears.then(|| {
        std::thread::spawn(move || {
            loop {
                if let Err(error) = from.hear() {
                    return error;
                }
            }
        })
    });
    for act in acts {
        let said = match act {
            Act::Say(message, cut) => to.say(&written(guest, port, &sessions, message, *cut)),
            Act::Noise(bytes) => to.noise(bytes),
            Act::Pause => {
                std::thread::sleep(Duration::from_millis(20));
                Ok(())
            }
        };
        // The server has had enough, or waits until it is heard.
        if said.is_err() {
            break;
        }
    }
    if hears {
        // What has been begun gets a little time: with the end of the connection it ends.
        std::thread::sleep(Duration::from_millis(30));
    }
    to.end();
    let Some(hearing) = hearing else { return Ok(()) };
    let error = hearing.join().map_err(|_| TestCaseError::fail("what the server says is no packet"))?;
    let waits = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    if waits { Err(TestCaseError::fail("the server does not end the connection")) } else { Ok(()) }
}

pub(super) fn count(guest: &Guest, what: &str) -> usize {
    fs::read_dir(format!("/proc/{}/{what}", guest.server.id())).unwrap().count()
}

pub(super) fn children(guest: &Guest) -> usize {
    fs::read_to_string(format!("/proc/{0}/task/{0}/children", guest.server.id())).unwrap().split_whitespace().count()
}

#[test]
fn nothing_that_is_said_after_a_login_harms() {
    let mut guest = Guest::start();
    assert!(guest.ssh(&[], "true").status.success());
    let port = free_port();
    guest.until("the first session has ended", || children(&guest) == 0);
    let (before, files) = (resident(&guest), count(&guest, "fd"));
    cases(60).run(&acts(), |(acts, hears)| play(&guest, port, &acts, hears)).unwrap_or_else(|failure| panic!("{failure}\n{}", guest.log()));
    assert!(guest.server.try_wait().unwrap().is_none(), "the server lives: {}", guest.log());
    assert!(!guest.log().contains("panicked"), "{}", guest.log());
    assert!(guest.ssh(&[], "true").status.success(), "and others get in");
    assert!(eventually(|| children(&guest) == 0), "what ran has gone with its client: {}", children(&guest));
    assert!(eventually(|| count(&guest, "fd") <= files), "{files} files before, {} after", count(&guest, "fd"));
    let after = resident(&guest);
    assert!(after < before + 16 * 1024, "{before} kB before, {after} kB after");
}
