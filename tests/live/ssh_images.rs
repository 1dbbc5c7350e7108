//! fly's own server in every kind of image, with the clients that people have.

use std::fs;
use std::time::Duration;

use crate::ssh_client::{Client, make_keys};
use crate::support::{Lab, Project, command, eventually};

const FILE: &str = "
name: vm
networks: {back: {subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}
defaults: {sshd: {authorized_keys: [./id.pub]}}
machines:
  deb:
    image: fly/debian:test
    sshd: {authorized_keys: [./id.pub], users: [root, app]}
    nics: {eth0: {network: back, ip: 10.20.0.5}}
  tiny:
    image: fly/static:test
    nics: {eth0: {network: back, ip: 10.20.0.6}}
  busy:
    image: fly/busybox:test
    sshd: {port: 2222, authorized_keys: [./id.pub], users: [root, user]}
    nics: {eth0: {network: back, ip: 10.20.0.7}}
";

fn running<'a>(lab: &'a Lab, text: &str) -> Project<'a> {
    let project = lab.project("vm", text);
    make_keys(&project, lab, &["id"]);
    project.fly(&["up", "--yes"]).success();
    project
}

#[test]
fn every_image_can_be_logged_into() {
    let lab = Lab::start();
    lab.debian_image();
    lab.static_image();
    let project = running(&lab, FILE);

    let deb = Client::new(&lab, &project, "10.20.0.5");
    assert_eq!(deb.ssh("id -u; echo $SHELL; exit 3").expect_code(3).stdout, "0\n/bin/bash\n");
    deb.has_a_terminal();
    deb.host_key_is_what_fly_says(&project, "deb");
    deb.files_arrive("/root/", true);
    deb.rsync_works("/root/");
    let app = Client { user: "app", ..Client::new(&lab, &project, "10.20.0.5") };
    assert_eq!(app.ssh("id -un; pwd").success().stdout, "app\n/home/app\n");
    app.files_arrive("/home/app/", true);
    app.rsync_works("/home/app/");

    // Not even a folder but those of fly and of the engine.
    let tiny = Client::new(&lab, &project, "10.20.0.6");
    assert_eq!(tiny.ssh("/program a 'b c' d").expect_code(3).stdout, "a\nb c\nd\n");
    let shell = tiny.run("ssh", &[&tiny.host()]);
    assert!(shell.expect_code(127).stderr.contains("this image has no shell to log in to"), "{shell}");
    tiny.host_key_is_what_fly_says(&project, "tiny");
    tiny.files_arrive("/", false);
    let old = tiny.run("scp", &["-O", "-q", &project.dir().join("sent").display().to_string(), &format!("{}:/x", tiny.host())]);
    assert!(old.code != 0 && old.stderr.contains("this image has no shell; give a program with its full path"), "{old}");

    let busy = Client { port: 2222, ..Client::new(&lab, &project, "10.20.0.7") };
    assert_eq!(busy.ssh("id -u; exit 3").expect_code(3).stdout, "0\n");
    busy.has_a_terminal();
    busy.host_key_is_what_fly_says(&project, "busy");
    busy.files_arrive("/root/", false);
    let user = Client { user: "user", port: 2222, ..Client::new(&lab, &project, "10.20.0.7") };
    assert_eq!(user.ssh("id -u; pwd").success().stdout, "1000\n/tmp\n");
    user.files_arrive("/tmp/", false);
    let wrong = Client { user: "app", port: 2222, ..Client::new(&lab, &project, "10.20.0.7") };
    wrong.ssh("true").expect_code(255);
}

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: true
  tasks:
    - copy: {src: letter, dest: /srv/letter, mode: '0640', owner: app}
    - command: cat /srv/letter
      register: letter
      changed_when: false
    - assert: {that: [letter.stdout == 'hello', ansible_distribution == 'Debian']}
";

/// With fly's server and with the image's, by the names that `fly ssh-config` makes.
#[test]
fn ansible_works_with_the_printed_configuration() {
    let lab = Lab::start();
    lab.debian_image();
    let text = FILE.split("  tiny:").next().unwrap().to_owned();
    let second =
        "  own:\n    image: fly/debian:test\n    sshd: {server: openssh, authorized_keys: [./id.pub]}\n    nics: {eth0: {network: back}}\n";
    let project = running(&lab, &(text + second));
    project.write("config", &project.fly(&["ssh-config"]).success().stdout);
    project.write("letter", "hello");
    project.write("play.yml", PLAYBOOK);
    let at = |name: &str| project.dir().join(name).display().to_string();
    let ansible = |program: &str, words: &[&str]| {
        let program = Lab::ansible().join(program).display().to_string();
        let argv: Vec<&str> = [program.as_str(), "-i", "deb.vm.fly,own.vm.fly,"].into_iter().chain(words.iter().copied()).collect();
        let mut command = command(&argv);
        command.current_dir(project.dir()).env("HOME", lab.dir().join("home")).env("ANSIBLE_PRIVATE_KEY_FILE", at("id"));
        command.env("ANSIBLE_SSH_ARGS", format!("-F {}", at("config"))).env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3");
        lab.machine().running(command, Duration::from_secs(120)).wait()
    };
    let ping = ansible("ansible", &["all", "-m", "ping"]);
    assert_eq!(ping.success().stdout.matches("\"ping\": \"pong\"").count(), 2, "{ping}");
    let play = ansible("ansible-playbook", &["play.yml"]);
    assert_eq!(play.success().stdout.matches("changed=1 ").count(), 2, "{play}");
    let again = ansible("ansible-playbook", &["play.yml"]);
    assert_eq!(again.success().stdout.matches("changed=0 ").count(), 2, "{again}");
    assert_eq!(lab.docker(&["exec", "vm.deb", "stat", "-c", "%U %a", "/srv/letter"]), "app 640\n");
}

