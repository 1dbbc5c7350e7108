//! Names that no text can be made of, listings, links and paths.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::client::{Answer, CREATE, Client, EXCLUSIVE, NO_SUCH_FILE, OK, READ, WRITE, kind, n, q, s};
use super::place::Place;

/// Every byte that a name can have is in one of them.
fn odd() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
    let mut names = vec![all[..127].to_vec(), all[127..].to_vec(), vec![0xff; 255], b"\n".to_vec(), b"-rf *".to_vec(), b"\xc3".to_vec()];
    names.sort();
    names
}

#[test]
fn names_are_bytes() {
    let place = Place::new("bytes");
    let mut client = Client::new(place.root());
    for name in odd() {
        let handle = client.open(&name, READ | WRITE | CREATE | EXCLUSIVE);
        assert_eq!(client.code(kind::WRITE, &[s(&handle), q(0), s(&name)].concat()), OK);
        assert_eq!(client.code(kind::CLOSE, &s(&handle)), OK);
        assert_eq!(fs::read(place.root().join(OsStr::from_bytes(&name))).unwrap(), name);
        let whole = [place.root().as_os_str().as_bytes(), b"/", &name].concat();
        assert_eq!(client.name(kind::REALPATH, &s(&name)), whole);
        let link = [b"l", &name[..name.len().min(254)]].concat();
        assert_eq!(client.code(kind::SYMLINK, &[s(&name), s(&link)].concat()), OK);
        assert_eq!(client.name(kind::READLINK, &s(&link)), name);
        assert_eq!(client.name(kind::REALPATH, &s(&link)), whole);
        assert_eq!(client.code(kind::REMOVE, &s(&link)), OK);
    }
    let listed = client.list(b".");
    let names: Vec<&[u8]> = listed.iter().map(|(name, ..)| &name[..]).filter(|name| !matches!(*name, b"." | b"..")).collect();
    assert_eq!(names, odd());
    assert!(listed.iter().all(|(name, longname, _)| longname.ends_with(name)));
    let renamed: Vec<u8> = b"\x80\x81".to_vec();
    assert_eq!(client.code(kind::RENAME, &[s(&odd()[0]), s(&renamed)].concat()), OK);
    assert_eq!(client.attributes(kind::STAT, &renamed).size, Some(odd()[0].len() as u64));
}

