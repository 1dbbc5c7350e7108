//! Packet by packet: what each request does and answers, and what wrong ones cost.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use fly::guest::sftp::codec::{Attributes, MAX_DATA, MAX_PACKET};

use super::client::{
    APPEND, Answer, BAD_MESSAGE, CREATE, Client, EOF, EXCLUSIVE, FAILURE, NO_SUCH_FILE, OK, PERMISSION_DENIED, READ, TRUNCATE, UNSUPPORTED,
    WRITE, attributes, kind, n, packet, q, s,
};
use super::place::{Place, is_root, noise};

#[test]
fn whoever_leaves_ends_the_server_well() {
    let place = Place::new("leave");
    for before in [&[][..], &packet(kind::INIT, &n(3)), &packet(kind::INIT, &n(3))[..5]] {
        let mut client = Client::silent(place.root(), &[]);
        client.raw(before);
        let (status, said) = client.leave();
        assert_eq!((status.code(), &*said), (Some(0), ""));
    }
}

#[test]
fn ways_of_opening() {
    let place = Place::new("open");
    place.write("there", "0123456789");
    let mut client = Client::new(place.root());
    let mut open = |path: &str, flags: u32| client.ask(kind::OPEN, &[s(path.as_bytes()), n(flags), n(4), n(0o100_640)].concat());
    let code = |answer| match answer {
        Answer::Status(code, _) => code,
        Answer::Handle(_) => OK,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(open("nothing", READ)), NO_SUCH_FILE);
    assert_eq!(code(open("there/below", READ)), NO_SUCH_FILE);
    assert_eq!(code(open("there", WRITE | CREATE | EXCLUSIVE)), FAILURE);
    assert_eq!(code(open(&"n".repeat(256), WRITE | CREATE)), BAD_MESSAGE);
    assert_eq!(code(open("with\0nul", WRITE | CREATE)), BAD_MESSAGE);
    assert_eq!(code(open("", READ)), NO_SUCH_FILE);
    assert_eq!(code(open(".", WRITE)), FAILURE);
    assert_eq!(code(open("made", WRITE | CREATE | EXCLUSIVE)), OK);
    assert_eq!(fs::metadata(place.path("made")).unwrap().mode(), 0o100_640);
    assert_eq!(code(open("there", WRITE)), OK);
    assert_eq!(fs::read(place.path("there")).unwrap(), b"0123456789");
    // At the end, wherever the client says.
    let handle = client.open(b"there", WRITE | APPEND);
    assert_eq!(client.code(kind::WRITE, &[s(&handle), q(0), s(b"ab")].concat()), OK);
    assert_eq!(client.code(kind::WRITE, &[s(&handle), q(u64::MAX), s(b"c")].concat()), OK);
    assert_eq!(fs::read(place.path("there")).unwrap(), b"0123456789abc");
    let handle = client.open(b"there", READ | WRITE | CREATE | TRUNCATE);
    assert_eq!(client.code(kind::WRITE, &[s(&handle), q(3), s(b"x")].concat()), OK);
    assert_eq!(client.ask(kind::READ, &[s(&handle), q(0), n(100)].concat()), Answer::Data(b"\0\0\0x".to_vec()));
    assert_eq!(fs::read(place.path("there")).unwrap(), b"\0\0\0x");
}

