//! Machines that lack rights: logging in works as far as they go, and what does not is said.

use crate::ssh_client::{Client, make_keys};
use crate::support::Lab;

const FILE: &str = "
name: vm
networks: {back: {subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}
defaults: {image: 'fly/busybox:test', sshd: {authorized_keys: [./id.pub], users: [root, user]}}
machines:
  none: {cap_drop: [ALL], nics: {eth0: {network: back, ip: 10.20.0.5}}}
  few: {cap_drop: [ALL], cap_add: [SETUID, SETGID], nics: {eth0: {network: back, ip: 10.20.0.6}}}
";

#[test]
fn without_capabilities_root_gets_in_and_others_are_told_why_not() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    make_keys(&project, &lab, &["id"]);
    project.fly(&["up", "--yes"]).success();
    let client = |user, address| Client { user, ..Client::new(&lab, &project, address) };
    for (user, address, id) in [("root", "10.20.0.5", "0"), ("root", "10.20.0.6", "0"), ("user", "10.20.0.6", "1000")] {
        let client = client(user, address);
        assert_eq!(client.ssh("id -u").success().stdout, format!("{id}\n"), "{user} at {address}");
        let terminal = client.run("ssh", &["-tt", &client.host(), "id -u; stty size"]);
        assert!(terminal.success().stdout.starts_with(&format!("{id}\r\n")), "{user} at {address}: {terminal}");
    }
    let refused = client("user", "10.20.0.5").ssh("id -u");
    assert!(refused.expect_code(255).stderr.contains("cannot become user: groups: Operation not permitted"), "{refused}");
    assert!(refused.stderr.contains("does `cap_drop` take SETUID and SETGID from this machine?"), "{refused}");
    assert_eq!(project.fly(&["ssh", "none", "id", "-u"]).success().stdout, "0\n");
}

/// A program that is not root's, where the guest beside it may not become root.
#[test]
fn a_guest_that_may_not_become_root_says_so() {
    let lab = Lab::start();
    let text = |more: &str| format!("name: vm\nmachines: {{web: {{image: 'fly/busybox:test', sshd: true, user: '1000', {more}}}}}\n");
    let project = lab.project("vm", &text("cap_drop: [ALL]"));
    let up = project.fly(&["up", "--yes"]);
    assert!(up.expect_code(8).stderr.contains("`cap_drop` takes SETUID or SETGID from this machine whose `user` is not root"), "{up}");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let log = lab.try_docker(&["logs", "vm.web"]);
    assert_eq!(log.stderr.matches("the ssh server cannot be started").count(), 1, "said once: {log}");
    project.write("fly.yml", &text("security_opt: [no-new-privileges]"));
    project.fly(&["up", "--yes"]).expect_code(8);
    let log = lab.try_docker(&["logs", "vm.web"]);
    assert!(log.stderr.contains("fly may not become root in it (`no-new-privileges`?)"), "{log}");
    assert!(!log.stderr.contains("cannot write"), "{log}");
}

#[test]
fn a_program_without_its_interpreter_says_so() {
    let lab = Lab::start();
    let text = "name: vm\nmachines: {web: {image: 'fly/busybox:test', sshd: true, volumes: ['./script:/script:ro'], command: [/script]}}\n";
    let project = lab.project("vm", text);
    project.write("script", "#!/bin/no-such-shell\n");
    lab.machine().ok(&["chmod", "755", &project.dir().join("script").display().to_string()]);
    drop(project.fly(&["up", "--yes"]));
    assert_eq!(lab.docker(&["wait", "vm.web"]), "127\n");
    let log = lab.try_docker(&["logs", "vm.web"]);
    assert!(log.stderr.contains("`/script` cannot be run: the interpreter or loader that it names is not in this image"), "{log}");
}