/// Whatever runs ssh takes a machine's name, as root and as another user, with no key at all.
#[test]
fn files_go_by_name_with_rsync_scp_and_sftp() {
    let lab = Lab::start();
    lab.debian_image();
    let text = FILE.split("  tiny:").next().unwrap();
    let project = running(&lab, text);
    project.write("config", &project.fly(&["ssh-config"]).success().stdout);
    let at = |name: &str| project.dir().join(name).display().to_string();
    let run = |argv: &[&str]| lab.machine().run(argv).success().stdout.clone();
    fs::create_dir_all(project.dir().join("tree/sub")).unwrap();
    for (name, content) in [("empty", ""), ("one", "1"), ("sub/odd 'name' ü", "x")] {
        fs::write(project.dir().join("tree").join(name), content).unwrap();
    }
    let shell = format!("ssh -F {}", at("config"));
    for (host, home) in [("deb.vm.fly", "/root"), ("app@deb.vm.fly", "/home/app")] {
        let there = format!("{host}:copy/");
        run(&["rsync", "--archive", "-e", &shell, &format!("{}/", at("tree")), &there]);
        assert_eq!(lab.docker(&["exec", "vm.deb", "cat", &format!("{home}/copy/sub/odd 'name' ü")]), "x");
        // Again there is nothing to send, and what is gone here goes there.
        fs::remove_file(project.dir().join("tree/one")).unwrap();
        let said = run(&["rsync", "--archive", "--delete", "--itemize-changes", "-e", &shell, &format!("{}/", at("tree")), &there]);
        assert!(said.contains("*deleting   one") && !said.contains("<f"), "{said}");
        fs::write(project.dir().join("tree/one"), "1").unwrap();
        run(&["rsync", "--archive", "-e", &shell, &there, &at("back")]);
        run(&["scp", "-q", "-r", "-F", &at("config"), &at("tree"), &format!("{host}:by-scp")]);
        run(&["scp", "-q", "-r", "-F", &at("config"), &format!("{host}:by-scp"), &at("scp-back")]);
        run(&["diff", "-r", &at("tree"), &at("scp-back")]);
        project.write("batch", &format!("get -r by-scp {}\nrm by-scp/one\n", at("sftp-back")));
        run(&["sftp", "-q", "-b", &at("batch"), "-F", &at("config"), host]);
        run(&["diff", "-r", &at("tree"), &at("sftp-back")]);
        for folder in ["back", "scp-back", "sftp-back"] {
            fs::remove_dir_all(project.dir().join(folder)).unwrap();
        }
    }
}

/// The port is another's, who shares the network; the users are nobody's; the program is for another machine.
#[test]
fn what_keeps_one_from_logging_in_is_said() {
    let lab = Lab::start();
    lab.debian_image();
    let shared = "
name: vm
machines:
  first: {image: fly/busybox:test, command: [nc, -ll, -p, '2222', -e, cat]}
  second: {image: fly/busybox:test, network_mode: 'machine:first', sshd: {port: 2222}, depends_on: [first]}
  third: {image: fly/debian:test, network_mode: 'machine:first', sshd: {server: openssh, port: 2223}, depends_on: [first]}
";
    let project = lab.project("vm", shared);
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(8);
    assert!(up.stderr.contains("port 2222 is in use in this machine"), "{up}");
    assert!(!up.stderr.contains("port 2223 is in use"), "{up}");
    project.write("fly.yml", &shared.replace("port: 2222", "port: 2224").replace("port: 2223", "port: 2222"));
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(8);
    assert!(up.stderr.contains("port 2222 is in use in this machine"), "{up}");
    project.fly(&["down", "--yes", "--volumes"]).success();

    project.write("fly.yml", "name: vm\nmachines: {web: {image: 'fly/busybox:test', sshd: {users: [root, bob]}}}\n");
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(8);
    assert!(up.stderr.contains("there is no user `bob` in this machine's /etc/passwd"), "{up}");
    let log = lab.try_docker(&["logs", "vm.web"]);
    assert!(log.stderr.contains("there is no user `bob`"), "{log}");
    assert!(project.fly(&["plan"]).stdout.contains("there is no user `bob`"));
    // One who comes later is as good.
    lab.docker(&["exec", "vm.web", "sh", "-c", "echo bob:x:1001:1001::/tmp:/bin/sh >> /etc/passwd"]);
    eventually("the user is seen", Duration::from_secs(40), || {
        let status = lab.docker(&["exec", "vm.web", "cat", "/.fly/machine/sshd.json"]);
        if status.contains("\"error\":null") { Ok(()) } else { Err(status) }
    });
}

#[test]
fn a_program_for_another_machine_says_so() {
    let lab = Lab::start();
    let file = lab.dir().join("foreign");
    let mut program = fs::read("/bin/busybox").unwrap();
    // The number of the machine in an ELF file's head: aarch64's.
    program[18..20].copy_from_slice(&183_u16.to_le_bytes());
    fs::write(&file, program).unwrap();
    lab.machine().ok(&["chmod", "755", &file.display().to_string()]);
    let text = "name: vm\nmachines: {web: {image: 'fly/busybox:test', sshd: true, volumes: ['FILE:/foreign:ro'], command: [/foreign]}}\n";
    let project = lab.project("vm", &text.replace("FILE", &file.display().to_string()));
    // Whether `up` is still looking when the machine ends is not the matter here.
    drop(project.fly(&["up", "--yes"]));
    assert_eq!(lab.docker(&["wait", "vm.web"]), "126\n");
    let log = lab.try_docker(&["logs", "vm.web"]);
    assert!(log.stderr.contains("`/foreign` cannot be run: it is built for aarch64, and this machine is x86_64"), "{log}");
}
