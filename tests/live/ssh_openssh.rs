//! `sshd: openssh`: the image's own server, with the keys and the host key that fly's own would have.

use std::time::Duration;

use crate::sample::{change, changes, edited};
use crate::ssh_client::{Client, make_keys};
use crate::support::{Lab, Project, eventually};

const FILE: &str = "
name: vm
networks: {back: {subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}
machines:
  deb:
    image: fly/debian:test
    sshd: {server: openssh, authorized_keys: [./id.pub], users: [root, app]}
    nics: {eth0: {network: back, ip: 10.20.0.5}}
";

fn project<'a>(lab: &'a Lab, text: &str) -> Project<'a> {
    let project = lab.project("vm", text);
    make_keys(&project, lab, &["id", "other"]);
    project
}

fn becomes(what: &str, client: &Client<'_>, code: i32) {
    eventually(what, Duration::from_secs(10), || {
        let login = client.ssh("true");
        if login.code == code { Ok(()) } else { Err(format!("{login}\n{}", client.lab.try_docker(&["logs", "vm.deb"]))) }
    });
}

#[test]
fn the_images_own_server_serves_with_the_machines_keys() {
    let lab = Lab::start();
    lab.debian_image();
    let project = project(&lab, FILE);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    let root = Client::new(&lab, &project, "10.20.0.5");
    let login = root.ssh("id -u; cat /proc/$PPID/comm; exit 3");
    login.expect_code(3);
    assert_eq!(login.stdout, "0\nsshd\n", "{login}");
    root.has_a_terminal();
    root.host_key_is_what_fly_says(&project, "deb");
    root.files_arrive("/root/", true);
    root.rsync_works("/root/");
    let app = Client { user: "app", ..Client::new(&lab, &project, "10.20.0.5") };
    assert_eq!(app.ssh("id -un; pwd").success().stdout, "app\n/home/app\n");
    app.files_arrive("/home/app/", true);
    Client { user: "locked", ..Client::new(&lab, &project, "10.20.0.5") }.ssh("true").expect_code(255);
    // What users could do to one another: nothing.
    let keys = app.ssh("cd /.fly/machine/authorized_keys && touch x; echo >> root; cat /.fly/machine/ssh_host_ed25519_key");
    assert!(keys.code != 0 && keys.stdout.is_empty() && keys.stderr.matches("Permission denied").count() == 3, "{keys}");
    // Through the engine, with the key that the server wants.
    let key = format!("IdentityFile={}", project.dir().join("id").display());
    let through = project.fly(&["ssh", "-o", &key, "deb", "id -un"]);
    assert_eq!(through.success().stdout, "root\n");
    changes_are_live(&lab, &project, &root);
}

fn changes_are_live(lab: &Lab, project: &Project<'_>, root: &Client<'_>) {
    let before = lab.pid_and_start("vm.deb");
    let mut text = FILE.to_owned();
    let mut edit = |from: &str, to: &str, fields: &[&str]| {
        text = edited(&text, from, to);
        project.write("fly.yml", &text);
        assert_eq!(changes(project), vec![change("machine/deb", "update", fields)]);
        project.fly(&["up", "--yes"]).success();
    };
    edit("./id.pub", "./other.pub", &["sshd.keys of app", "sshd.keys of root"]);
    let other = Client { key: "other", ..Client::new(lab, project, "10.20.0.5") };
    becomes("the other key", &other, 0);
    root.ssh("true").expect_code(255);
    edit("users: [root, app]", "users: [root], port: 2222", &["sshd.port", "sshd.keys of app"]);
    let moved = Client { port: 2222, ..Client { key: "other", ..Client::new(lab, project, "10.20.0.5") } };
    becomes("the other port", &moved, 0);
    other.ssh("true").expect_code(255);
    Client { user: "app", key: "other", port: 2222, ..Client::new(lab, project, "10.20.0.5") }.ssh("true").expect_code(255);
    // To fly's own server and back: the same host key, or the client would refuse.
    edit("server: openssh", "server: fly", &["sshd.server"]);
    becomes("fly's own server", &moved, 0);
    assert!(!moved.ssh("cat /proc/$PPID/comm").stdout.contains("sshd"));
    edit("server: fly", "server: openssh", &["sshd.server"]);
    becomes("the image's server again", &moved, 0);
    assert_eq!(moved.ssh("cat /proc/$PPID/comm").success().stdout, "sshd\n");
    // One that is killed comes again, also where its keeper is.
    // The brackets keep a pattern from finding itself.
    for pattern in ["[s]shd -D -e", "[g]uest openssh --home"] {
        let kill = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep -q -e \"$1\" && kill -9 ${p#/proc/} && echo one; done; true";
        assert_eq!(lab.docker(&["exec", "vm.deb", "bash", "-c", kill, "bash", pattern]), "one\n", "{pattern}");
        becomes("it comes again", &moved, 0);
    }
    assert_eq!(lab.pid_and_start("vm.deb"), before, "all of it was live");
    project.fly(&["down", "--yes", "--volumes"]).success();
}

#[test]
fn what_is_wrong_with_it_is_said() {
    let lab = Lab::start();
    lab.debian_image();
    let without = edited(FILE, "fly/debian:test", "fly/busybox:test").replace(", users: [root, app]", "");
    let project = project(&lab, &without);
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(8);
    assert!(up.stderr.contains("there is no sshd in this image: /usr/sbin/sshd"), "{up}");
    project.write("fly.yml", &edited(FILE, "users: [root, app]", "users: [root, locked, bob]"));
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(8);
    assert!(up.stderr.contains("there is no user `bob` in this machine's /etc/passwd"), "{up}");
    assert!(up.stderr.contains("the account of `locked` is locked"), "{up}");
    // The others are let in all the same.
    Client::new(&lab, &project, "10.20.0.5").ssh("true").success();
    let status = lab.docker(&["exec", "vm.deb", "cat", "/.fly/machine/sshd.json"]);
    assert!(status.contains("0.0.0.0:22"), "{status}");
}