/// `ls -l` of the system is what the lines are compared with, word by word.
#[test]
fn a_listing_is_what_ls_says() {
    let place = Place::new("listing");
    for (number, mode) in [0o644, 0o000, 0o4755, 0o4644, 0o2711, 0o2600, 0o777, 0o421].into_iter().enumerate() {
        let file = place.write(&format!("list/{number}"), vec![b'x'; number * 1000]);
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(place.path("list/sticky")).unwrap();
    fs::set_permissions(place.path("list/sticky"), Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(place.path("list/odd-sticky")).unwrap();
    fs::set_permissions(place.path("list/odd-sticky"), Permissions::from_mode(0o1700)).unwrap();
    symlink("nowhere", place.path("list/link")).unwrap();
    fs::hard_link(place.path("list/0"), place.path("list/hard")).unwrap();
    let _socket = UnixListener::bind(place.path("list/socket")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("list/fifo")).status().unwrap().success());
    for (name, date) in [("old", "2001-02-03 04:05"), ("future", "2100-01-02 03:04"), ("before", "1960-01-01 00:00")] {
        place.write(&format!("list/{name}"), "");
        assert!(Command::new("touch").args(["-d", date]).arg(place.path("list").join(name)).status().unwrap().success());
    }
    if super::place::is_root() {
        std::os::unix::fs::chown(place.path("list/7"), Some(1), Some(4_000_000)).unwrap();
    }
    for zone in ["UTC", "Europe/Berlin", "EST5EDT,M3.2.0,M11.1.0", "<+0330>-3:30"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
        command.args(["guest", "sftp", "-d"]).arg(place.root()).env("TZ", zone).env("LC_ALL", "C");
        let mut client = Client::run(&mut command);
        client.greet(3);
        for (name, longname, attributes) in client.list(b"list") {
            let name = String::from_utf8(name).unwrap();
            let ls = Command::new("ls")
                .args(["-ld", &name])
                .current_dir(place.path("list"))
                .env("TZ", zone)
                .env("LC_ALL", "C")
                .output()
                .unwrap();
            let ls = String::from_utf8(ls.stdout).unwrap();
            let mut wanted: Vec<&str> = ls.split_whitespace().filter(|word| !matches!(*word, "->" | "nowhere")).collect();
            wanted[0] = &wanted[0][..10];
            let longname = String::from_utf8(longname).unwrap();
            assert_eq!(longname.split_whitespace().collect::<Vec<_>>(), wanted, "{zone}");
            let meta = fs::symlink_metadata(place.path("list").join(&name)).unwrap();
            assert_eq!((attributes.size, attributes.permissions), (Some(meta.len()), Some(meta.mode())));
            assert_eq!(attributes.owner, Some((meta.uid(), meta.gid())));
            assert_eq!(attributes.times.unwrap().1, u32::try_from(meta.mtime().max(0)).unwrap_or(u32::MAX));
        }
    }
}

/// As OpenSSH aligns them: people's scripts cut columns out.
#[test]
fn the_columns_of_a_listing() {
    let place = Place::new("columns");
    let file = place.write("file", vec![0; 1234]);
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    assert!(Command::new("touch").args(["-d", "@1000000000"]).arg(&file).status().unwrap().success());
    if super::place::is_root() {
        std::os::unix::fs::chown(&file, Some(0), Some(0)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_fly"));
    let mut client = Client::run(command.args(["guest", "sftp"]).current_dir(place.root()).env("TZ", "UTC"));
    client.greet(3);
    let listed = client.list(b".");
    let line = String::from_utf8(listed.into_iter().find(|(name, ..)| name == b"file").unwrap().1).unwrap();
    assert!(line.starts_with("-rw-r-----    1 ") && line.ends_with("     1234 Sep  9  2001 file"), "{line}");
    if super::place::is_root() {
        assert_eq!(line, "-rw-r-----    1 root     root         1234 Sep  9  2001 file");
    }
}

#[test]
fn a_folder_of_thousands_is_listed_completely() {
    let place = Place::new("thousands");
    for number in 0..2000 {
        place.write(&format!("many/{number:0>250}"), "");
        place.write(&format!("short/{number}"), "");
    }
    let mut client = Client::new(place.root());
    for folder in ["many", "short"] {
        let listed = client.list(folder.as_bytes());
        let mut wanted: Vec<Vec<u8>> =
            fs::read_dir(place.path(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_vec()).collect();
        wanted.extend([b".".to_vec(), b"..".to_vec()]);
        wanted.sort();
        assert_eq!(listed.into_iter().map(|(name, ..)| name).collect::<Vec<_>>(), wanted);
    }
    // What is taken away while it is listed is not missed, and does not end the listing.
    let handle = client.handle(kind::OPENDIR, &s(b"short"));
    assert!(matches!(client.ask(kind::READDIR, &s(&handle)), Answer::Names(_)));
    fs::remove_dir_all(place.path("short")).unwrap();
    while let Answer::Names(_) = client.ask(kind::READDIR, &s(&handle)) {}
    assert_eq!(client.code(kind::CLOSE, &s(&handle)), OK);
}

#[test]
fn where_a_path_leads() {
    let place = Place::new("realpath");
    place.write("a/b/file", "");
    symlink("a/b", place.path("relative")).unwrap();
    symlink(place.path("a"), place.path("absolute")).unwrap();
    symlink("loop", place.path("loop")).unwrap();
    symlink("gone", place.path("dangling")).unwrap();
    symlink("../relative/", place.path("a/up")).unwrap();
    let mut client = Client::new(place.root());
    let root = place.root().to_str().unwrap().to_owned();
    for (path, wanted) in [
        ("", root.clone()),
        (".", root.clone()),
        ("/", "/".into()),
        ("//", "/".into()),
        ("/..", "/".into()),
        ("/../../proc/..", "/".into()),
        ("a/./b//file", format!("{root}/a/b/file")),
        ("a/b/..", format!("{root}/a")),
        ("a/b/../", format!("{root}/a")),
        ("a/../nothing", format!("{root}/nothing")),
        ("nothing", format!("{root}/nothing")),
        ("relative/file", format!("{root}/a/b/file")),
        ("relative/..", format!("{root}/a")),
        ("relative/new", format!("{root}/a/b/new")),
        ("absolute/up/file", format!("{root}/a/b/file")),
        ("dangling", format!("{root}/gone")),
    ] {
        assert_eq!(String::from_utf8(client.name(kind::REALPATH, &s(path.as_bytes()))).unwrap(), wanted, "{path}");
    }
    for path in ["nothing/below", "nothing/", "loop", "a/b/file/below", "dangling/below"] {
        assert_eq!(client.code(kind::REALPATH, &s(path.as_bytes())), NO_SUCH_FILE, "{path}");
    }
    for path in [vec![b'a'; 5000], b"a/".repeat(100_000), [b"a/".repeat(2000), vec![b'a'; 300]].concat()] {
        assert!(matches!(client.ask(kind::REALPATH, &s(&path)), Answer::Status(..)));
    }
}

#[test]
fn links_are_looked_at_and_followed() {
    let place = Place::new("follow");
    place.write("file", "four");
    let mut client = Client::new(place.root());
    for (target, link) in [("file", "good"), ("nowhere", "dangling"), ("loop", "loop"), ("/etc/passwd", "absolute")] {
        assert_eq!(client.code(kind::SYMLINK, &[s(target.as_bytes()), s(link.as_bytes())].concat()), OK);
        assert_eq!(fs::read_link(place.path(link)).unwrap().to_str(), Some(target), "OpenSSH's order: target, then link");
        assert_eq!(client.name(kind::READLINK, &s(link.as_bytes())), target.as_bytes());
        let attributes = client.attributes(kind::LSTAT, link.as_bytes());
        assert_eq!((attributes.permissions, attributes.size), (Some(0o120_777), Some(target.len() as u64)));
    }
    assert_eq!(client.attributes(kind::STAT, b"good").size, Some(4));
    assert_eq!(client.code(kind::STAT, &s(b"dangling")), NO_SUCH_FILE);
    assert_eq!(client.code(kind::STAT, &s(b"loop")), NO_SUCH_FILE);
    assert_eq!(client.code(kind::OPEN, &[s(b"loop"), n(READ), n(0)].concat()), NO_SUCH_FILE);
    assert_eq!(client.code(kind::READLINK, &s(b"nothing")), NO_SUCH_FILE);
}
