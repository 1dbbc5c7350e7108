//! With OpenSSH's own clients.

use std::ffi::OsStr;
use std::fs::{self, FileTimes, Permissions};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::place::{Place, alike, is_root, noise};

/// Of whole seconds, which is all that the protocol can say.
fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_times(FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
}

#[test]
fn every_command_of_sftp() {
    let place = Place::new("commands");
    place.write("here/file", noise(100_000));
    let said = place
        .sftp(
            "progress\nversion\npwd\nlpwd\nlls\nlumask 022\nlmkdir made-here\nmkdir there\nput here/file there/file\nls\nls -1 there\nls -la there\n\
             ls -ln there\nls -lh there\nls -ltr there\nls -S there\nls there/*\nchmod 640 there/file\nln there/file there/hard\nln -s file there/soft\n\
             rename there/hard there/renamed\ncd there\npwd\nget soft got\nmkdir folder\n-mkdir folder\nrmdir folder\nrm soft\n-rm soft\ndf\n\
             df -h\ndf -i .\ncp file copy\n!true\n?\nlcd made-here\nget file\nbye\n",
        )
        .good();
    let root = place.root().display().to_string();
    for line in ["SFTP protocol version 3", &format!("Remote working directory: {root}/there"), "%Capacity", "rw-r--r--"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    // The two mistakes that are in it, and no other.
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with("remote ")).collect();
    assert_eq!(complaints.len(), 2, "{said}");
    assert!(
        complaints[0].contains("there/folder\": Failure") && complaints[1].ends_with("there/soft: No such file or directory"),
        "{said}"
    );
    let file = noise(100_000);
    for copy in ["there/file", "there/renamed", "there/copy", "got", "made-here/file"] {
        assert!(fs::read(place.path(copy)).unwrap() == file, "{copy}");
    }
    let meta = fs::metadata(place.path("there/file")).unwrap();
    assert_eq!((meta.mode(), meta.nlink()), (0o100_640, 2));
    assert!(!place.path("there/hard").exists() && !place.path("there/soft").is_symlink() && !place.path("there/folder").exists());
}

#[test]
fn owners_are_changed_by_root() {
    let place = Place::new("owners");
    let file = place.write("file", "x");
    let said = place.sftp("chown 12345 file\nchgrp 54321 file\n");
    let meta = fs::metadata(&file).unwrap();
    if is_root() {
        said.good();
        assert_eq!((meta.uid(), meta.gid()), (12345, 54321));
    } else {
        assert!(!said.is_good && said.text.contains("Permission denied"), "{}", said.text);
        assert_eq!(meta.uid(), rustix::process::geteuid().as_raw());
    }
}

#[test]
fn files_of_every_size() {
    let place = Place::new("sizes");
    let sizes = [0, 1, 2, 32_767, 32_768, 32_769, 261_119, 261_120, 261_121, 262_144, 64 << 20];
    for (number, size) in sizes.into_iter().enumerate() {
        let file = place.write(&format!("here/{size}"), noise(size));
        fs::set_permissions(&file, Permissions::from_mode([0o600, 0o755, 0o440, 0o711][number % 4])).unwrap();
        set_time(&file, 1_000_000_000 + number as u64);
    }
    fs::create_dir(place.path("there")).unwrap();
    fs::create_dir(place.path("back")).unwrap();
    place.sftp("put -p here/* there/\nget -p there/* back/\n").good();
    alike(&place.path("here"), &place.path("there"), true);
    alike(&place.path("here"), &place.path("back"), true);
}

