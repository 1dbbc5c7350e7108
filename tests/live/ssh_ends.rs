//! Clients that vanish, and servers that die.

use std::time::{Duration, Instant};

use crate::ssh_client::{Client, make_keys};
use crate::support::{Lab, command, eventually};

const LIMIT: Duration = Duration::from_secs(60);

/// On the LAN, where a neighbour can lose its way in the middle of a session.
const FILE: &str = "
name: vm
networks: {lan: {parent: eth1, subnet: 192.168.77.0/24}}
machines:
  web: {image: 'fly/busybox:test', sshd: {authorized_keys: [./id.pub]}, nics: {eth0: {network: lan, ip: 192.168.77.9}}}
";

/// `ssh` on the neighbour, running this.
fn session(lab: &Lab, client: &Client<'_>, line: &str) -> crate::support::Running {
    let options = client.options();
    let host = client.host();
    let argv: Vec<&str> = ["ssh"].into_iter().chain(options.iter().map(String::as_str)).chain([host.as_str(), line]).collect();
    lab.lan_neighbour().running(command(&argv), Duration::from_secs(300))
}

/// Processes of this lab, by how their command begins, as its machine has them.
fn pids(lab: &Lab, begins: &str) -> String {
    lab.machine().run(&["pgrep", "-f", &format!("^{begins}")]).stdout.trim().to_owned()
}

fn runs(lab: &Lab, begins: &str) -> Result<(), String> {
    if pids(lab, begins).is_empty() { Err(format!("no {begins}")) } else { Ok(()) }
}

/// The time is the server's own, of a second one in the same machine; what the first one has is shown by the kernel.
#[test]
fn a_client_whose_host_vanishes_is_given_up() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    make_keys(&project, &lab, &["id"]);
    project.fly(&["up", "--yes"]).success();
    let first = Client::new(&lab, &project, "192.168.77.9");
    let mut idle = session(&lab, &first, "sleep 1001");
    eventually("the session", LIMIT, || runs(&lab, "sleep 1001"));
    // Asked by the kernel after 30 s of silence, and by the server itself just as often.
    let sockets = eventually("a quiet connection", LIMIT, || {
        let sockets = lab.in_machine("vm.web", &["ss", "-Htno", "state", "established", "sport = :22"]);
        if sockets.contains("timer:(keepalive,") { Ok(sockets) } else { Err(sockets) }
    });
    let left = sockets.split("keepalive,").nth(1).and_then(|rest| rest.split("sec").next()).and_then(|text| text.parse::<f64>().ok());
    assert!(left.is_some_and(|left| left <= 30.0), "{sockets}");

    let second = "mkdir /second && sed s/:22,/:2222,/ /.fly/machine/config.json > /second/config.json && \
                  exec /.fly/bin/fly guest serve --home /second --keepalive 1 2> /second/log";
    lab.docker(&["exec", "--detach", "vm.web", "sh", "-c", second]);
    let log = || lab.docker(&["exec", "vm.web", "sh", "-c", "cat /second/log || true"]);
    eventually("the second server", LIMIT, || if log().contains("0.0.0.0:2222") { Ok(()) } else { Err(log()) });
    let second = Client { port: 2222, ..Client::new(&lab, &project, "192.168.77.9") };
    let _lost = session(&lab, &second, "sleep 1002");
    eventually("the session", LIMIT, || runs(&lab, "sleep 1002"));
    // Without a word: no end of the connection reaches the machine.
    lab.neighbour(&["ip", "link", "set", "eth0", "down"]);
    eventually("its end", LIMIT, || if runs(&lab, "sleep 1002").is_err() { Ok(()) } else { Err(log()) });
    eventually("the line in the log", LIMIT, || if log().contains("does not answer any more") { Ok(()) } else { Err(log()) });
    let sockets = lab.in_machine("vm.web", &["ss", "-Htn", "state", "established", "sport = :2222"]);
    assert_eq!(sockets, "");
    // The other one has its two minutes, and is back long before.
    assert!(runs(&lab, "sleep 1001").is_ok());
    lab.neighbour(&["ip", "link", "set", "eth0", "up"]);
    assert!(!idle.has_ended());
    lab.machine().ok(&["kill", "-9", &pids(&lab, "sleep 1001")]);
    idle.wait().expect_code(255);
}

/// The first process starts it again, sooner at first than later, and the machine's own program never knows.
#[test]
fn a_server_that_is_killed_comes_again() {
    let lab = Lab::start();
    let project = lab.project("vm", &FILE.replace("sshd:", "command: [sleep, '100000'], sshd:"));
    make_keys(&project, &lab, &["id"]);
    project.fly(&["up", "--yes"]).success();
    let before = lab.pid_and_start("vm.web");
    let program = || pids(&lab, "sleep 100000");
    let own = program();
    let client = Client::new(&lab, &project, "192.168.77.9");
    let login = || lab.lan_neighbour().run(&words(&client, "id -u").iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(login().success().stdout, "0\n");
    let key = project.fly(&["ssh", "--host-key", "web"]).success().stdout.clone();

    let server = || pids(&lab, "/proc/self/exe guest serve");
    let mut away = vec![];
    for _ in 0..5 {
        let pid = eventually("the server", LIMIT, || Some(server()).filter(|pid| !pid.is_empty()).ok_or_else(String::new));
        let killed = Instant::now();
        lab.machine().ok(&["kill", "-9", &pid]);
        eventually("another server", LIMIT, || Some(server()).filter(|new| !new.is_empty() && *new != pid).ok_or_else(String::new));
        away.push(killed.elapsed());
    }
    // It rests 0.4 s, then twice as long each time: never less.
    for (away, least) in away.iter().zip([400, 800, 1600, 3200, 6400]) {
        assert!(*away >= Duration::from_millis(least), "{away:?}");
    }
    eventually("a login", LIMIT, || if login().code == 0 { Ok(()) } else { Err(login().to_string()) });
    let log = lab.try_docker(&["logs", "vm.web"]).stderr;
    assert_eq!(log.matches("ssh: the ssh server has ended by signal 9; it is tried again").count(), 5, "{log}");
    // The same machine, the same program, the same host key; and nothing to do.
    assert_eq!((lab.pid_and_start("vm.web"), program()), (before, own));
    assert_eq!(project.fly(&["ssh", "--host-key", "web"]).success().stdout, key);
    project.fly(&["plan", "--check"]).success();

    // While it is away, a plan says so.
    lab.machine().ok(&["kill", "-9", &server()]);
    let plan = eventually("a plan", LIMIT, || {
        let plan = project.fly(&["plan"]);
        if plan.stdout.contains("the ssh server has ended") { Ok(plan) } else { Err(plan.to_string()) }
    });
    assert!(plan.stdout.contains("the ssh server of web: the ssh server has ended by signal 9"), "{plan}");
}

fn words(client: &Client<'_>, line: &str) -> Vec<String> {
    ["ssh".to_owned()].into_iter().chain(client.options()).chain([client.host(), line.to_owned()]).collect()
}
