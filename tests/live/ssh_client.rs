//! The real clients, on the lab's machine, with one key and what they know of hosts in the project's folder.

use std::fs;
use std::path::PathBuf;

use crate::support::{Lab, Output, Project};

/// Where to log in, as whom, and by which key.
pub(crate) struct Client<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) folder: PathBuf,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) user: &'static str,
    pub(crate) key: &'static str,
}

/// Pairs of keys: `NAME` and `NAME.pub`.
pub(crate) fn make_keys(project: &Project<'_>, lab: &Lab, names: &[&str]) {
    for name in names {
        let file = project.dir().join(name).display().to_string();
        lab.machine().ok(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", &format!("{name}@test"), "-f", &file]);
    }
}

impl<'a> Client<'a> {
    pub(crate) fn new(lab: &'a Lab, project: &Project<'_>, address: &str) -> Self {
        Self { lab, folder: project.dir().to_owned(), address: address.to_owned(), port: 22, user: "root", key: "id" }
    }

    pub(crate) fn options(&self) -> Vec<String> {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let mut words: Vec<String> = ["-F", "none", "-i", &at(self.key)].map(str::to_owned).to_vec();
        for option in [
            "IdentitiesOnly=yes",
            "BatchMode=yes",
            "ConnectTimeout=5",
            &format!("UserKnownHostsFile={}", at("known_hosts")),
            "StrictHostKeyChecking=accept-new",
            "LogLevel=ERROR",
            &format!("Port={}", self.port),
        ] {
            words.extend(["-o".to_owned(), option.to_owned()]);
        }
        words
    }

    pub(crate) fn host(&self) -> String {
        format!("{}@{}", self.user, self.address)
    }

    /// `ssh`, `scp` or `sftp` with these words after the options.
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Output {
        let options = self.options();
        let argv: Vec<&str> = [program].into_iter().chain(options.iter().map(String::as_str)).chain(words.iter().copied()).collect();
        self.lab.machine().run(&argv)
    }

    pub(crate) fn ssh(&self, command: &str) -> Output {
        self.run("ssh", &[&self.host(), command])
    }

    /// The host key that the server itself shows, and the one that fly says it has.
    pub(crate) fn host_key_is_what_fly_says(&self, project: &Project<'_>, machine: &str) {
        let scanned = self.lab.machine().ok(&["ssh-keyscan", "-t", "ed25519", "-p", &self.port.to_string(), &self.address]);
        let said = project.fly(&["ssh", "--host-key", machine]);
        let key = |text: &str| {
            let line = text.lines().find(|line| !line.starts_with('#')).unwrap_or_default();
            line.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let (scanned, said) = (key(&scanned), key(&said.success().stdout));
        assert_eq!(scanned.len(), 2, "{scanned:?}");
        assert_eq!(scanned, said);
    }

    /// A file there and back by each way, compared byte for byte. `scp -O` needs a program in the image.
    pub(crate) fn files_arrive(&self, folder: &str, has_scp: bool) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let content: Vec<u8> = (0..300_001_u32).flat_map(u32::to_le_bytes).collect();
        fs::write(self.folder.join("sent"), &content).expect("a file in our own folder");
        let there = |name: &str| format!("{}:{folder}{name}", self.host());
        let returned = |way: &str| {
            assert!(fs::read(self.folder.join("back")).is_ok_and(|back| back == content), "{way}: another content");
            fs::remove_file(self.folder.join("back")).expect("a file in our own folder");
        };
        for mode in ["-s", "-O"].into_iter().filter(|mode| *mode == "-s" || has_scp) {
            self.run("scp", &[mode, "-q", &at("sent"), &there("by-scp")]).success();
            self.run("scp", &[mode, "-q", &there("by-scp"), &at("back")]).success();
            returned(mode);
        }
        let batch = [
            format!("put \"{}\" {folder}by-sftp", at("sent")),
            format!("rename {folder}by-sftp {folder}moved"),
            format!("get {folder}moved \"{}\"", at("back")),
            format!("rm {folder}moved"),
        ];
        fs::write(self.folder.join("batch"), batch.join("\n")).expect("a file in our own folder");
        let sftp = self.run("sftp", &["-q", "-b", &at("batch"), &self.host()]);
        sftp.success();
        returned("sftp");
    }

    pub(crate) fn rsync_works(&self, folder: &str) {
        let tree = self.folder.join("tree");
        fs::create_dir_all(tree.join("sub")).expect("a folder in our own folder");
        for (name, content) in [("empty", ""), ("one", "1"), ("sub/odd 'name' ü", "x")] {
            fs::write(tree.join(name), content).expect("a file in our own folder");
        }
        let quoted = self.options().iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let (shell, there) = (format!("ssh {quoted}"), format!("{}:{folder}tree", self.host()));
        let back = self.folder.join("rsynced");
        for (from, to) in [(format!("{}/", tree.display()), there.clone()), (format!("{there}/"), back.display().to_string())] {
            self.lab.machine().ok(&["rsync", "--archive", "-e", &shell, &from, &to]);
        }
        self.lab.machine().ok(&["diff", "-r", &tree.display().to_string(), &back.display().to_string()]);
    }

    pub(crate) fn has_a_terminal(&self) {
        let tty = self.run("ssh", &["-tt", &self.host(), "tty; exit 4"]);
        tty.expect_code(4);
        assert!(tty.stdout.starts_with("/dev/pts/"), "{tty}");
    }
}
