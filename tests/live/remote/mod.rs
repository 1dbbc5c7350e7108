//! An engine that is somewhere else: by ssh, by TLS, by a Docker context. fly runs as an ordinary user on another computer of the LAN,
//! where neither the engine's processes nor its network are its own, so that whatever it did there by itself would fail.

mod errors;
mod there;

use std::fs;

use self::there::There;
use crate::support::{Lab, eventually};

const FILE: &str = "name: shop
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, host_ip: 192.168.77.99}
  back: {subnet: [10.20.0.0/24, \"fd00:20::/64\"]}
machines:
  web:
    image: fly/busybox:test
    sshd: true
    nics: {eth0: {network: lan, ip: 192.168.77.10}, eth1: {network: back, ip: [10.20.0.5/24, \"fd00:20::5/64\"]}}
  db: {image: fly/busybox:test, command: [sh, -c, \"echo ready; exec stay\"], nics: {eth0: {network: back, ip: 10.20.0.6/24}}, links: [web]}
links: [[\"web:eth5\", \"db:eth5\"]]
";

/// All that people do with a project, from `up` to `down`.
fn everything_works(there: &There<'_>, variables: &[(&str, &str)]) {
    let lab = there.lab;
    let fly = |args: &[&str]| there.fly(variables, args);
    let before = lab.canonical();
    fly(&["up", "--yes"]).success();
    assert!(fly(&["plan", "--check"]).success().stdout.contains("nothing to do"));
    // The same world, seen by root beside the engine.
    assert!(there.project.fly(&["plan", "--check"]).expect_code(0).stdout.contains("nothing to do"));
    lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
    assert!(lab.docker(&["exec", "shop.db", "ping", "-c1", "-W3", "web"]).contains("10.20.0.5"));
    // In place.
    let pid = lab.pid_and_start("shop.web");
    there.project.write("fly.yml", &FILE.replace("10.20.0.5/24", "10.20.0.7/24"));
    fly(&["up", "--yes"]).success();
    assert!(lab.in_machine("shop.web", &["ip", "addr", "show", "eth1"]).contains("10.20.0.7/24"));
    assert_eq!(lab.pid_and_start("shop.web"), pid);

    assert!(fly(&["ps"]).success().stdout.contains("192.168.77.10/24"));
    assert_eq!(fly(&["exec", "web", "cat", "/proc/sys/kernel/hostname"]).success().stdout, "web\n");
    assert_eq!(fly(&["exec", "web", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(fly(&["ssh", "web", "--", "echo $USER; exit 3"]).expect_code(3).stdout, "root\n");
    assert!(fly(&["logs", "db"]).success().stdout.contains("ready"));
    let content: Vec<u8> = (0..300_001_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(there.project.dir().join("sent"), &content).unwrap();
    fly(&["cp", "sent", "web:/tmp/there"]).success();
    fly(&["cp", "web:/tmp/there", "back"]).success();
    assert!(fs::read(there.project.dir().join("back")).unwrap() == content);

    there.project.write("fly.yml", FILE);
    fly(&["down", "--yes", "--volumes"]).success();
    lab.is_as_before(&before);
    there.nothing_is_left();
}

#[test]
fn an_engine_by_ssh() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    let variables = [("DOCKER_HOST", "ssh://root@192.168.77.1:2222")];
    // One login, however many connections.
    let before = there.logins();
    there.fly(&variables, &["plan"]).success();
    assert_eq!(there.logins() - before, 1);
    everything_works(&there, &variables);
}

#[test]
fn an_engine_by_tls() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    there.listen_with_tls();
    let certs = there.certs.display().to_string();
    everything_works(
        &there,
        &[("DOCKER_HOST", "tcp://192.168.77.1:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", certs.as_str())],
    );
}

#[test]
fn an_engine_by_a_context() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    there.listen_with_tls();
    let file = |name: &str| there.certs.join(name).display().to_string();
    let tls = format!("host=tcp://192.168.77.1:2376,ca={},cert={},key={}", file("ca.pem"), file("cert.pem"), file("key.pem"));
    there.docker(&["context", "create", "by-tls", "--docker", &tls]);
    there.docker(&["context", "create", "by-ssh", "--docker", "host=ssh://root@192.168.77.1:2222"]);
    there.docker(&["context", "use", "by-tls"]);
    everything_works(&there, &[]);
    let before = there.logins();
    there.fly(&[("DOCKER_CONTEXT", "by-ssh")], &["plan"]).success();
    assert_eq!(there.logins() - before, 1);
    // The host wins, as with Docker's client.
    let output = there.fly(&[("DOCKER_CONTEXT", "by-ssh"), ("DOCKER_HOST", "unix:///nowhere.sock")], &["plan"]);
    assert!(output.expect_code(9).stderr.contains("/nowhere.sock"), "{output}");
    let output = there.fly(&[("DOCKER_CONTEXT", "by-shs")], &["plan"]);
    assert!(output.expect_code(9).stderr.contains("there are: `default`, `by-ssh`, `by-tls`"), "{output}");
}

/// Also when it is killed while something goes on at the other end that says nothing.
#[test]
fn no_ssh_stays_behind() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    let variables = [("DOCKER_HOST", "ssh://root@192.168.77.1:2222")];
    there.fly(&variables, &["up", "--yes"]).success();
    for signal in [rustix::process::Signal::KILL, rustix::process::Signal::INT] {
        for args in [&["exec", "-T", "web", "sleep", "1000"][..], &["logs", "--follow"]] {
            let running = there.nearby(&variables, args).start();
            eventually("ssh", std::time::Duration::from_secs(30), || match there.processes("ssh") {
                found if found.len() >= 2 => Ok(()),
                found => Err(format!("{found:?}")),
            });
            let fly = there.processes("fly");
            assert_eq!(fly.len(), 1, "{fly:?}");
            there.signal(fly[0], signal);
            running.wait();
            there.nothing_is_left();
        }
    }
    there.fly(&variables, &["down", "--yes", "--volumes"]).success();
}

/// The agent is on the engine's side: what happens there while nobody from here is there, it puts right.
#[test]
fn the_agent_is_where_the_engine_is() {
    let lab = Lab::start();
    let there = There::new(&lab, FILE);
    let variables = [("DOCKER_HOST", "ssh://root@192.168.77.1:2222")];
    let fly = |args: &[&str]| there.command(&variables, args).with_agent().run();
    let before = lab.canonical();
    fly(&["up", "--yes"]).success();
    assert!(fly(&["agent", "status"]).success().stdout.contains("shop: 2 machines"));
    there.nothing_is_left();
    for disturb in ["restart", "kill"] {
        lab.docker(&[disturb, "shop.web"]);
        if disturb == "kill" {
            lab.docker(&["start", "shop.web"]);
        }
        eventually("its cards", std::time::Duration::from_secs(20), || {
            let cards = lab.in_machine("shop.web", &["sh", "-c", "ip -o link; ip -o addr"]);
            let all = ["192.168.77.10/24", "10.20.0.5/24", "fd00:20::5/64", "eth5"].iter().all(|it| cards.contains(it));
            if all { Ok(()) } else { Err(format!("{cards}\n{}", lab.try_docker(&["logs", "fly-agent"]).stderr)) }
        });
        lab.neighbour(&["ping", "-c1", "-W3", "192.168.77.10"]);
        assert!(fly(&["plan", "--check"]).success().stdout.contains("nothing to do"));
    }
    fly(&["down", "--yes", "--volumes"]).success();
    lab.is_as_before(&before);
}
