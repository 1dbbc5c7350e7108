//! Each extension answers as OpenSSH's documentation of the protocol says.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use fly::guest::sftp::codec::{Attributes, MAX_DATA, MAX_PACKET, Reader};

use rustix::fs::StatVfsMountFlags;

use super::client::{
    APPEND, Answer, BAD_MESSAGE, CREATE, Client, EOF, FAILURE, NO_SUCH_FILE, OK, READ, TRUNCATE, WRITE, attributes, kind, n, q, s,
};
use super::place::{Place, noise};

fn numbers(answer: Answer) -> Vec<u64> {
    let Answer::Extended(body) = answer else { panic!("{answer:?}") };
    body.chunks(8).map(|eight| u64::from_be_bytes(eight.try_into().unwrap())).collect()
}

#[test]
fn all_are_announced() {
    let place = Place::new("announced");
    let (version, extensions) = Client::silent(place.root(), &[]).greet(3);
    let extensions: Vec<String> = extensions.into_iter().map(|(name, version)| format!("{name} {version}")).collect();
    assert_eq!(version, 3);
    assert_eq!(
        extensions,
        [
            "posix-rename@openssh.com 1",
            "statvfs@openssh.com 2",
            "fstatvfs@openssh.com 2",
            "hardlink@openssh.com 1",
            "fsync@openssh.com 1",
            "lsetstat@openssh.com 1",
            "limits@openssh.com 1",
            "expand-path@openssh.com 1",
            "copy-data 1",
            "home-directory 1",
            "users-groups-by-id@openssh.com 1",
        ]
    );
}

#[test]
fn posix_rename_and_hardlink() {
    let place = Place::new("posix");
    place.write("a", "a");
    place.write("b", "b");
    let mut client = Client::new(place.root());
    assert_eq!(client.extended_code("hardlink@openssh.com", &[s(b"a"), s(b"b")].concat()), FAILURE);
    assert_eq!(client.extended_code("hardlink@openssh.com", &[s(b"a"), s(b"c")].concat()), OK);
    assert_eq!(fs::metadata(place.path("a")).unwrap().ino(), fs::metadata(place.path("c")).unwrap().ino());
    assert_eq!(client.extended_code("posix-rename@openssh.com", &[s(b"nothing"), s(b"b")].concat()), NO_SUCH_FILE);
    assert_eq!(client.extended_code("posix-rename@openssh.com", &[s(b"a"), s(b"b")].concat()), OK);
    assert_eq!(fs::read(place.path("b")).unwrap(), b"a");
    assert!(!place.path("a").exists());
}

#[test]
fn volumes() {
    let place = Place::new("volumes");
    place.write("file", "");
    let mut client = Client::new(place.root());
    let by_path = numbers(client.extended("statvfs@openssh.com", &s(b".")));
    let handle = client.open(b"file", READ);
    let by_handle = numbers(client.extended("fstatvfs@openssh.com", &s(&handle)));
    let wanted = rustix::fs::statvfs(place.root()).unwrap();
    for told in [by_path, by_handle] {
        assert_eq!(told.len(), 11);
        assert_eq!([told[0], told[1], told[2], told[5]], [wanted.f_bsize, wanted.f_frsize, wanted.f_blocks, wanted.f_files]);
        assert_eq!((told[8], told[9] & !3, told[10]), (wanted.f_fsid, 0, wanted.f_namemax));
    }
    for path in ["/", "/proc", "/sys", "/dev"] {
        let told = numbers(client.extended("statvfs@openssh.com", &s(path.as_bytes())));
        let flags = rustix::fs::statvfs(path).unwrap().f_flag;
        let bit = |flag, bit| if flags.contains(flag) { bit } else { 0 };
        assert_eq!(told[9], bit(StatVfsMountFlags::RDONLY, 1) | bit(StatVfsMountFlags::NOSUID, 2), "{path}");
    }
    assert_eq!(client.extended_code("statvfs@openssh.com", &s(b"nothing")), NO_SUCH_FILE);
    assert_eq!(client.extended_code("fstatvfs@openssh.com", &s(b"none")), FAILURE);
}