#[test]
fn reading_and_writing_anywhere() {
    let place = Place::new("anywhere");
    let bytes = noise(600_000);
    place.write("file", &bytes);
    let mut client = Client::new(place.root());
    let handle = client.open(b"file", READ | WRITE);
    let mut read = |offset, length| client.ask(kind::READ, &[s(&handle), q(offset), n(length)].concat());
    assert_eq!(read(5, 10), Answer::Data(bytes[5..15].to_vec()));
    assert_eq!(read(599_990, 100), Answer::Data(bytes[599_990..].to_vec()));
    assert_eq!(read(7, u32::MAX), Answer::Data(bytes[7..7 + MAX_DATA].to_vec()), "no more than fits");
    assert_eq!(read(0, 0), Answer::Data(vec![]));
    assert!(matches!(read(600_000, 1), Answer::Status(EOF, _)));
    assert!(matches!(read(1 << 62, 1), Answer::Status(EOF, _)));
    assert!(matches!(read(u64::MAX, 1), Answer::Status(BAD_MESSAGE, _)));
    let mut write = |offset, data: &[u8]| client.code(kind::WRITE, &[s(&handle), q(offset), s(data)].concat());
    assert_eq!(write(100, &bytes[..MAX_DATA]), OK);
    assert_eq!(write(0, b""), OK);
    assert_eq!(write(u64::MAX, b"x"), BAD_MESSAGE);
    assert!(fs::read(place.path("file")).unwrap()[100..100 + MAX_DATA] == bytes[..MAX_DATA]);
    // One that is not open for it, a folder, and one that is no file at all.
    let reader = client.open(b"file", READ);
    assert_eq!(client.code(kind::WRITE, &[s(&reader), q(0), s(b"x")].concat()), NO_SUCH_FILE);
    let folder = client.open(b".", READ);
    assert_eq!(client.code(kind::READ, &[s(&folder), q(0), n(1)].concat()), FAILURE);
    let null = client.open(b"/dev/null", READ | WRITE);
    assert_eq!(client.code(kind::READ, &[s(&null), q(0), n(1)].concat()), EOF);
    assert_eq!(client.code(kind::WRITE, &[s(&null), q(0), s(b"x")].concat()), OK);
    // Files that are made while they are read have no size, and are read all the same.
    let status = client.open(b"/proc/self/status", READ);
    assert!(matches!(client.ask(kind::READ, &[s(&status), q(0), n(100)].concat()), Answer::Data(data) if data.starts_with(b"Name:\tfly")));
}

#[test]
fn a_full_disk_is_called_by_its_name() {
    let place = Place::new("full");
    let mut client = Client::new(place.root());
    let full = client.open(b"/dev/full", WRITE);
    let answer = client.ask(kind::WRITE, &[s(&full), q(0), s(b"x")].concat());
    assert_eq!(answer, Answer::Status(FAILURE, "No space left on device".into()));
}

#[test]
fn requests_at_once_are_answered_in_order() {
    let place = Place::new("order");
    let bytes = noise(2_000_000);
    place.write("file", &bytes);
    let mut client = Client::new(place.root());
    let handle = client.open(b"file", READ);
    let ids: Vec<u32> = (0..1000).map(|at| client.begin(kind::READ, &[s(&handle), q(at * 2000), n(2000)].concat())).collect();
    for (id, wanted) in ids.into_iter().zip(bytes.chunks(2000)) {
        assert_eq!(client.answer(), (id, Answer::Data(wanted.to_vec())));
    }
}

