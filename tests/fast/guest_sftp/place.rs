//! A folder in which a test has all it does, and what it looks at it with.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// For `sftp` and `scp`, as well as for our own client: the folder is where the server begins.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("fly-sftp-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        // Where the temporary folder is a link, the server says where it leads.
        Self(path.canonicalize().unwrap())
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// scp takes the server's path and no words after it. The script is written by another process: what this one has open for
    /// writing, a child of another test may have for a moment too, and then it cannot be run.
    fn server(&self) -> PathBuf {
        let path = self.path(".server");
        let text = format!("#!/bin/sh\nexec '{}' guest sftp\n", env!("CARGO_BIN_EXE_fly"));
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"[ -e "$1" ] || { printf '%s' "$0" >"$1" && chmod 755 "$1"; }"#, &text]).arg(&path);
        assert!(shell.status().unwrap().success());
        path
    }

    fn client(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.0).arg("-D").arg(self.server()).env("LC_ALL", "C").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a batch; a command of it that fails ends it, unless it begins with `-`.
    pub(super) fn sftp(&self, batch: &str) -> Said {
        let mut child = spawn(self.client("sftp").args(["-b", "-"]));
        child.stdin.take().unwrap().write_all(batch.as_bytes()).unwrap();
        Said::new(child.wait_with_output().unwrap())
    }

    /// Over sftp, which needs the option `-s` in releases before 9.0.
    pub(super) fn scp(&self, args: &[&str]) -> Said {
        let mut command = self.client("scp");
        command.arg("-s").args(args);
        Said::new(spawn(&mut command).wait_with_output().unwrap())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn spawn(command: &mut Command) -> std::process::Child {
    command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; these tests need OpenSSH's client (openssh-client)"))
}

pub(super) struct Said {
    pub(super) is_good: bool,
    pub(super) text: String,
}

impl Said {
    fn new(output: Output) -> Self {
        let text = [output.stdout, output.stderr].concat();
        Self { is_good: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }

    #[track_caller]
    pub(super) fn good(self) -> String {
        assert!(self.is_good, "{}", self.text);
        self.text
    }
}

/// What is in a tree, by path: permissions, time of the last change where `times`, and contents or target.
pub(super) fn tree(root: &Path, times: bool) -> BTreeMap<OsString, (u32, i64, Vec<u8>)> {
    fn walk(root: &Path, at: &Path, times: bool, all: &mut BTreeMap<OsString, (u32, i64, Vec<u8>)>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let contents = if meta.is_symlink() {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else if meta.is_dir() {
                walk(root, &path, times, all);
                vec![]
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().as_os_str().to_owned();
            all.insert(name, (meta.mode(), if times { meta.mtime() } else { 0 }, contents));
        }
    }
    let mut all = BTreeMap::new();
    walk(root, root, times, &mut all);
    all
}

/// Two trees are the same, without printing files of megabytes where they are not.
#[track_caller]
pub(super) fn alike(one: &Path, other: &Path, times: bool) {
    let (one, other) = (tree(one, times), tree(other, times));
    let names = |tree: &BTreeMap<OsString, _>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, (mode, time, contents)) in one {
        let (other_mode, other_time, other_contents) = &other[&name];
        assert_eq!((mode, time, contents.len()), (*other_mode, *other_time, other_contents.len()), "{}", name.display());
        assert!(contents == *other_contents, "{} has other bytes", name.display());
    }
}

/// Bytes that no pattern makes right by chance.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
