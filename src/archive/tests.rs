//! What goes in comes out, and what would go elsewhere does not.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use tar::{Builder, EntryType, Header};

use super::{Note, Place, pack, rename, unpack};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new("/tmp").join(format!("fly-archive-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.join(Path::new(name.as_ref()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A tree with all that a name and a file can be.
fn tree(folder: &Folder) -> PathBuf {
    let top = folder.at("top");
    fs::create_dir_all(top.join("sub/empty")).unwrap();
    fs::write(top.join("zero"), "").unwrap();
    fs::write(top.join("one"), "1").unwrap();
    fs::write(top.join("sub/line\nfeed"), "odd").unwrap();
    fs::write(top.join(OsStr::from_bytes(b"sub/\xff\xfe not text")), "odder").unwrap();
    let long = top.join("d".repeat(200));
    fs::create_dir(&long).unwrap();
    fs::write(long.join("f".repeat(255)), vec![7; 1_000_000]).unwrap();
    symlink("../one", top.join("sub/link")).unwrap();
    symlink("/no//such/../place", top.join("broken")).unwrap();
    symlink("t".repeat(300), top.join("long link")).unwrap();
    fs::hard_link(top.join("one"), top.join("sub/same")).unwrap();
    fs::set_permissions(top.join("one"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(top.join("sub/empty"), fs::Permissions::from_mode(0o555)).unwrap();
    assert!(Command::new("mkfifo").arg(top.join("pipe")).status().unwrap().success());
    for (file, time) in [("zero", 1_000_000_000), ("sub", 1_100_000_000)] {
        let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(time));
        fs::File::open(top.join(file)).unwrap().set_times(times).unwrap();
    }
    top
}

/// Everything about a tree but its inodes, which only say what is the same.
fn listing(top: &Path) -> Vec<String> {
    fn walk(top: &Path, at: &Path, all: &mut Vec<String>) {
        let metadata = fs::symlink_metadata(at).unwrap();
        let kind = metadata.file_type();
        let content = if kind.is_symlink() {
            format!("{:?}", fs::read_link(at).unwrap())
        } else if kind.is_file() {
            format!(
                "{} {:x}",
                metadata.len(),
                fs::read(at).unwrap().iter().fold(0_u64, |sum, byte| sum * 31 % 1_000_007 + u64::from(*byte))
            )
        } else {
            format!("fifo {}", kind.is_fifo())
        };
        let names = if kind.is_file() { metadata.nlink() } else { 0 };
        let name = at.strip_prefix(top).unwrap();
        all.push(format!("{name:?} {:o} {} {names} {content}", metadata.mode(), metadata.mtime()));
        if kind.is_dir() {
            let mut children: Vec<PathBuf> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
            children.sort();
            for child in &children {
                walk(top, child, all);
            }
        }
    }
    let mut all = vec![];
    walk(top, top, &mut all);
    all
}

fn packed(top: &Path, name: Option<&str>) -> (Vec<u8>, Vec<Note>) {
    let (mut out, mut notes) = (vec![], vec![]);
    pack(top, name.map(str::as_bytes), &mut out, &mut |note| notes.push(note)).unwrap();
    (out, notes)
}

fn place(from: Option<&str>, to: Option<&str>) -> Place {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Place { from: from.map(bytes), to: to.map(bytes) }
}

fn unpacked(archive: impl Read, folder: &Path, place: &Place) -> Result<Vec<Note>, String> {
    let mut notes = vec![];
    unpack(archive, folder, place, false, &mut |note| notes.push(note)).map_err(|error| error.to_string())?;
    Ok(notes)
}

#[test]
fn what_goes_in_comes_out() {
    let folder = Folder::new("round");
    let top = tree(&folder);
    let (archive, notes) = packed(&top, Some("top"));
    assert!(notes.iter().all(|note| !matches!(note, Note::Failed { .. } | Note::Skipped { .. })), "{notes:?}");
    let bytes: u64 = notes.iter().map(|note| if let Note::Bytes(bytes) = note { *bytes } else { 0 }).sum();
    assert_eq!(bytes, 1_000_000 + 1 + 3 + 5);
    fs::create_dir(folder.at("out")).unwrap();
    unpacked(&*archive, &folder.at("out"), &place(Some("top"), None)).unwrap();
    assert_eq!(listing(&top), listing(&folder.at("out/top")));
    // Once more over it, and as another reader sees it.
    unpacked(&*archive, &folder.at("out"), &place(Some("top"), None)).unwrap();
    assert_eq!(listing(&top), listing(&folder.at("out/top")));
    fs::create_dir(folder.at("gnu")).unwrap();
    fs::write(folder.at("archive.tar"), &archive).unwrap();
    let tar = Command::new("tar").arg("-xpf").arg(folder.at("archive.tar")).arg("-C").arg(folder.at("gnu")).output().unwrap();
    assert!(tar.status.success(), "{tar:?}");
    assert_eq!(listing(&top), listing(&folder.at("gnu/top")));
    // What another writer says.
    for format in ["gnu", "pax", "ustar"] {
        let args = ["--format", format, "-cf", "-", "top"];
        let tar = Command::new("tar").args(args).current_dir(&folder.0).output().unwrap();
        let out = folder.at(format);
        fs::create_dir_all(&out).unwrap();
        unpacked(&*tar.stdout, &out, &place(Some("top"), Some("new"))).unwrap();
        if format != "ustar" {
            assert_eq!(listing(&top), listing(&out.join("new")), "{format}");
        }
    }
}

#[test]
fn only_what_is_in_it_and_under_another_name() {
    let folder = Folder::new("names");
    let top = tree(&folder);
    let (archive, _) = packed(&top, None);
    for (name, at) in [("contents", "contents"), ("renamed", "renamed/new")] {
        fs::create_dir(folder.at(name)).unwrap();
        let to = at.split_once('/').map(|(_, new)| new);
        unpacked(&*archive, &folder.at(name), &place(None, to)).unwrap();
        // The folder itself was there before, with a mode and time of its own.
        assert_eq!(listing(&top)[1..], listing(&folder.at(at))[1..], "{name}");
    }
    let (archive, _) = packed(&top, Some("top"));
    let mut renamed = vec![];
    rename(&*archive, &place(Some("top"), Some("other")), &mut renamed, &mut |_| ()).unwrap();
    fs::create_dir(folder.at("r")).unwrap();
    unpacked(&*renamed, &folder.at("r"), &place(Some("other"), None)).unwrap();
    assert_eq!(listing(&top), listing(&folder.at("r/other")));
}

#[test]
fn what_is_no_file_is_told() {
    let folder = Folder::new("socket");
    fs::create_dir(folder.at("top")).unwrap();
    let _socket = UnixListener::bind(folder.at("top/socket")).unwrap();
    fs::write(folder.at("top/file"), "x").unwrap();
    let (archive, notes) = packed(&folder.at("top"), Some("top"));
    assert!(notes.iter().any(|note| matches!(note, Note::Skipped { path, why: "a socket" } if path.ends_with("top/socket"))), "{notes:?}");
    assert_eq!(tar::Archive::new(&*archive).entries().unwrap().count(), 2);
    let (_, notes) = packed(&folder.at("gone"), Some("gone"));
    assert!(matches!(&notes[..], [Note::Failed { why, .. }] if why == "no such file or directory"), "{notes:?}");
}

/// An archive of entries that a decent program would not write.
fn evil(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(vec![]);
    for (kind, name, text) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let content = match kind {
            EntryType::Symlink | EntryType::Link => {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
                ""
            }
            _ => text,
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn nothing_is_written_outside_of_the_folder() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let folder = Folder::new("evil");
    fs::create_dir(folder.at("outside")).unwrap();
    fs::write(folder.at("outside/secret"), "secret").unwrap();
    fs::write(folder.at("beside"), "beside").unwrap();
    let outside = folder.at("outside").display().to_string();
    let absolute = format!("{outside}/new");
    let before = listing(&folder.at("outside"));
    let attempts: Vec<Vec<(EntryType, &str, &str)>> = vec![
        vec![(Regular, "../new", "x")],
        vec![(Regular, "top/../../new", "x")],
        vec![(Regular, &absolute, "x")],
        vec![(Regular, "elsewhere", "x")],
        vec![(Symlink, "top/link", &outside), (Regular, "top/link/new", "x")],
        vec![(Symlink, "top/link", "../../outside"), (Directory, "top/link/new", "")],
        vec![(Symlink, "top/link", "../../outside"), (Directory, "top/link", "")],
        vec![(Symlink, "top/link", "../../outside"), (Symlink, "top/link/new", "x")],
        vec![(Directory, "top", ""), (Symlink, "top/a", "../../outside"), (Link, "top/b", "top/a/secret")],
        vec![(Link, "top/b", "../beside")],
        vec![(Link, "top/b", "/etc/passwd")],
    ];
    for entries in attempts {
        let _ = fs::remove_dir_all(folder.at("in"));
        fs::create_dir(folder.at("in")).unwrap();
        let error = unpacked(&*evil(&entries), &folder.at("in"), &place(Some("top"), None)).expect_err(&format!("{entries:?}"));
        assert!(["refused", "written through it", "does not replace"].iter().any(|words| error.contains(words)), "{entries:?}: {error}");
        assert_eq!(listing(&folder.at("outside")), before, "{entries:?}");
        assert!(!folder.at("new").exists() && !folder.at("elsewhere").exists());
    }
    // A file over a link replaces the link, not what it points to.
    let _ = fs::remove_dir_all(folder.at("in"));
    fs::create_dir(folder.at("in")).unwrap();
    let over = [(Symlink, "top/link", "../../outside/secret"), (Regular, "top/link", "new")];
    unpacked(&*evil(&over), &folder.at("in"), &place(Some("top"), None)).unwrap();
    assert_eq!(fs::read_to_string(folder.at("in/top/link")).unwrap(), "new");
    assert_eq!(listing(&folder.at("outside")), before);
}

#[test]
fn files_and_directories_do_not_replace_each_other_and_no_right_comes_without_its_owner() {
    use EntryType::{Block, Directory, Regular};
    let folder = Folder::new("replace");
    fs::create_dir_all(folder.at("top/d")).unwrap();
    fs::write(folder.at("top/f"), "f").unwrap();
    let into = |entries: &[(EntryType, &str, &str)]| unpacked(&*evil(entries), &folder.0, &place(Some("top"), None));
    assert!(into(&[(Regular, "top/d", "x")]).unwrap_err().starts_with("top/d: there is a directory"));
    assert!(into(&[(Directory, "top/f", "")]).unwrap_err().starts_with("top/f: there is something else"));
    assert!(matches!(&into(&[(Block, "top/sda", "")]).unwrap()[..], [Note::Skipped { why: "a device", .. }]));
    assert_eq!(fs::read_dir(folder.at("top")).unwrap().count(), 2, "nothing is left of an attempt");
    let mut header = Header::new_ustar();
    header.set_path("top/su").unwrap();
    header.set_mode(0o6755);
    header.set_size(0);
    header.set_cksum();
    let mut builder = Builder::new(vec![]);
    builder.append(&header, io::empty()).unwrap();
    unpacked(&*builder.into_inner().unwrap(), &folder.0, &place(Some("top"), None)).unwrap();
    assert_eq!(fs::metadata(folder.at("top/su")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn what_is_broken_off_leaves_no_half_file() {
    let folder = Folder::new("half");
    fs::create_dir(folder.at("top")).unwrap();
    fs::write(folder.at("top/big"), vec![1; 1 << 20]).unwrap();
    let (archive, _) = packed(&folder.at("top/big"), Some("big"));
    fs::create_dir(folder.at("in")).unwrap();
    fs::write(folder.at("in/big"), "old").unwrap();
    for length in [10, 600, 5000, 1 << 19] {
        assert!(unpacked(&archive[..length], &folder.at("in"), &place(Some("big"), None)).is_err(), "{length}");
        let names: Vec<_> = fs::read_dir(folder.at("in")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["big"]);
        assert_eq!(fs::read_to_string(folder.at("in/big")).unwrap(), "old");
    }
}