/// An ssh server may have made what it shares with us not block.
#[test]
fn descriptors_that_do_not_block() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let place = Place::new("nonblocking");
    place.write("file", noise(200_000));
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    command.args(["guest", "sftp"]).current_dir(place.root());
    command.stdin(OwnedFd::from(theirs.try_clone().unwrap())).stdout(OwnedFd::from(theirs));
    let mut child = command.spawn().unwrap();
    drop(command);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let file = q(0);
    let requests = [packet(kind::INIT, &n(3)), packet(kind::OPEN, &[n(0), s(b"file"), n(READ), n(0)].concat())].concat();
    ours.write_all(&requests).unwrap();
    for id in 1..=20 {
        ours.write_all(&packet(kind::READ, &[n(id), s(&file), q(0), n(200_000)].concat())).unwrap();
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = vec![];
    ours.read_to_end(&mut all).unwrap();
    assert!(all.len() > 20 * 200_000, "{}", all.len());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn attributes_are_set() {
    let place = Place::new("attributes");
    let file = place.write("file", "0123456789");
    let mut client = Client::new(place.root());
    let all = Attributes { size: Some(4), owner: None, permissions: Some(0o100_751), times: Some((1_000, 4_000_000_000)) };
    let is = |size, mode| {
        let meta = fs::metadata(&file).unwrap();
        assert_eq!((meta.len(), meta.mode(), meta.atime(), meta.mtime()), (size, mode, 1_000, 4_000_000_000));
    };
    assert_eq!(client.code(kind::SETSTAT, &[s(b"file"), attributes(all)].concat()), OK);
    is(4, 0o100_751);
    let handle = client.open(b"file", READ | WRITE);
    let more = Attributes { size: Some(1 << 20), permissions: Some(0o4711), ..all };
    assert_eq!(client.code(kind::FSETSTAT, &[s(&handle), attributes(more)].concat()), OK);
    is(1 << 20, 0o104_711);
    let Answer::Attributes(told) = client.ask(kind::FSTAT, &s(&handle)) else { panic!() };
    assert_eq!(told, client.attributes(kind::STAT, b"file"));
    assert_eq!((told.size, told.permissions, told.times), (Some(1 << 20), Some(0o104_711), Some((1_000, 4_000_000_000))));
    // What can be done of it is done.
    fs::create_dir(place.path("folder")).unwrap();
    let both = Attributes { size: Some(0), permissions: Some(0o700), ..Attributes::default() };
    assert_eq!(client.code(kind::SETSTAT, &[s(b"folder"), attributes(both)].concat()), FAILURE);
    assert_eq!(fs::metadata(place.path("folder")).unwrap().mode() & 0o777, 0o700);
    for (path, code) in [("nothing", NO_SUCH_FILE), ("/dev/null", BAD_MESSAGE)] {
        let size = Attributes { size: Some(0), ..Attributes::default() };
        assert_eq!(client.code(kind::SETSTAT, &[s(path.as_bytes()), attributes(size)].concat()), code);
    }
    // Whose it is: nobody's number means that it stays.
    let mine = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    for owner in [mine, (u32::MAX, mine.1), (mine.0, u32::MAX), (u32::MAX, u32::MAX)] {
        let owner = Attributes { owner: Some(owner), ..Attributes::default() };
        assert_eq!(client.code(kind::SETSTAT, &[s(b"file"), attributes(owner)].concat()), OK);
    }
    if is_root() {
        // The new owner takes the setuid bit away, so the bits come after it.
        let given = Attributes { owner: Some((1, 2)), permissions: Some(0o6755), ..Attributes::default() };
        assert_eq!(client.code(kind::SETSTAT, &[s(b"file"), attributes(given)].concat()), OK);
        let meta = fs::metadata(&file).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode()), (1, 2, 0o106_755));
    }
}

#[test]
fn folders_are_made_and_removed() {
    let place = Place::new("folders");
    let mut client = Client::new(place.root());
    let mode = attributes(Attributes { permissions: Some(0o40_711), ..Attributes::default() });
    assert_eq!(client.code(kind::MKDIR, &[s(b"d"), mode.clone()].concat()), OK);
    assert_eq!(fs::metadata(place.path("d")).unwrap().mode(), 0o40_711);
    assert_eq!(client.code(kind::MKDIR, &[s(b"d"), n(0)].concat()), FAILURE);
    assert_eq!(client.code(kind::MKDIR, &[s(b"x/y"), n(0)].concat()), NO_SUCH_FILE);
    place.write("d/file", "");
    assert_eq!(client.ask(kind::RMDIR, &s(b"d")), Answer::Status(FAILURE, "Directory not empty".into()));
    assert_eq!(client.code(kind::REMOVE, &s(b"d")), FAILURE);
    assert_eq!(client.code(kind::RMDIR, &s(b"d/file")), NO_SUCH_FILE);
    assert_eq!(client.code(kind::OPENDIR, &s(b"d/file")), NO_SUCH_FILE);
    assert_eq!(client.code(kind::OPENDIR, &s(b"nothing")), NO_SUCH_FILE);
    assert_eq!(client.code(kind::REMOVE, &s(b"d/file")), OK);
    assert_eq!(client.code(kind::REMOVE, &s(b"d/file")), NO_SUCH_FILE);
    assert_eq!(client.code(kind::RMDIR, &s(b"d")), OK);
    assert!(!place.path("d").exists());
}