#[test]
fn fsync() {
    let place = Place::new("fsync");
    let mut client = Client::new(place.root());
    let handle = client.open(b"file", WRITE | CREATE);
    assert_eq!(client.extended_code("fsync@openssh.com", &s(&handle)), OK);
    assert_eq!(client.extended_code("fsync@openssh.com", &s(b"none")), NO_SUCH_FILE);
}

#[test]
fn attributes_of_links() {
    let place = Place::new("lsetstat");
    place.write("file", "x");
    symlink("file", place.path("link")).unwrap();
    let before = fs::metadata(place.path("file")).unwrap();
    let mut client = Client::new(place.root());
    let mut set = |path: &str, wanted| client.extended_code("lsetstat@openssh.com", &[s(path.as_bytes()), attributes(wanted)].concat());
    let mine = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let wanted = Attributes { owner: Some(mine), times: Some((1_000, 2_000)), ..Attributes::default() };
    assert_eq!(set("link", wanted), OK);
    let link = fs::symlink_metadata(place.path("link")).unwrap();
    assert_eq!((link.atime(), link.mtime()), (1_000, 2_000));
    assert_eq!(fs::metadata(place.path("file")).unwrap().mtime(), before.mtime());
    let mode = Attributes { permissions: Some(0o600), ..Attributes::default() };
    assert_eq!(set("link", mode), FAILURE, "links have no permissions");
    assert_eq!(fs::metadata(place.path("file")).unwrap().mode(), before.mode());
    assert_eq!(set("file", mode), OK);
    assert_eq!(fs::metadata(place.path("file")).unwrap().mode(), 0o100_600);
    assert_eq!(set("file", Attributes { size: Some(0), ..Attributes::default() }), BAD_MESSAGE);
    assert_eq!(set("nothing", wanted), NO_SUCH_FILE);
}

#[test]
fn limits() {
    let place = Place::new("limits");
    let told = numbers(Client::new(place.root()).extended("limits@openssh.com", b""));
    assert_eq!(told[..3], [MAX_PACKET as u64, MAX_DATA as u64, MAX_DATA as u64]);
    assert!((100..=4096).contains(&told[3]), "{told:?}");
}

#[test]
fn paths_with_tildes() {
    let place = Place::new("tilde");
    place.write("a/file", "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    let mut client = Client::run(command.args(["guest", "sftp"]).current_dir(place.root()).env("HOME", "/some/where"));
    client.greet(3);
    let root = place.root().to_str().unwrap();
    let mut expand = |path: &str| client.ask(kind::EXTENDED, &[s(b"expand-path@openssh.com"), s(path.as_bytes())].concat());
    for (path, wanted) in [
        ("", root.to_owned()),
        ("~", root.to_owned()),
        ("~/", root.to_owned()),
        ("~/a/../a/file", format!("{root}/a/file")),
        ("~/new", format!("{root}/new")),
        ("a", format!("{root}/a")),
        ("/a/..", "/".to_owned()),
    ] {
        match expand(path) {
            Answer::Names(names) => assert_eq!(names[0].0, wanted.into_bytes(), "{path}"),
            other if path == "/a/.." => assert!(matches!(other, Answer::Status(NO_SUCH_FILE, _))),
            other => panic!("{path}: {other:?}"),
        }
    }
    let root_home = fs::canonicalize(home_of("root")).unwrap();
    assert!(matches!(expand("~root"), Answer::Names(names) if names[0].0 == root_home.to_str().unwrap().as_bytes()));
    assert!(matches!(expand("~root/x"), Answer::Names(names) if names[0].0.ends_with(b"/x")) || !super::place::is_root());
    assert_eq!(expand("~no-such-user/x"), Answer::Status(NO_SUCH_FILE, "No such user".into()));
    assert_eq!(client.name(kind::EXTENDED, &[s(b"home-directory"), s(b"")].concat()), b"/some/where");
    assert_eq!(client.name(kind::EXTENDED, &[s(b"home-directory"), s(b"root")].concat()), home_of("root").as_bytes());
    assert_eq!(client.extended_code("home-directory", &s(b"no-such-user")), FAILURE);
}

fn home_of(user: &str) -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with(&format!("{user}:"))).unwrap();
    line.split(':').nth(5).unwrap().to_owned()
}

