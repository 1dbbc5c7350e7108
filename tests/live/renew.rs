//! A new fly is no reason to make machines anew; who wants that says so.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::sample::changes_in;
use crate::support::{Lab, Project};

const FILE: &str = "
name: vm
machines:
  web: {image: 'fly/busybox:test', sshd: true}
  db: {image: 'fly/busybox:test', guest: false}
";

/// The same program under another name of its build: the bytes that the linker wrote into the note `GNU`, and nothing else, differ.
fn another_build(folder: &Path) -> PathBuf {
    const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let mut program = fs::read(env!("CARGO_BIN_EXE_fly")).unwrap();
    let at = program.windows(NOTE.len()).position(|bytes| bytes == NOTE).expect("the linker names its builds") + NOTE.len();
    for byte in &mut program[at..at + 20] {
        *byte = !*byte;
    }
    let file = folder.join("newer-fly");
    fs::write(&file, program).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

fn guest_of(ps: &str, machine: &str) -> serde_json::Value {
    let document: serde_json::Value = serde_json::from_str(ps).unwrap();
    document["machines"].as_array().unwrap().iter().find(|row| row["machine"] == machine).unwrap()["guest"].clone()
}

#[test]
fn a_new_fly_leaves_machines_alone_until_it_is_told_to_renew_them() {
    let lab = Lab::start();
    let project: Project<'_> = lab.project("vm", FILE);
    project.fly(&["up", "--yes"]).success();
    let newer = another_build(project.dir());
    let new = |args: &[&str]| project.command().program(&newer).args(args).run();
    let before = (lab.pid_and_start("vm.web"), lab.pid_and_start("vm.db"));

    assert_eq!(changes_in(&new(&["plan", "--format", "json"])), vec![]);
    new(&["plan", "--check"]).success();
    new(&["up", "--yes"]).success();
    assert_eq!((lab.pid_and_start("vm.web"), lab.pid_and_start("vm.db")), before);
    let old = new(&["ps"]);
    let lines: Vec<&str> = old.success().stdout.lines().filter(|line| line.contains("old guest")).collect();
    assert!(lines.len() == 1 && lines[0].starts_with("web ") && old.stderr.contains("fly up --renew-guests"), "{old}");
    let ps = |output: crate::support::Output| output.success().stdout.clone();
    let version = guest_of(&ps(new(&["ps", "--format", "json"])), "web");
    assert_eq!(version["current"], false);
    assert_eq!(
        guest_of(&ps(project.fly(&["ps", "--format", "json"])), "web"),
        serde_json::json!({"version": version["version"], "current": true})
    );
    assert_eq!(guest_of(&ps(project.fly(&["ps", "--format", "json"])), "db"), serde_json::Value::Null);
    // The old guest serves the new fly.
    let key = new(&["ssh", "--host-key", "web"]).success().stdout.clone();
    assert_eq!(new(&["ssh", "web", "echo here"]).success().stdout, "here\n");

    new(&["up", "--yes", "--renew-guests"]).success();
    assert_ne!(lab.pid_and_start("vm.web"), before.0);
    assert_eq!(lab.pid_and_start("vm.db"), before.1, "one without a guest is nobody's to renew");
    let renewed = guest_of(&ps(new(&["ps", "--format", "json"])), "web");
    assert!(renewed["current"] == true && renewed["version"] != version["version"], "{renewed}");
    assert!(!new(&["ps"]).stdout.contains("old guest"));
    // It is the same machine to whoever knew it; and of the old guest nothing is left on the engine.
    assert_eq!(new(&["ssh", "--host-key", "web"]).success().stdout, key);
    let volumes = lab.docker(&["volume", "ls", "--quiet"]);
    assert!(!volumes.contains(version["version"].as_str().unwrap()), "{volumes}");
    let again = new(&["up", "--yes", "--renew-guests"]);
    assert!(again.success().stdout.contains("nothing to do"), "{again}");
}