#[test]
fn a_renaming_replaces_nothing() {
    let place = Place::new("rename");
    place.write("a", "a");
    place.write("b", "b");
    place.write("full/x", "x");
    fs::create_dir(place.path("empty")).unwrap();
    std::os::unix::fs::symlink("nowhere", place.path("dangling")).unwrap();
    let mut client = Client::new(place.root());
    let mut rename = |from: &str, to: &str| client.code(kind::RENAME, &[s(from.as_bytes()), s(to.as_bytes())].concat());
    for (from, to) in [("a", "b"), ("a", "a"), ("a", "empty"), ("full", "empty"), ("a", "dangling"), ("dangling", "a")] {
        assert_eq!(rename(from, to), FAILURE, "{from} {to}");
    }
    assert_eq!(rename("nothing", "c"), NO_SUCH_FILE);
    assert_eq!(rename("full", "full/below"), BAD_MESSAGE);
    assert_eq!(rename("a", "c"), OK);
    assert_eq!(rename("full", "moved"), OK);
    assert_eq!(rename("dangling", "link"), OK);
    let read = |name| fs::read(place.path(name)).unwrap();
    assert_eq!((read("b"), read("c"), read("moved/x")), (b"b".to_vec(), b"a".to_vec(), b"x".to_vec()));
    assert!(!place.path("a").exists() && !place.path("full").exists() && place.path("link").is_symlink());
}

#[test]
fn handles_that_are_none() {
    let place = Place::new("handles");
    place.write("one", "one");
    place.write("two", "two");
    let mut client = Client::new(place.root());
    let one = client.open(b"one", READ);
    assert_eq!(client.code(kind::CLOSE, &s(&one)), OK);
    let two = client.open(b"two", READ);
    assert_ne!(one, two, "what comes late for a closed file must not hit another");
    for handle in [&one[..], b"", b"x", &[0; 300], &[0xff; 8], &[0xff; 4]] {
        assert_eq!(client.code(kind::READ, &[s(handle), q(0), n(1)].concat()), FAILURE);
        assert_eq!(client.code(kind::WRITE, &[s(handle), q(0), s(b"x")].concat()), FAILURE);
        assert_eq!(client.code(kind::FSTAT, &s(handle)), FAILURE);
        assert_eq!(client.code(kind::FSETSTAT, &[s(handle), n(0)].concat()), FAILURE);
        assert_eq!(client.code(kind::READDIR, &s(handle)), FAILURE);
        assert_eq!(client.code(kind::CLOSE, &s(handle)), NO_SUCH_FILE);
    }
    assert_eq!(client.code(kind::READDIR, &s(&two)), FAILURE, "a file is no folder");
    assert_eq!(client.ask(kind::READ, &[s(&two), q(0), n(9)].concat()), Answer::Data(b"two".to_vec()));
}

/// Private memory of a process in KiB.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn greed_is_bounded() {
    let place = Place::new("greed");
    place.write("file", noise(1 << 20));
    let mut client = Client::new(place.root());
    let mut opened = 0;
    while let Answer::Handle(_) = client.ask(kind::OPEN, &[s(b"file"), n(READ), n(0)].concat()) {
        opened += 1;
        assert!(opened < 100_000, "there is an end to it");
    }
    assert!(opened >= 100, "{opened}");
    assert_eq!(client.code(kind::OPEN, &[s(b"must not be made"), n(WRITE | CREATE), n(0)].concat()), FAILURE);
    assert!(!place.path("must not be made").exists());
    assert_eq!(client.code(kind::OPENDIR, &s(b".")), FAILURE);
    // The longest of everything, many times.
    let handle = [0; 8];
    for _ in 0..50 {
        assert!(matches!(client.ask(kind::READ, &[s(&handle), q(0), n(u32::MAX)].concat()), Answer::Data(_)));
        assert_eq!(client.code(kind::STAT, &s(&vec![b'a'; MAX_PACKET - 9])), BAD_MESSAGE);
        assert_eq!(client.code(99, &vec![0; MAX_PACKET - 5]), UNSUPPORTED);
    }
    // Whoever asks for much and reads nothing waits.
    let ids: Vec<u32> = (0..500).map(|_| client.begin(kind::READ, &[s(&handle), q(0), n(u32::MAX)].concat())).collect();
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(memory(client.pid()) < 8 * 1024, "{} KiB", memory(client.pid()));
    for id in ids {
        assert!(matches!(client.answer(), (answered, Answer::Data(data)) if answered == id && data.len() == MAX_DATA));
    }
    let ids = n(rustix::process::geteuid().as_raw()).repeat(60_000);
    assert!(matches!(
        client.extended("users-groups-by-id@openssh.com", &[s(&ids), s(b"")].concat()),
        Answer::Status(..) | Answer::Extended(_)
    ));
    assert!(memory(client.pid()) < 8 * 1024, "{} KiB", memory(client.pid()));
}

