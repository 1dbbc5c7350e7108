//! Every key of a machine: what the engine and the inside of the machine say is as written, a second plan is empty, and a change of
//! what the engine fixes at creation shows as exactly that field.

use serde_json::{Value, json};

use crate::sample::{change, changes, changes_in, edited};
use crate::support::{Lab, Output, Project};

const KEYS: &str = r#"
name: keys
defaults: {image: "fly/busybox:test"}
networks:
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  all:
    entrypoint: ["/bin/sh", "-c"]
    command: ["echo hello ${WHO:-nobody} $$MODE; exec /bin/stay"]
    environment: {MODE: file, FROM_DOT: "${DOT}", FROM_ENV: "${OUTER}", PASSED: , COUNT: 7}
    env_file: [./machine.env]
    hostname: all.example
    user: "1000:1000"
    working_dir: /srv
    volumes:
      - ./src:/src
      - ./src:/readonly:ro
      - ./src:/labelled:z
      - data:/data
      - /anonymous
      - {type: tmpfs, target: /mem, tmpfs: {size: 1m, mode: 01777}}
    tmpfs: ["/fast:size=64k,mode=1777"]
    shm_size: 32m
    ports: ["8080:80", "127.0.0.1:8081:81", "9000-9002:90-92", "5353:53/udp", "443"]
    restart: on-failure:3
    healthcheck: {test: [CMD, "true"], interval: 1s, timeout: 2s, start_period: 3s, retries: 4}
    stop_signal: INT
    stop_grace_period: 3s
    cpus: 0.5
    cpuset: "0"
    memory: 64m
    pids_limit: 64
    ulimits: {nofile: {soft: 100, hard: 200}, core: 0}
    sysctls: {net.ipv4.ip_forward: 1, net.core.somaxconn: 77}
    cap_add: [NET_ADMIN]
    cap_drop: [CHOWN, cap_mknod]
    devices: ["/dev/null:/dev/nothing:rw"]
    guest: false
    security_opt: ["no-new-privileges:true"]
    dns: [192.0.2.53, 192.0.2.54]
    dns_search: [example.com, lan]
    extra_hosts: ["far:192.0.2.7", "six:2001:db8::7"]
    labels: {tier: front, empty: }
    nics: {eth0: out}
volumes: {data: {}}
"#;

fn fly(project: &Project<'_>, args: &[&str]) -> Output {
    project.command().env("OUTER", "from outside").env("PASSED", "passed on").args(args).run()
}

fn written(lab: &Lab) -> Project<'_> {
    let project = lab.project("keys", KEYS);
    project.write(".env", "DOT=from the file beside\nOUTER=not this one\n");
    project.write("machine.env", "# of the machine\nFROM_FILE='single $quoted'\nMODE=loses\n");
    std::fs::create_dir(project.dir().join("src")).expect("a folder in our own folder");
    project.write("src/hello", "of the host\n");
    project
}

fn inside(lab: &Lab, script: &str) -> String {
    lab.docker(&["exec", "keys.all", "sh", "-c", script])
}

