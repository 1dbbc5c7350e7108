//! Keys that Compose has, in the forms that Compose has: what the engine was told, and no difference afterwards.

use serde_json::{Value, json};

use crate::sample::changes;
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