#[test]
fn what_is_not_sftp_ends_it() {
    let place = Place::new("rubbish");
    let too_long = u32::try_from(MAX_PACKET + 1).unwrap();
    for (rubbish, said) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "1195725856 bytes"),
        (n(u32::MAX), "4294967295 bytes"),
        (n(too_long), "262145 bytes"),
        (n(0), "0 bytes"),
        (packet(kind::INIT, b""), "without a number"),
        (packet(kind::STAT, &[0, 0, 0]), "without a number"),
        (packet(kind::STAT, &[n(1), s(b".")].concat()), "before the greeting"),
        (packet(99, &n(1)), "before the greeting"),
    ] {
        let mut client = Client::silent(place.root(), &[]);
        client.raw(&rubbish);
        let (status, text) = client.leave();
        assert_eq!(status.code(), Some(1), "{rubbish:?}");
        assert!(text.starts_with("fly guest sftp: a ") && text.contains(said), "{text}");
    }
    let client = Client::silent(place.root(), &["--what"]);
    assert_eq!(client.leave().0.code(), Some(64));
}

#[test]
fn half_a_request_is_answered_and_the_next_is_done() {
    let place = Place::new("half");
    let mut client = Client::new(place.root());
    for kind in (3..=20).chain([200]) {
        assert_eq!(client.code(kind, b""), BAD_MESSAGE, "{kind}");
        assert_eq!(client.code(kind, &n(u32::MAX)), BAD_MESSAGE, "{kind}");
    }
    // Attributes that nobody has defined are left out, and a count of them that cannot be is not believed.
    let extended = |count: u32| [s(b"made"), n(0x8000_0000), n(count), s(b"key"), s(b"value")].concat();
    assert_eq!(client.code(kind::MKDIR, &extended(u32::MAX)), BAD_MESSAGE);
    assert!(!place.path("made").exists());
    assert_eq!(client.code(kind::MKDIR, &extended(1)), OK);
    for kind in [0, 2, 21, 101, 105, 201, 255] {
        assert_eq!(client.code(kind, b""), UNSUPPORTED, "{kind}");
    }
    assert_eq!(client.extended_code("new@example.org", b""), UNSUPPORTED);
    assert!(matches!(client.ask(kind::STAT, &[s(b"."), b"ignored".to_vec()].concat()), Answer::Attributes(_)));
    assert_eq!(client.leave().0.code(), Some(0));
}

#[test]
fn an_old_client_is_told_in_its_own_way() {
    let place = Place::new("old");
    let mut client = Client::silent(place.root(), &[]);
    assert_eq!(client.greet(2).0, 3);
    client.begin(kind::REMOVE, &s(b"nothing"));
    assert_eq!(client.packet().unwrap().len(), 9, "no text");
    assert_eq!(client.greet(6).0, 3, "and one from the future");
    assert_eq!(client.ask(kind::REMOVE, &s(b"nothing")), Answer::Status(NO_SUCH_FILE, "No such file or directory".into()));
}