/// 2,000 files in 100 folders, and names and modes of all kinds.
fn grow(place: &Place) {
    for folder in 0..100 {
        for file in 0..20 {
            place.write(&format!("here/{}/{folder}/{file}.txt", folder % 10), noise(folder * 7 + file));
        }
    }
    for (number, name) in [
        "with space",
        "-leading",
        "--",
        "new\nline",
        "tab\there",
        "'single'",
        "\"double\"",
        "back\\slash",
        "*",
        "?",
        "[a]",
        "~",
        "$HOME",
        "ä€😀",
        ".hidden",
        &"n".repeat(255),
    ]
    .into_iter()
    .enumerate()
    {
        let file = place.write(&format!("here/odd/{name}"), name);
        fs::set_permissions(&file, Permissions::from_mode(0o600 + u32::try_from(number).unwrap())).unwrap();
        set_time(&file, 1_234_567_890 + number as u64);
    }
    fs::create_dir_all(place.path("here/empty/deep/er")).unwrap();
    set_time(&place.path("here/empty/deep"), 1_111_111_111);
    fs::write(place.path("here/odd").join(OsStr::from_bytes(b"latin-\xe4\xff")), "not UTF-8").unwrap();
}

#[test]
fn trees_there_and_back() {
    let place = Place::new("trees");
    grow(&place);
    place.sftp("put -rp here there\nget -rp there back\n").good();
    alike(&place.path("here"), &place.path("there"), true);
    alike(&place.path("here"), &place.path("back"), true);
}

#[test]
fn trees_by_scp() {
    let place = Place::new("scp");
    grow(&place);
    let root = place.root().display();
    place.scp(&["-rpq", "here", &format!("machine:{root}/there")]).good();
    place.scp(&["-rpq", &format!("machine:{root}/there"), "back"]).good();
    alike(&place.path("here"), &place.path("there"), true);
    alike(&place.path("here"), &place.path("back"), true);
    // A path that does not begin at the root begins where the session does, and so does one that begins with a tilde.
    place.scp(&["-q", "here/odd/with space", "machine:there/again"]).good();
    place.scp(&["-q", "machine:~/there/again", "once more"]).good();
    assert_eq!(fs::read(place.path("once more")).unwrap(), b"with space");
    let said = place.scp(&["-q", "machine:there/nothing", "x"]);
    assert!(!said.is_good && said.text.contains("No such file"), "{}", said.text);
}

#[test]
fn what_was_cut_off_goes_on() {
    let place = Place::new("resume");
    let whole = noise(3_000_000);
    place.write("whole", &whole);
    place.write("there", &whole[..1_234_567]);
    place.write("here", &whole[..7]);
    place.sftp("reput whole there\nreget whole here\n").good();
    assert!(fs::read(place.path("there")).unwrap() == whole);
    assert!(fs::read(place.path("here")).unwrap() == whole);
}

#[test]
fn links_stay_links() {
    let place = Place::new("links");
    place.write("tree/file", "x");
    symlink("/absolute/nowhere", place.path("tree/absolute")).unwrap();
    symlink("loop", place.path("tree/loop")).unwrap();
    symlink("dangling", place.path("tree/to-nothing")).unwrap();
    symlink("file", place.path("tree/good")).unwrap();
    let said = place
        .sftp("ls -la tree\nget tree/good\n-get tree/loop\n-get tree/to-nothing\nrm tree/loop\nrm tree/absolute\nrm tree/good\n")
        .good();
    assert_eq!(said.lines().filter(|line| line.starts_with("lrwxrwxrwx")).count(), 4, "{said}");
    assert_eq!(fs::read(place.path("good")).unwrap(), b"x");
    assert_eq!(fs::read(place.path("tree/file")).unwrap(), b"x", "what a link leads to stays when the link goes");
    assert!(!place.path("tree/loop").is_symlink() && !place.path("loop").exists());
}

#[test]
fn what_is_not_allowed_is_said_so() {
    let place = Place::new("denied");
    place.write("file", "x");
    let said = place.sftp("-put file nowhere/file\n-get nowhere\n-rmdir .\n-rm .server/x\n-put file /proc/x\n-cd file\nls file\n").good();
    assert!(said.contains("No such file"), "{said}");
    assert!(said.contains("Failure") || said.contains("Bad message"), "{said}");
}