#[test]
fn what_is_written_is_what_there_is() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = written(&lab);
    fly(&project, &["up", "--yes"]).success();

    let all = lab.inspect("keys.all");
    let port = |host_ip: &str, port: &str| json!([{"HostIp": host_ip, "HostPort": port}]);
    let expected: &[(&str, Value)] = &[
        ("/Config/Entrypoint", json!(["/bin/sh", "-c"])),
        ("/Config/Cmd", json!(["echo hello nobody $MODE; exec /bin/stay"])),
        ("/Config/Hostname", json!("all.example")),
        ("/Config/User", json!("1000:1000")),
        ("/Config/WorkingDir", json!("/srv")),
        ("/Config/Labels/tier", json!("front")),
        ("/Config/Labels/empty", json!("")),
        ("/Config/StopSignal", json!("SIGINT")),
        ("/Config/StopTimeout", json!(3)),
        ("/Config/Healthcheck/Test", json!(["CMD", "true"])),
        ("/Config/Healthcheck/Interval", json!(1_000_000_000_u64)),
        ("/Config/Healthcheck/Timeout", json!(2_000_000_000_u64)),
        ("/Config/Healthcheck/StartPeriod", json!(3_000_000_000_u64)),
        ("/Config/Healthcheck/Retries", json!(4)),
        ("/HostConfig/ShmSize", json!(32 << 20)),
        ("/HostConfig/RestartPolicy", json!({"Name": "on-failure", "MaximumRetryCount": 3})),
        ("/HostConfig/NanoCpus", json!(500_000_000)),
        ("/HostConfig/CpusetCpus", json!("0")),
        ("/HostConfig/Memory", json!(64 << 20)),
        ("/HostConfig/PidsLimit", json!(64)),
        ("/HostConfig/Devices", json!([{"PathOnHost": "/dev/null", "PathInContainer": "/dev/nothing", "CgroupPermissions": "rw"}])),
        ("/HostConfig/SecurityOpt", json!(["no-new-privileges:true"])),
        ("/HostConfig/Dns", json!(["192.0.2.53", "192.0.2.54"])),
        ("/HostConfig/DnsSearch", json!(["example.com", "lan"])),
        ("/HostConfig/Sysctls", json!({"net.ipv4.ip_forward": "1", "net.core.somaxconn": "77"})),
        ("/HostConfig/PortBindings/80~1tcp", port("", "8080")),
        ("/HostConfig/PortBindings/81~1tcp", port("127.0.0.1", "8081")),
        ("/HostConfig/PortBindings/90~1tcp", port("", "9000")),
        ("/HostConfig/PortBindings/92~1tcp", port("", "9002")),
        ("/HostConfig/PortBindings/53~1udp", port("", "5353")),
        ("/HostConfig/PortBindings/443~1tcp", port("", "")),
    ];
    let wrong: Vec<String> = expected
        .iter()
        .filter(|(path, value)| all.pointer(path) != Some(value))
        .map(|(path, value)| format!("{path}: {} instead of {value}", all.pointer(path).unwrap_or(&Value::Null)))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());

    // The engine picked a port for the one that left it open.
    let open = all.pointer("/NetworkSettings/Ports/443~1tcp/0/HostPort").and_then(Value::as_str).unwrap_or_default();
    assert!(open.parse::<u16>().is_ok_and(|port| port > 0), "{all}");
    assert_eq!(lab.docker(&["logs", "keys.all"]), "hello nobody file\n");

    fly(&project, &["plan", "--check"]).success();
    assert_eq!(fly(&project, &["up", "--yes"]).success().stdout.lines().count(), 1);
    fly(&project, &["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn the_inside_of_the_machine_is_as_written() {
    let lab = Lab::start();
    let project = written(&lab);
    fly(&project, &["up", "--yes"]).success();
    let env = inside(&lab, "env");
    for line in
        ["MODE=file", "FROM_DOT=from the file beside", "FROM_ENV=from outside", "PASSED=passed on", "COUNT=7", "FROM_FILE=single $quoted"]
    {
        assert!(env.lines().any(|it| it == line), "{line} in {env}");
    }
    let answers: &[(&str, &str)] = &[
        ("id -u; id -g", "1000\n1000\n"),
        ("pwd", "/srv\n"),
        ("hostname", "all.example\n"),
        ("cat /src/hello", "of the host\n"),
        ("touch /readonly/x 2>/dev/null || echo refused", "refused\n"),
        ("grep -c ' /mem tmpfs .*size=1024k' /proc/mounts", "1\n"),
        ("grep -c ' /fast tmpfs .*size=64k' /proc/mounts", "1\n"),
        ("grep -c ' /dev/shm tmpfs .*size=32768k' /proc/mounts", "1\n"),
        ("ulimit -n; ulimit -Hn; ulimit -c", "100\n200\n0\n"),
        ("cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_forward", "77\n1\n"),
        ("grep -c 'NoNewPrivs:.*1' /proc/self/status", "1\n"),
        ("grep Cpus_allowed_list /proc/self/status | cut -f2", "0\n"),
        ("echo x > /dev/nothing && echo written", "written\n"),
    ];
    for (script, answer) in answers {
        assert_eq!(&inside(&lab, script), answer, "{script}");
    }
    // One bounding set: with what was added, without what was dropped (bit 12, 0 and 27).
    let bounding = inside(&lab, "grep CapBnd /proc/self/status | cut -f2");
    let bounding = u64::from_str_radix(bounding.trim(), 16).expect("hexadecimal digits");
    assert_eq!((bounding >> 12 & 1, bounding & 1, bounding >> 27 & 1), (1, 0, 0), "{bounding:x}");
    let hosts = inside(&lab, "cat /etc/hosts");
    assert!(hosts.contains("192.0.2.7\tfar") && hosts.contains("2001:db8::7\tsix"), "{hosts}");
    let resolv = inside(&lab, "cat /etc/resolv.conf");
    assert!(resolv.contains("search example.com lan"), "{resolv}");

    // The engine stops it by its own signal, in its own time.
    let begun = std::time::Instant::now();
    lab.docker(&["stop", "keys.all"]);
    assert!(begun.elapsed() < std::time::Duration::from_secs(3), "{:?}", begun.elapsed());
    fly(&project, &["up", "--yes"]).success();
}

/// From, to, and the field that the plan shows.
const REPLACING: &[(&str, &str, &str)] = &[
    ("[\"/bin/sh\", \"-c\"]", "[\"/bin/sh\", \"-e\", \"-c\"]", "entrypoint"),
    ("; exec /bin/stay", " again; exec /bin/stay", "command"),
    ("MODE: file", "MODE: other", "environment.MODE"),
    ("${OUTER}", "${OUTER} more", "environment.FROM_ENV"),
    (", COUNT: 7", "", "environment.COUNT"),
    ("    env_file: [./machine.env]\n", "", "environment.FROM_FILE"),
    ("all.example", "one.example", "hostname"),
    ("\"1000:1000\"", "\"1000\"", "user"),
    ("/srv", "/tmp", "working_dir"),
    ("./src:/readonly:ro", "./src:/readonly", "volumes./readonly"),
    ("./src:/labelled:z", "./src:/labelled", "volumes./labelled"),
    ("data:/data", "data:/data:ro", "volumes./data"),
    ("      - /anonymous\n", "", "volumes./anonymous"),
    ("size: 1m", "size: 2m", "tmpfs./mem"),
    ("size=64k", "size=128k", "tmpfs./fast"),
    ("shm_size: 32m", "shm_size: 48m", "shm_size"),
    ("8080:80", "8088:80", "ports"),
    ("/udp", "/tcp", "ports"),
    (", \"443\"]", "]", "ports"),
    ("retries: 4", "retries: 5", "healthcheck"),
    ("    shm_size", "    init: true\n    shm_size", "init"),
    ("stop_signal: INT", "stop_signal: TERM", "stop_signal"),
    ("stop_grace_period: 3s", "stop_grace_period: 4s", "stop_grace_period"),
    ("soft: 100", "soft: 99", "ulimits.nofile"),
    ("somaxconn: 77", "somaxconn: 78", "sysctls.net.core.somaxconn"),
    ("cap_add: [NET_ADMIN]", "cap_add: [NET_ADMIN, SYS_NICE]", "cap_add"),
    ("[CHOWN, cap_mknod]", "[CHOWN]", "cap_drop"),
    ("nothing:rw", "nothing:r", "devices"),
    ("    security_opt: [\"no-new-privileges:true\"]\n", "", "security_opt"),
    ("192.0.2.54]", "192.0.2.55]", "dns"),
    ("example.com, lan", "example.com", "dns_search"),
    ("tier: front", "tier: back", "labels.tier"),
    ("    shm_size", "    privileged: true\n    shm_size", "privileged"),
];

#[test]
fn what_the_engine_fixes_is_replaced_and_said() {
    let lab = Lab::start();
    let project = written(&lab);
    fly(&project, &["up", "--yes"]).success();
    let mut wrong = vec![];
    for (from, to, field) in REPLACING {
        project.write("fly.yml", &edited(KEYS, from, to));
        let found = changes_in(&fly(&project, &["plan", "--format", "json"]));
        let machine: Vec<_> = found.iter().filter(|(addr, ..)| addr.starts_with("machine/")).cloned().collect();
        if machine != [change("machine/all", "replace", &[field])] || fly(&project, &["plan", "--check"]).code != 3 {
            wrong.push(format!("{field}: {found:?}"));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn a_replaced_machine_keeps_its_data() {
    let lab = Lab::start();
    let project = written(&lab);
    fly(&project, &["up", "--yes"]).success();
    for place in ["/data", "/anonymous", "/var/tmp"] {
        lab.docker(&["exec", "--user", "0", "keys.all", "sh", "-c", &format!("mkdir -p {place} && echo precious > {place}/file")]);
    }
    let id = lab.inspect("keys.all")["Id"].clone();
    project.write("fly.yml", &edited(KEYS, "tier: front", "tier: back"));
    // Somebody has to be asked, or to have said it.
    let refused = fly(&project, &["up"]);
    assert!(refused.code == 1 && refused.stderr.contains("replaces 1 machine"), "{refused}");
    assert_eq!(lab.inspect("keys.all")["Id"], id);
    fly(&project, &["up", "--yes"]).success();
    assert_ne!(lab.inspect("keys.all")["Id"], id);
    assert_eq!(inside(&lab, "cat /data/file /anonymous/file"), "precious\nprecious\n");
    // What was in the machine itself is gone, as the plan has said.
    assert_eq!(inside(&lab, "cat /var/tmp/file 2>/dev/null || echo gone"), "gone\n");
    assert_eq!(lab.docker(&["ps", "--all", "--format", "{{.Names}}"]), "keys.all\n");
    fly(&project, &["plan", "--check"]).success();
    fly(&project, &["down", "--yes"]).success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]), "keys.data\n");
}

/// What somebody writes that is the engine's own default, or is spelled in another way by it, is no difference.
#[test]
fn spellings_and_defaults_are_no_difference() {
    let lab = Lab::start();
    let cpus = lab.docker(&["info", "--format", "{{.NCPU}}"]).trim().to_owned();
    let machines = [
        format!("cpus: {cpus}"),
        format!("cpuset: \"0-{}\"", cpus.parse::<u32>().expect("a number") - 1),
        "shm_size: 64m".into(),
        "stop_grace_period: 1500ms".into(),
        "stop_grace_period: 10s".into(),
        "working_dir: /srv/".into(),
        "working_dir: /".into(),
        "user: 0".into(),
        "pids_limit: -1".into(),
        "cap_add: [net_admin, CAP_SYS_NICE]".into(),
        "cap_add: [ALL]\n    cap_drop: [SYS_RESOURCE]".into(),
        "cap_drop: [ALL]".into(),
        "security_opt: [no-new-privileges]".into(),
        "security_opt: [\"seccomp=unconfined\"]".into(),
        "security_opt: [\"seccomp:unconfined\"]".into(),
        "healthcheck: {disable: true}".into(),
        "healthcheck: {test: \"exit 0\", interval: 1m30s}".into(),
        "devices: [/dev/null]".into(),
        "volumes: [\"/tmp/:/host/tmp/\"]".into(),
        "volumes: [{type: bind, source: /etc, target: /host, bind: {propagation: rprivate, selinux: z}}]".into(),
        "tmpfs: /run".into(),
        "command: []\n    entrypoint: [/bin/stay]".into(),
        "dns: \"2001:db8::53\"".into(),
        "ports: [\"127.0.0.1::80\", \"[::1]:8080:80\"]".into(),
        "ulimits: {core: -1}".into(),
        "environment: {EMPTY: \"\", EQUALS: \"a=b=c\", \"LINES\": \"a\\nb\"}".into(),
        "memory: 6m\n    restart: \"no\"".into(),
        "stop_signal: 15".into(),
        "stop_signal: SIGRTMIN+3".into(),
        "hostname: a.b.c".into(),
    ];
    let machines: Vec<String> =
        machines.iter().enumerate().map(|(n, keys)| format!("  m{n}:\n    image: fly/busybox:test\n    {keys}\n")).collect();
    let project = lab.project("same", &format!("name: same\nmachines:\n{}", machines.concat()));
    let up = project.fly(&["up", "--yes"]);
    let shown: Vec<String> = changes(&project).iter().map(|it| format!("{it:?}: {}", machines[number(&it.0)])).collect();
    assert_eq!(shown, Vec::<String>::new(), "{up}");
    up.success();
}

fn number(addr: &str) -> usize {
    addr.trim_start_matches(|c: char| !c.is_ascii_digit()).split(':').next().and_then(|it| it.parse().ok()).unwrap_or(0)
}

#[test]
fn whose_network_a_machine_uses() {
    let lab = Lab::start();
    lab.docker(&["run", "--detach", "--name", "stranger", "--network", "none", "fly/busybox:test"]);
    let project = lab.project(
        "modes",
        "name: modes\ndefaults: {image: 'fly/busybox:test'}\nnetworks: {back: {subnet: 10.10.0.0/24}}\nmachines:\n\
         \x20 alone: {network_mode: none}\n\
         \x20 host: {network_mode: host}\n\
         \x20 guest: {network_mode: 'container:stranger'}\n\
         \x20 owner: {nics: {eth0: back}}\n\
         \x20 member: {network_mode: 'machine:owner'}\n\
         \x20 many: {scale: 3, nics: {eth0: back}, links: [owner]}\n",
    );
    project.fly(&["up", "--yes"]).success();
    let links = |name: &str| lab.docker(&["exec", name, "ls", "/sys/class/net"]);
    assert_eq!(links("modes.alone"), "lo\n");
    assert!(links("modes.host").contains("eth1"), "{}", links("modes.host"));
    let netns = |name: &str| {
        let (pid, _) = lab.pid_and_start(name);
        lab.machine().ok(&["readlink", &format!("/proc/{pid}/ns/net")])
    };
    assert_eq!(netns("modes.guest"), netns("stranger"));
    assert_eq!(netns("modes.member"), netns("modes.owner"));
    for name in ["modes.many-1", "modes.many-2", "modes.many-3"] {
        lab.docker(&["exec", name, "ping", "-c1", "-W2", "owner"]);
    }
    // What everybody in a group is called leads to one of them, and the machine in another's namespace is found there.
    lab.docker(&["exec", "modes.owner", "ping", "-c1", "-W2", "many"]);
    lab.docker(&["exec", "modes.many-1", "ping", "-c1", "-W2", "member"]);
    project.fly(&["plan", "--check"]).success();
    let guest = lab.pid_and_start("modes.many-1");
    project.write(
        "fly.yml",
        "name: modes\ndefaults: {image: 'fly/busybox:test'}\nnetworks: {back: {subnet: 10.10.0.0/24}}\nmachines:\n\
         \x20 alone: {network_mode: host}\n\
         \x20 owner: {nics: {eth0: back}}\n\
         \x20 member: {nics: {eth0: back}}\n\
         \x20 many: {scale: 1, nics: {eth0: back}, links: [owner]}\n",
    );
    project.fly(&["plan", "--check"]).expect_code(3);
    project.fly(&["up", "--yes"]).success();
    project.fly(&["plan", "--check"]).success();
    assert_eq!(lab.pid_and_start("modes.many-1"), guest);
    assert_eq!(lab.docker(&["ps", "--format", "{{.Names}}"]).lines().count(), 5);
}

/// On the host's network nothing of `/etc/hosts` can change but by making the machine anew.
#[test]
fn extra_hosts_on_the_hosts_network() {
    let lab = Lab::start();
    let file = |address: &str| {
        format!("name: keys\nmachines: {{host: {{image: 'fly/busybox:test', network_mode: host, extra_hosts: ['far:{address}']}}}}\n")
    };
    let project = lab.project("keys", &file("192.0.2.7"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    project.write("fly.yml", &file("192.0.2.8"));
    assert_eq!(changes(&project), [change("machine/host", "replace", &["extra_hosts"])]);
    project.fly(&["up", "--yes"]).success();
    assert!(lab.docker(&["exec", "keys.host", "cat", "/etc/hosts"]).contains("192.0.2.8"));
    assert_eq!(changes(&project), vec![]);
}

/// The engine never labels a privileged machine, and says so of its own accord.
#[test]
fn options_of_a_privileged_machine() {
    let lab = Lab::start();
    for options in ["", "label=disable", "no-new-privileges"] {
        let file = format!(
            "name: keys\nmachines: {{all: {{image: 'fly/busybox:test', network_mode: none, privileged: true, security_opt: [{options}]}}}}\n"
        );
        let project = lab.project("keys", &file);
        // Not every machine lets its containers have all rights: then it is made and does not start.
        project.fly(&["up", "--yes"]);
        assert_eq!(lab.inspect("keys.all")["HostConfig"]["Privileged"], true);
        let found = changes(&project);
        assert!(found.is_empty() || found == [change("machine/all", "update", &["state"])], "{options}: {found:?}");
        project.fly(&["down", "--yes"]).success();
    }
}