#[test]
fn users_and_groups() {
    let place = Place::new("ids");
    let mut client = Client::new(place.root());
    let mut ask = |users: &[u32], groups: &[u32]| {
        let ids = |ids: &[u32]| s(&ids.iter().flat_map(|id| n(*id)).collect::<Vec<_>>());
        let Answer::Extended(body) = client.extended("users-groups-by-id@openssh.com", &[ids(users), ids(groups)].concat()) else {
            panic!()
        };
        let mut reader = Reader::new(&body);
        let lists = [reader.string().unwrap(), reader.string().unwrap()];
        assert!(reader.is_empty());
        lists.map(|list| {
            let mut reader = Reader::new(list);
            let mut names = vec![];
            while !reader.is_empty() {
                names.push(String::from_utf8(reader.string().unwrap().to_vec()).unwrap());
            }
            names
        })
    };
    assert_eq!(ask(&[0, 4_000_000, 0], &[4_000_000, 0]), [vec!["root", "", "root"], vec!["", "root"]]);
    assert_eq!(ask(&[], &[]), [const { Vec::<String>::new() }; 2]);
    assert_eq!(client.extended_code("users-groups-by-id@openssh.com", &[s(b"odd"), s(b"")].concat()), BAD_MESSAGE);
}

#[test]
fn copying_within_the_server() {
    let place = Place::new("copy");
    let bytes = noise(1_000_000);
    place.write("from", &bytes);
    let mut client = Client::new(place.root());
    let from = client.open(b"from", READ);
    let copy = |client: &mut Client, from: &[u8], at: u64, length: u64, flags: u32, to_at: u64| {
        let to = client.open(b"to", flags);
        let code = client.extended_code("copy-data", &[s(from), q(at), q(length), s(&to), q(to_at)].concat());
        assert_eq!(client.code(kind::CLOSE, &s(&to)), OK);
        (code, fs::read(place.path("to")).unwrap())
    };
    let new = READ | WRITE | CREATE | TRUNCATE;
    let is = |(code, found): (u32, Vec<u8>), wanted: u32, contents: &[u8]| {
        assert_eq!((code, found.len()), (wanted, contents.len()));
        assert!(found == contents);
    };
    is(copy(&mut client, &from, 0, 0, new, 0), OK, &bytes);
    is(copy(&mut client, &from, 999_990, 0, new, 0), OK, &bytes[999_990..]);
    is(copy(&mut client, &from, 10, 500_000, new, 0), OK, &bytes[10..500_010]);
    is(copy(&mut client, &from, 0, 3, new, 2), OK, &[b"\0\0", &bytes[..3]].concat());
    is(copy(&mut client, &from, 5, 2, WRITE, 1), OK, &[b"\0", &bytes[5..7], &bytes[1..3]].concat());
    is(copy(&mut client, &from, 999_999, 10, new, 0), EOF, &bytes[999_999..]);
    is(copy(&mut client, &from, 2_000_000, 0, new, 0), OK, b"");
    is(copy(&mut client, &from, 0, 4, new, 0), OK, &bytes[..4]);
    is(copy(&mut client, &from, 4, 4, WRITE | APPEND, 0), OK, &bytes[..8]);
    is(copy(&mut client, &from, 8, 2, WRITE | APPEND, u64::MAX), OK, &bytes[..10]);
    // One that is made while it is read: the kernel's own way of copying finds it empty.
    let status = client.open(b"/proc/self/status", READ);
    let (code, contents) = copy(&mut client, &status, 0, 0, new, 0);
    assert!(code == OK && contents.starts_with(b"Name:\tfly"));
    // Between file systems.
    let version = client.open(b"/proc/version", READ);
    is(copy(&mut client, &version, 0, 0, new, 0), OK, &fs::read("/proc/version").unwrap());
    // Not to itself, not by another name either, and not from nowhere.
    assert_eq!(client.extended_code("copy-data", &[s(&from), q(0), q(0), s(&from), q(0)].concat()), FAILURE);
    fs::hard_link(place.path("from"), place.path("other")).unwrap();
    let other = client.open(b"other", WRITE);
    assert_eq!(client.extended_code("copy-data", &[s(&from), q(0), q(0), s(&other), q(0)].concat()), FAILURE);
    assert_eq!(client.extended_code("copy-data", &[s(b"none"), q(0), q(0), s(&other), q(0)].concat()), NO_SUCH_FILE);
    assert!(fs::read(place.path("from")).unwrap() == bytes);
}
