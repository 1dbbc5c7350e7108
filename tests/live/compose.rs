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

/// What differs of machines; their cards come with them.
fn machines(project: &Project<'_>) -> Vec<(String, String, Vec<String>)> {
    changes(project).into_iter().filter(|(addr, ..)| addr.starts_with("machine/")).collect()
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

const PROFILE: &str = "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\",\n  \"syscalls\": [ { \"names\": [\"mkdir\", \"mkdirat\"], \"action\": \"SCMP_ACT_ERRNO\" } ]\n}\n";

/// The engine is sent what the file of a seccomp profile holds; it is the kernel that keeps to it.
#[test]
fn a_seccomp_profile_is_read_from_its_file() {
    let lab = Lab::start();
    let project = lab.project("compose", "name: compose\n");
    let file = "name: compose\ndefaults: {image: 'fly/busybox:test'}\nmachines:\n\
         \x20 a: {security_opt: ['seccomp=./p.json', no-new-privileges]}\n  b: {security_opt: ['seccomp:p.json']}\n";
    project.write("fly.yml", file);
    let missing = project.fly(&["plan"]);
    missing.expect_code(65);
    assert!(
        missing.stderr.contains("the seccomp profile `./p.json` cannot be read") && missing.stderr.contains("fly.yml:4:22"),
        "{missing}"
    );
    assert!(missing.stderr.contains("No such file"), "{missing}");
    project.write("p.json", "{\"defaultAction\": }");
    let broken = project.fly(&["plan"]);
    broken.expect_code(65);
    assert!(broken.stderr.contains("is not a JSON object") && broken.stderr.contains("line 1 column 19"), "{broken}");

    project.write("p.json", PROFILE);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    let compact =
        "seccomp={\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\"}]}";
    assert_eq!(said(&lab, "a", "/HostConfig/SecurityOpt"), json!(["no-new-privileges", compact]));
    for machine in ["a", "b"] {
        assert_eq!(
            lab.docker(&["exec", &format!("compose.{machine}"), "sh", "-c", "mkdir /tmp/x 2>/dev/null || echo refused"]),
            "refused\n"
        );
    }

    // White space is no difference; another rule is, and no plan is pages long for it.
    project.write("p.json", &PROFILE.replace(' ', "\t"));
    assert_eq!(changes(&project), vec![]);
    project.write("p.json", &PROFILE.replace("\"mkdir\", ", ""));
    assert_eq!(machines(&project), ["a", "b"].map(|name| change(&format!("machine/{name}"), "replace", &["security_opt"])).to_vec());
    let plan = project.fly(&["plan"]).success().stdout.clone();
    assert!(plan.contains("seccomp=profile ") && !plan.contains("SCMP_ACT"), "{plan}");

    // The resolved file stands alone.
    project.write("p.json", PROFILE);
    let config = project.fly(&["config"]).success().stdout.clone();
    std::fs::remove_file(project.dir().join("p.json")).expect("a file in our own folder");
    project.write("fly.yml", &config);
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn system_paths_are_laid_open() {
    let lab = Lab::start();
    let project = up(&lab, "  a: {security_opt: ['systempaths=unconfined']}\n  b: {}\n");
    assert_eq!((said(&lab, "a", "/HostConfig/MaskedPaths"), said(&lab, "a", "/HostConfig/ReadonlyPaths")), (json!([]), json!([])));
    assert_ne!(said(&lab, "b", "/HostConfig/MaskedPaths"), json!([]));
    let masked = |machine: &str| {
        lab.docker(&["exec", &format!("compose.{machine}"), "sh", "-c", "grep -c ' /proc/[a-z]' /proc/self/mountinfo || true"])
    };
    assert_eq!(masked("a"), "0\n");
    assert_ne!(masked("b"), "0\n");
    project.write("fly.yml", "name: compose\ndefaults: {image: 'fly/busybox:test'}\nmachines: {a: {}, b: {}}\n");
    assert_eq!(machines(&project), vec![change("machine/a", "replace", &["security_opt"])]);
}

/// One port of the machine behind whichever of a range is free, as the engine finds it; and 0 for any.
#[test]
fn one_port_out_of_a_range() {
    let lab = Lab::start();
    let project = up(
        &lab,
        "  a: {ports: ['8000-8010:80']}\n  b: {ports: [{target: 80, published: '8000-8010'}]}\n\
         \x20 c: {ports: ['0:80', {target: 81, published: 0}, '127.0.0.1:0:82', {target: 83, published: '0'}]}\n",
    );
    assert_eq!(said(&lab, "a", "/HostConfig/PortBindings/80~1tcp/0/HostPort"), json!("8000-8010"));
    assert_eq!(said(&lab, "c", "/HostConfig/PortBindings/82~1tcp"), json!([{"HostIp": "127.0.0.1", "HostPort": ""}]));
    let real = |machine: &str, port: u16| -> u16 {
        let found = said(&lab, machine, &format!("/NetworkSettings/Ports/{port}~1tcp/0/HostPort"));
        found.as_str().and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{machine}: {found}"))
    };
    let (a, b) = (real("a", 80), real("b", 80));
    assert!((8000..=8010).contains(&a) && (8000..=8010).contains(&b) && a != b, "{a} {b}");
    assert!((80..=83).all(|port| real("c", port) > 1024));
    let ps = project.fly(&["ps"]).success().stdout.clone();
    assert!(ps.contains(&format!("{a}:80/tcp")) && ps.contains(&format!("{b}:80/tcp")), "{ps}");
    let config = project.fly(&["config"]).success().stdout.clone();
    assert!(config.contains("8000-8010:80/tcp"), "{config}");
    project.write("fly.yml", &config);
    assert_eq!(changes(&project), vec![]);
    // Another range is another port.
    project.write("fly.yml", &config.replacen("8000-8010", "8000-8011", 1));
    assert_eq!(machines(&project), vec![change("machine/a", "replace", &["ports"])]);
}

#[test]
fn a_terminal_and_an_open_input() {
    let lab = Lab::start();
    let project = up(
        &lab,
        "  a: {tty: true, stdin_open: true, command: [sh]}\n  b: {stdin_open: true, command: [cat]}\n  c: {tty: false, stdin_open: false}\n",
    );
    for (machine, tty, open) in [("a", true, true), ("b", false, true), ("c", false, false)] {
        assert_eq!((said(&lab, machine, "/Config/Tty"), said(&lab, machine, "/Config/OpenStdin")), (json!(tty), json!(open)), "{machine}");
    }
    // Its first process has a terminal, and an input that has not ended: it still runs.
    let terminal = lab.docker(&["exec", "compose.a", "readlink", "/proc/1/fd/0"]);
    assert!(terminal.starts_with("/dev/pts/") || terminal.starts_with("/dev/console"), "{terminal}");
    lab.pid_and_start("compose.b");
    let file = "name: compose\ndefaults: {image: 'fly/busybox:test'}\nmachines:\n\
         \x20 a: {stdin_open: true, command: [sh]}\n  b: {stdin_open: true, tty: true, command: [cat]}\n  c: {stdin_open: true}\n";
    project.write("fly.yml", file);
    let wanted =
        [("a", "tty"), ("b", "tty"), ("c", "stdin_open")].map(|(name, field)| change(&format!("machine/{name}"), "replace", &[field]));
    assert_eq!(machines(&project), wanted.to_vec());
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
}

/// Zeros, and what this engine is too old for.
#[test]
fn times_of_health_checks_and_stopping() {
    let lab = Lab::start();
    let project = up(
        &lab,
        "  a: {healthcheck: {test: 'true', retries: 0, interval: 0s, timeout: 5s}, stop_grace_period: '0'}\n  b: {stop_grace_period: 0s}\n\
         \x20 c: {stop_grace_period: 0}\n",
    );
    for machine in ["a", "b", "c"] {
        assert_eq!(said(&lab, machine, "/Config/StopTimeout"), json!(0), "{machine}");
    }
    let begun = std::time::Instant::now();
    project.fly(&["down", "--yes"]).success();
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());

    project.write(
        "fly.yml",
        "name: compose\nmachines:\n  a: {image: 'fly/busybox:test', healthcheck: {test: 'true', start_period: 9s, start_interval: 1s}}\n",
    );
    let up = project.fly(&["up", "--yes"]);
    if lab.docker(&["version", "--format", "{{.Server.APIVersion}}"]).trim() < "1.44" {
        up.expect_code(65);
        assert!(up.stderr.contains("needs Docker Engine 25 (API 1.44), and this one is 20.10") && up.stderr.contains("fly.yml:3"), "{up}");
        assert_eq!(lab.docker(&["ps", "--all", "--quiet"]), "");
    } else {
        up.success();
        assert_eq!(said(&lab, "a", "/Config/Healthcheck/StartInterval"), json!(1_000_000_000_u64));
        assert_eq!(changes(&project), vec![]);
    }
}
