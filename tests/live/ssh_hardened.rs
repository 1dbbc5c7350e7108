//! Machines that lack rights: logging in works as far as they go, and what does not is said.

use std::time::Duration;

use crate::ssh_client::{Client, make_keys};
use crate::support::{Lab, eventually};

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

/// A program that is not root's, where the guest beside it may not become root: what a plan knows it refuses, and what it could not
/// know, because the engine had no image yet to say who runs its program, the guest says.
#[test]
fn a_guest_that_may_not_become_root_says_so() {
    let lab = Lab::start();
    lab.image("owned:1", &["CMD [\"/bin/stay\"]", "USER 1000"]);
    let text = |more: &str| format!("name: vm\nmachines: {{web: {{image: 'owned:1', sshd: true, {more}}}}}\n");
    let project = lab.project("vm", &text("cap_drop: [ALL]"));
    let plan = project.fly(&["up", "--yes"]);
    assert!(plan.expect_code(65).stderr.contains("`cap_drop` takes SETUID from this machine"), "{plan}");
    project.write("fly.yml", &text("security_opt: [no-new-privileges]"));
    let plan = project.fly(&["plan"]);
    assert!(plan.expect_code(65).stderr.contains("which `no-new-privileges` keeps from becoming root"), "{plan}");
    assert!(plan.stderr.contains("image `owned:1` says that the machine's program runs as `1000`"), "{plan}");
    assert_eq!(lab.docker(&["ps", "--all", "--quiet"]), "");

    // By hand, as it would be with an image that comes only with `up`.
    project.write("fly.yml", &text("cap_drop: [NET_RAW]"));
    project.fly(&["up", "--yes"]).success();
    let entrypoint: Vec<String> = serde_json::from_value(lab.inspect("vm.web")["Config"]["Entrypoint"].take()).unwrap();
    let config = lab.docker(&["exec", "--user", "0", "vm.web", "cat", "/.fly/machine/config.json"]);
    for (name, option, words) in [
        ("caps", "--cap-drop=ALL", "`cap_drop` takes SETUID or SETGID from this machine whose `user` is not root"),
        ("nnp", "--security-opt=no-new-privileges", "fly may not become root in it (`no-new-privileges`?)"),
    ] {
        let home = lab.dir().join(name);
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join("config.json"), &config).unwrap();
        std::fs::set_permissions(home.join("config.json"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mount = format!("{}:/.fly/machine", home.display());
        let mut argv = vec!["run", "--detach", "--name", name, "--volumes-from", "vm.web:ro", "--volume", &mount, option];
        argv.extend(["--entrypoint", &entrypoint[0], "owned:1"]);
        argv.extend(entrypoint[1..].iter().map(String::as_str).chain(["/bin/stay"]));
        lab.docker(&argv);
        let log = eventually(words, Duration::from_secs(30), || {
            let log = lab.try_docker(&["logs", name]).stderr;
            if log.contains(words) { Ok(log) } else { Err(log) }
        });
        assert!(!log.contains("cannot write"), "{log}");
        std::thread::sleep(Duration::from_secs(2));
        let log = lab.try_docker(&["logs", name]).stderr;
        assert!(log.matches("the ssh server cannot be started").count() <= 1, "said once: {log}");
    }
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