#[test]
fn where_nothing_may_be_changed() {
    let place = Place::new("readonly");
    place.write("file", "x");
    fs::create_dir(place.path("folder")).unwrap();
    let before = super::place::tree(place.root(), true);
    let mut client = Client::silent(place.root(), &["-R"]);
    let extensions: Vec<String> = client.greet(3).1.into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        extensions,
        [
            "statvfs@openssh.com",
            "fstatvfs@openssh.com",
            "limits@openssh.com",
            "expand-path@openssh.com",
            "home-directory",
            "users-groups-by-id@openssh.com"
        ]
    );
    for flags in [WRITE, READ | WRITE, READ | CREATE, READ | TRUNCATE, WRITE | APPEND, CREATE] {
        assert_eq!(client.code(kind::OPEN, &[s(b"file"), n(flags), n(0)].concat()), PERMISSION_DENIED);
    }
    let handle = client.open(b"file", READ);
    let size = attributes(Attributes { size: Some(0), ..Attributes::default() });
    for (kind, body) in [
        (kind::WRITE, [s(&handle), q(0), s(b"y")].concat()),
        (kind::SETSTAT, [s(b"file"), size.clone()].concat()),
        (kind::FSETSTAT, [s(&handle), size.clone()].concat()),
        (kind::REMOVE, s(b"file")),
        (kind::MKDIR, [s(b"new"), n(0)].concat()),
        (kind::RMDIR, s(b"folder")),
        (kind::RENAME, [s(b"file"), s(b"new")].concat()),
        (kind::SYMLINK, [s(b"file"), s(b"new")].concat()),
    ] {
        assert_eq!(client.code(kind, &body), PERMISSION_DENIED, "{kind}");
    }
    for (name, body) in [
        ("posix-rename@openssh.com", [s(b"file"), s(b"new")].concat()),
        ("hardlink@openssh.com", [s(b"file"), s(b"new")].concat()),
        ("lsetstat@openssh.com", [s(b"file"), n(0)].concat()),
        ("fsync@openssh.com", s(&handle)),
        ("copy-data", [s(&handle), q(0), q(0), s(&handle), q(0)].concat()),
    ] {
        assert_eq!(client.extended_code(name, &body), PERMISSION_DENIED, "{name}");
    }
    assert_eq!(client.ask(kind::READ, &[s(&handle), q(0), n(9)].concat()), Answer::Data(b"x".to_vec()));
    assert_eq!(client.list(b".").len(), 4);
    assert!(super::place::tree(place.root(), true) == before);
}

/// The kernel decides what may be done, so the server has to be somebody who may not do everything.
#[test]
fn rights_are_the_users() {
    let place = Place::new("rights");
    place.write("closed/secret", "x");
    place.write("mine", "x");
    let readable = place.write("readable", "x");
    fs::set_permissions(&readable, Permissions::from_mode(0o444)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    if is_root() {
        // Nobody may not be able to reach where the program was built.
        fs::set_permissions(place.root(), Permissions::from_mode(0o755)).unwrap();
        // By another process: what this one has open for writing, a child of another test may have for a moment too.
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_fly")).arg(place.path("fly")).status().unwrap().success());
        command = Command::new(place.path("fly"));
        command.uid(65534).gid(65534);
    }
    fs::set_permissions(place.path("closed"), Permissions::from_mode(0o000)).unwrap();
    let mut client = Client::run(command.args(["guest", "sftp"]).current_dir(place.root()));
    client.greet(3);
    assert_eq!(client.code(kind::STAT, &s(b"closed/secret")), PERMISSION_DENIED);
    assert_eq!(client.code(kind::OPENDIR, &s(b"closed")), PERMISSION_DENIED);
    assert_eq!(client.code(kind::REALPATH, &s(b"closed/secret")), PERMISSION_DENIED);
    assert_eq!(client.code(kind::OPEN, &[s(b"readable"), n(WRITE), n(0)].concat()), PERMISSION_DENIED);
    let given = Attributes { owner: Some((0, 0)), ..Attributes::default() };
    assert_eq!(client.code(kind::SETSTAT, &[s(b"mine"), attributes(given)].concat()), PERMISSION_DENIED);
    fs::set_permissions(place.path("closed"), Permissions::from_mode(0o755)).unwrap();
}
