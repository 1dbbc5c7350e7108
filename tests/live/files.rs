//! Files of every size, number and name, through sftp and `fly cp`, to a machine and back, compared by their content.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::ssh_client::{Client, make_keys};
use crate::support::{Dice, Lab, Project, command};

const FILE: &str = "
name: vm
networks: {back: {subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}
machines:
  web:
    image: fly/busybox:test
    sshd: {authorized_keys: [./id.pub]}
    nics: {eth0: {network: back, ip: 10.20.0.5}}
";
const MANY: usize = 10_000;
const LARGE: u64 = 1 << 30;

fn make_tree(top: &Path) {
    fs::create_dir_all(top.join("odd")).unwrap();
    fs::write(top.join("zero"), "").unwrap();
    fs::write(top.join("one"), "1").unwrap();
    for name in [&b"line\nfeed"[..], b"\xff\xfe no text", b"-rf", b" blank ", b"q'u\"o`t$e\\s", "ü €".as_bytes(), b"*?[a]", &[b'n'; 255]]
    {
        fs::write(top.join("odd").join(OsStr::from_bytes(name)), name).unwrap();
    }
    for number in 0..MANY {
        let folder = top.join(format!("many/{:02}", number % 100));
        if number < 100 {
            fs::create_dir_all(&folder).unwrap();
        }
        fs::write(folder.join(number.to_string()), number.to_string().repeat(number % 97)).unwrap();
    }
}

/// Not compressible, and no part like another.
fn make_large(file: &Path) {
    let mut dice = Dice::new(7);
    let block: Vec<u8> = std::iter::repeat_with(|| dice.below(256)).map(|byte| u8::try_from(byte).unwrap()).take(1 << 20).collect();
    let mut file = File::create(file).unwrap();
    for number in 0..LARGE >> 20 {
        let mut block = block.clone();
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).unwrap();
    }
}

/// Every file's sum and name under a folder, and how many there are.
fn sums(lab: &Lab, folder: &str) -> (String, usize) {
    let script = "cd \"$1\" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum";
    let text = lab.machine().ok(&["sh", "-c", script, "sh", folder]);
    let count = text.lines().count();
    (text, count)
}

struct Trip<'a> {
    lab: &'a Lab,
    project: &'a Project<'a>,
    client: Client<'a>,
    inside: String,
}

impl Trip<'_> {
    fn at(&self, name: &str) -> String {
        self.project.dir().join(name).display().to_string()
    }

    fn sftp(&self, lines: &str) {
        self.project.write("batch", lines);
        let options = self.client.options();
        let mut argv = vec!["sftp"];
        argv.extend(options.iter().map(String::as_str));
        let (batch, host) = (self.at("batch"), self.client.host());
        argv.extend(["-q", "-b", &batch, &host]);
        self.lab.machine().running(command(&argv), std::time::Duration::from_secs(120)).wait().success();
    }

    fn forget(&self, name: &str) {
        self.lab.docker(&["exec", "vm.web", "rm", "-rf", &format!("/tmp/{name}")]);
        let _ = fs::remove_dir_all(self.at("back"));
    }

    fn inside(&self, name: &str) -> (String, usize) {
        sums(self.lab, &format!("{}/tmp/{name}", self.inside))
    }

    fn back(&self) -> (String, usize) {
        sums(self.lab, &self.at("back"))
    }

    /// There by one way and back by the other, so that no fault is its own remedy.
    fn by_sftp_and_back_by_cp(&self, name: &str) {
        let expected = sums(self.lab, &self.at(name));
        fs::create_dir_all(self.at("back")).unwrap();
        self.sftp(&format!("put -r {} /tmp/{name}\n", self.at(name)));
        assert_eq!(self.inside(name), expected);
        self.project.fly(&["cp", "--quiet", &format!("web:/tmp/{name}/."), &self.at("back")]).success();
        assert_eq!(self.back(), expected);
        self.forget(name);
    }

    fn by_cp_and_back_by_sftp(&self, name: &str) {
        let expected = sums(self.lab, &self.at(name));
        self.project.fly(&["cp", "--quiet", &self.at(name), "web:/tmp/"]).success();
        assert_eq!(self.inside(name), expected);
        self.sftp(&format!("get -r /tmp/{name} {}\n", self.at("back")));
        assert_eq!(self.back(), expected);
        self.forget(name);
    }
}

#[test]
fn every_file_arrives_as_it_is() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    make_keys(&project, &lab, &["id"]);
    project.fly(&["up", "--yes"]).success();
    let (pid, _) = lab.pid_and_start("vm.web");
    let client = Client::new(&lab, &project, "10.20.0.5");
    let trip = Trip { lab: &lab, project: &project, client, inside: format!("/proc/{pid}/root") };

    make_tree(&project.dir().join("tree"));
    assert_eq!(sums(&lab, &trip.at("tree")).1, MANY + 10);
    trip.by_sftp_and_back_by_cp("tree");
    trip.by_cp_and_back_by_sftp("tree");
    fs::create_dir(trip.at("large")).unwrap();
    make_large(Path::new(&trip.at("large/one")));
    // Once each: the time that this takes is that of a build without optimisation.
    trip.by_sftp_and_back_by_cp("large");
    links(&trip);
}

/// A link stays what it is and leads where it led: sftp makes it by its own words, `fly cp` takes it along.
fn links(trip: &Trip<'_>) {
    let folder = project_links(trip);
    trip.sftp(&"mkdir /tmp/l\nsymlink ../one /tmp/l/relative\nsymlink /no/such /tmp/l/dangling\nput -p {batch} /tmp/l/first\nln /tmp/l/first /tmp/l/second\n".replace("{batch}", &trip.at("batch")));
    let target = |path: &str| trip.lab.docker(&["exec", "vm.web", "readlink", path]);
    assert_eq!((target("/tmp/l/relative"), target("/tmp/l/dangling")), ("../one\n".to_owned(), "/no/such\n".to_owned()));
    assert_eq!(trip.lab.docker(&["exec", "vm.web", "stat", "-c", "%h", "/tmp/l/second"]), "2\n");
    trip.project.fly(&["cp", "--quiet", &folder, "web:/tmp/"]).success();
    assert_eq!((target("/tmp/links/relative"), target("/tmp/links/dangling")), ("../one\n".to_owned(), "/no/such\n".to_owned()));
    trip.project.fly(&["cp", "--quiet", "web:/tmp/links", &trip.at("back")]).success();
    let back = |name: &str| fs::read_link(trip.project.dir().join("back").join(name)).unwrap();
    assert_eq!((back("relative"), back("dangling")), ("../one".into(), "/no/such".into()));
}

fn project_links(trip: &Trip<'_>) -> String {
    let folder = trip.project.dir().join("links");
    fs::create_dir(&folder).unwrap();
    symlink("../one", folder.join("relative")).unwrap();
    symlink("/no/such", folder.join("dangling")).unwrap();
    folder.display().to_string()
}
