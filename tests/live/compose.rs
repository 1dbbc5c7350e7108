//! Keys that Compose has, in the forms that Compose has: what the engine was told, and no difference afterwards.

use serde_json::{Value, json};

use crate::sample::{change, changes};
use crate::support::{Lab, Project};

/// A project with these machines, which is up and as the file says.
fn up<'a>(lab: &'a Lab, machines: &str) -> Project<'a> {
    let file = format!("name: compose\ndefaults: {{image: 'fly/busybox:test'}}\nmachines:\n{machines}");
    let project = lab.project("compose", &file);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    project
}

fn said(lab: &Lab, machine: &str, path: &str) -> Value {
    lab.inspect(&format!("compose.{machine}")).pointer(path).cloned().unwrap_or_default()
}

#[test]
fn ports_in_the_long_form() {
    let lab = Lab::start();
    up(
        &lab,
        "  a:\n    ports:\n\
         \x20     - {target: 80, published: 8080, host_ip: 127.0.0.1, protocol: tcp}\n\
         \x20     - {target: 53, published: \"5353\", protocol: udp}\n\
         \x20     - {target: \"90-91\", published: \"9090-9091\"}\n\
         \x20     - target: 443\n",
    );
    let port = |host_ip: &str, port: &str| json!([{"HostIp": host_ip, "HostPort": port}]);
    let wanted = json!({
        "80/tcp": port("127.0.0.1", "8080"), "53/udp": port("", "5353"),
        "90/tcp": port("", "9090"), "91/tcp": port("", "9091"), "443/tcp": port("", ""),
    });
    assert_eq!(said(&lab, "a", "/HostConfig/PortBindings"), wanted);
    assert_eq!(said(&lab, "a", "/NetworkSettings/Ports/80~1tcp"), port("127.0.0.1", "8080"));
}

/// The host, by the address that the engine has for it, in every way to write it.
#[test]
fn host_gateway_is_the_host() {
    let lab = Lab::start();
    let file = "  a:\n    extra_hosts: [\"host:host-gateway\", \"same=host-gateway\", \"far=192.0.2.7\", \"six:[2001:db8::7]\", \"bare=2001:db8::8\", \"loop=[::1]\"]\n\
         \x20 b:\n    extra_hosts: {host: host-gateway, six: \"[2001:db8::7]\"}\n";
    let project = up(&lab, file);
    let asked = said(&lab, "b", "/HostConfig/ExtraHosts");
    assert!(asked.as_array().is_some_and(|all| all.contains(&json!("host:host-gateway"))), "{asked}");
    let gateway = lab.docker(&["run", "--rm", "--add-host=it:host-gateway", "fly/busybox:test", "grep", "it$", "/etc/hosts"]);
    let gateway = gateway.split_whitespace().next().unwrap_or_default().to_owned();
    let hosts = |machine: &str| lab.docker(&["exec", &format!("compose.{machine}"), "cat", "/etc/hosts"]);
    let a = hosts("a");
    for line in [
        format!("{gateway}\thost"),
        format!("{gateway}\tsame"),
        "192.0.2.7\tfar".into(),
        "2001:db8::7\tsix".into(),
        "2001:db8::8\tbare".into(),
        "::1\tloop".into(),
    ] {
        assert!(a.contains(&line), "{line} in {a}");
    }
    lab.docker(&["exec", "compose.b", "ping", "-c1", "-W2", "host"]);

    // The engine writes it anew at every start.
    let pids = ["compose.a", "compose.b"].map(|name| lab.pid_and_start(name));
    lab.docker(&["restart", "compose.b"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    assert!(hosts("b").contains(&format!("{gateway}\thost")), "{}", hosts("b"));

    // Somebody changes the line, or takes it away.
    for edit in [r"s/^.*\thost$/192.0.2.99\thost/", r"/\thost/d"] {
        lab.docker(&["exec", "compose.a", "sh", "-c", &format!("sed '{edit}' /etc/hosts > /tmp/hosts && cat /tmp/hosts > /etc/hosts")]);
        assert_eq!(changes(&project), vec![change("machine/a", "update", &["names"])]);
        project.fly(&["up", "--yes"]).success();
        assert!(hosts("a").contains(&format!("{gateway}\thost")), "{}", hosts("a"));
        assert_eq!(changes(&project), vec![]);
    }

    // One that comes later, and one that becomes an address of its own: live.
    let other = file.replace("\"host:host-gateway\"", "\"host:192.0.2.8\", \"later:host-gateway\"");
    project.write("fly.yml", &format!("name: compose\ndefaults: {{image: 'fly/busybox:test'}}\nmachines:\n{other}"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    let a = hosts("a");
    assert!(a.contains("192.0.2.8\thost") && a.contains(&format!("{gateway}\tlater")) && !a.contains(&format!("{gateway}\thost")), "{a}");
    assert_eq!(lab.pid_and_start("compose.a"), pids[0]);
    let config = project.fly(&["config"]);
    assert!(config.success().stdout.contains("later=host-gateway"), "{config}");
}
