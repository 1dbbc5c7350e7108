//! From the text of a file to what the world is to be, and to what is said of a file that cannot be.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fly::desired::{Context, Desired, DesiredState, EnvText, resolve, to_yaml};
use fly::diag::Diagnostic;
use fly::types::Name;

fn context() -> Context {
    Context {
        directory: "/srv/shop".into(),
        home: Some("/home/ada".into()),
        environment: [("TOKEN".to_owned(), "s3cret".to_owned())].into(),
        guest: "0123456789ab".into(),
        env_files: [("web.env", Ok("A=1\nB=2\n".to_owned())), ("gone.env", Err("no such file".to_owned()))]
            .map(|(path, text)| (path.to_owned(), EnvText { shown: path.to_owned(), text }))
            .into(),
        ..Context::default()
    }
}

fn try_resolve(text: &str) -> Result<Desired, Vec<Diagnostic>> {
    let spec = fly::spec::parse("fly.yml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{}{text}", told(&errors)));
    resolve(&spec, &context())
}

fn resolved(text: &str) -> Desired {
    try_resolve(text).unwrap_or_else(|errors| panic!("{}{text}", told(&errors)))
}

/// Diagnostics as short as they can be compared.
fn told(errors: &[Diagnostic]) -> String {
    let mut out = String::new();
    for error in errors {
        let place = error.place.as_ref().map_or("-".to_owned(), |place| format!("{}:{}", place.line, place.column));
        let _ = writeln!(out, "  {place} {}", error.message);
        if let Some(label) = &error.label {
            let _ = writeln!(out, "      here: {label}");
        }
        for (place, text) in &error.also {
            let _ = writeln!(out, "      {}:{} {text}", place.line, place.column);
        }
        for cause in &error.causes {
            let _ = writeln!(out, "      because: {cause}");
        }
        for hint in &error.hints {
            let _ = writeln!(out, "      hint: {hint}");
        }
    }
    out
}

/// What is said of each of several files, in one text: the files are given without what is the same in all.
fn all_told(files: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, text) in files {
        let text = text.trim_start_matches('\n');
        match try_resolve(text) {
            Ok(_) => panic!("`{name}` is no error:\n{text}"),
            Err(errors) => {
                assert!(errors.iter().all(|error| !error.hints.is_empty()), "no hint:\n{}", told(&errors));
                let _ = writeln!(out, "{name}\n{}", told(&errors));
            }
        }
    }
    out
}

const WHOLE: &str = r#"
name: shop
defaults: {restart: unless-stopped, environment: {MODE: dev, ZONE: a}, labels: {team: red}}
networks:
  lan: {parent: eth1, subnet: 192.168.1.0/24, gateway: 192.168.1.1, pool: 192.168.1.100-192.168.1.199, host_ip: 192.168.1.99}
  back: {subnet: [10.10.0.0/24, "fd00:10::/64"], mtu: 9000, host_ip: 10.10.0.1}
  old: {bridge: br0}
  out: {kind: nat}
machines:
  web:
    image: debian:12
    nics:
      eth0: {network: lan, ip: 192.168.1.100, mac: "02:00:5e:10:00:01"}
      eth1: {network: back, ip: auto, routes: [{to: 10.30.0.0/16, via: 10.10.0.1}]}
      eth2: {network: lan, ip: none}
      eth3: out
      eth4: {network: old, ip: 172.16.0.5/16, up: false, probe: false, mac: "U:old"}
    volumes: ["./src:/srv/app", "data:/var/lib/app:ro", "~/keys:/keys:ro,Z", "/scratch", {type: tmpfs, target: /cache, tmpfs: {size: 64M, mode: 01777}}]
    tmpfs: "/run:size=1m,noexec"
    links: [db, "db:database"]
    depends_on: {job: {condition: completed}, nothing: {required: false}}
    command: ["/srv/app/run", "$$HOME"]
    env_file: web.env
    environment: {MODE: test, B: "3", TOKEN: , MISSING: }
    ports: ["8080:80", "127.0.0.1:9000-9001:90-91/udp"]
    cpus: 1.5
    memory: 512M
    stop_signal: INT
    healthcheck: {test: [CMD, "true"], interval: 10s}
    labels: {tier: front}
    extra_hosts: ["printer:192.168.1.7"]
  db:
    image: postgres:16
    nics: {eth0: back}
    volumes: ["pg:/var/lib/postgresql/data"]
    hostname: database.shop
  job: {image: busybox, restart: "no"}
  sidecar: {image: busybox, network_mode: "machine:web"}
  node: {image: busybox, scale: 2, nics: {eth0: back}, guest: true}
  bastion:
    image: debian:12
    nics: {eth0: back}
    sshd:
      port: 2222
      users:
        root:
        ada: {authorized_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2yYx3fG2cZ0oYwUqI9d8B8l2yWw5m0m8oRrG1q2h3k ada"], password: "$$6$$salt$$hash"}
links:
  - [web:eth5, db:eth5]
  - {ends: [{nic: web:eth6, ip: 10.0.0.1/30}, {nic: db:eth6, ip: 10.0.0.2/30}], mtu: 9000}
volumes: {data: {labels: {keep: "yes"}}, pg: {external: postgres-data}}
"#;

#[test]
fn everything_that_a_file_can_say_is_decided() {
    insta::assert_snapshot!("whole", to_yaml(&resolved(WHOLE)));
}

/// What `to_yaml` does not show.
#[test]
fn the_engine_and_the_host_get_names_and_marks() {
    let desired = resolved(WHOLE);
    let name = |text: &str| Name::new(text).unwrap();
    let mut out = String::new();
    for (name, network) in &desired.networks {
        let _ = writeln!(out, "network {name} {:#?}\n{:#?}", network.kind, network.host_link);
    }
    let web = &desired.machines[&name("web")];
    let _ = writeln!(out, "{} {:?} {:?}", web.name, web.container.labels, web.container.mounts);
    for (card, nic) in &web.nics {
        let _ = writeln!(out, "{card} {:?} {:?}", nic.attach, nic.routes);
    }
    for (machine, m) in &desired.machines {
        let hosts: Vec<String> = m.hosts.iter().map(ToString::to_string).collect();
        let _ = writeln!(out, "{machine} needs {:?}, is {:?}, finds {hosts:#?}", m.depends_on, m.state);
    }
    for (volume, v) in &desired.volumes {
        let _ = writeln!(out, "volume {volume} {} {:?}", v.name, v.labels);
    }
    insta::assert_snapshot!("names", out);
    assert_eq!(desired.machines[&name("job")].state, DesiredState::RunningOrCompleted);
}

#[test]
fn fields_know_their_line() {
    let desired = resolved(WHOLE);
    let web = &desired.machines[&Name::new("web").unwrap()];
    let line = |field: &str| web.places.of(field).map(|place| place.line);
    assert_eq!((line("memory"), line("image"), line("restart")), (Some(27), Some(11), Some(3)));
    // What nobody wrote is the machine's own.
    assert_eq!(line("dns"), Some(10));
    let eth0 = web.nics.iter().next().unwrap().1;
    assert_eq!((eth0.places.of("mac").unwrap().line, eth0.places.of("mtu").unwrap().line), (13, 13));
    assert!(desired.networks[&Name::new("default").unwrap()].places.of("subnet").is_none(), "nobody wrote the default network");
}

/// The resolved file says the same as the file: nothing is lost in printing it, and nothing decided anew in reading it.
#[test]
fn what_is_printed_can_be_read_again() {
    let mut first = resolved(WHOLE);
    let text = to_yaml(&first);
    let mut second = resolved(&text);
    strip(&mut first);
    strip(&mut second);
    assert_eq!(to_yaml(&second), text);
    assert_eq!(format!("{first:#?}"), format!("{second:#?}"));
}

/// Without what the printed file cannot say: where things stood, and that a machine was one of several.
fn strip(desired: &mut Desired) {
    for network in desired.networks.values_mut() {
        network.places = fly::desired::Places::default();
    }
    for volume in desired.volumes.values_mut() {
        volume.places = fly::desired::Places::default();
    }
    for cable in desired.cables.values_mut() {
        cable.places = fly::desired::Places::default();
    }
    for machine in desired.machines.values_mut() {
        machine.places = fly::desired::Places::default();
        for nic in machine.nics.values_mut() {
            nic.places = fly::desired::Places::default();
        }
    }
}

#[test]
fn the_order_in_the_file_means_nothing_to_addresses() {
    let machines = ["web", "db", "cache", "queue"];
    let file = |order: &[&str]| {
        let lines: Vec<String> = order.iter().map(|m| format!("  {m}: {{image: x, nics: {{eth0: back}}}}")).collect();
        format!("name: shop\nnetworks: {{back: {{}}, far: {{}}}}\nmachines:\n{}\n", lines.join("\n"))
    };
    let mut turned = machines;
    turned.reverse();
    let addresses = |desired: &Desired| -> Vec<_> {
        desired.machines.iter().map(|(name, machine)| (name.clone(), machine.nics.values().next().unwrap().addresses.clone())).collect()
    };
    let (one, other) = (resolved(&file(&machines)), resolved(&file(&turned)));
    assert_eq!(addresses(&one), addresses(&other));
    let fewer = addresses(&resolved(&file(&machines[..2])));
    assert!(fewer.iter().all(|entry| addresses(&one).contains(entry)), "{fewer:?}");
}

#[test]
fn a_project_is_called_after_its_folder() {
    let spec = fly::spec::parse("fly.yml", "machines: {web: {image: x}}\n", &BTreeMap::new()).unwrap();
    let named =
        |directory: &str| resolve(&spec, &Context { directory: directory.into(), ..Context::default() }).map(|d| d.project.to_string());
    assert_eq!(named("/srv/My Shop.2").unwrap(), "myshop2");
    assert_eq!(named("/srv/_x/").unwrap(), "x");
    assert_eq!(
        told(&named("/").unwrap_err()),
        "  - the project has no name, and its folder `/` gives none\n      hint: `name: shop` at the top of the file\n"
    );
}

#[test]
fn networks_that_cannot_be() {
    let files = [
        (
            "kinds",
            "
name: shop
networks:
  a: {kind: nat, parent: eth0, bridge: br0, mode: vepa, host_ip: 10.0.0.1, subnet: 10.0.0.0/24}
  b: {kind: macvlan}
  c: {parent: eth0, bridge: br0, internal: true}
  d: {bridge: br0, host_ip: 10.1.0.1, subnet: 10.1.0.0/24}
  e: {parent: eth0, mode: private, host_ip: 10.2.0.1, subnet: 10.2.0.0/24}
machines: {}
",
        ),
        (
            "subnets",
            "
name: shop
networks:
  b: {subnet: [10.1.0.0/16, 10.1.1.0/24]}
  c: {kind: nat, subnet: none}
  d: {kind: nat, subnet: \"fd00::/64\"}
  e: {kind: nat, subnet: [10.3.0.0/24, 10.4.0.0/24]}
  e2: {kind: nat, subnet: 10.6.0.0/31}
  f: {subnet: 10.5.0.0/16}
  g: {kind: nat, subnet: 10.5.7.0/24}
  h: {parent: eth0, subnet: 10.5.7.0/24}
machines: {}
",
        ),
        (
            "addresses that no card can have",
            "
name: shop
networks:
  a: {subnet: 224.0.0.0/24}
  b: {subnet: 127.5.0.0/24}
  c: {subnet: \"ff02::/64\"}
  d: {parent: eth0, subnet: 96.0.0.0/3}
  e: {subnet: 255.255.255.0/24}
machines: {a: {image: x, nics: {eth0: a, eth1: b, eth2: c}}}
",
        ),
        (
            "their own addresses",
            "
name: shop
networks:
  a: {subnet: 10.0.0.0/24, gateway: 10.0.1.1}
  b: {subnet: 10.1.0.0/24, host_ip: 10.1.0.255, pool: 10.1.0.200-10.1.1.4}
  c: {subnet: none, gateway: 10.0.0.1}
  d: {parent: eth0, pool: 10.0.0.1-10.0.0.9}
  e: {subnet: 10.2.0.0/24, gateway: [10.2.0.1, 10.2.0.2], pool: [10.2.0.10-10.2.0.20, 10.2.0.20-10.2.0.30]}
machines: {}
",
        ),
    ];
    insta::assert_snapshot!("networks", all_told(&files));
}

#[test]
fn cards_that_cannot_be() {
    let files = [
        (
            "addresses",
            "
name: shop
networks:
  lan: {parent: eth1, subnet: 192.168.1.0/24, gateway: 192.168.1.1, host_ip: 192.168.1.9}
  bare: {parent: eth2}
  out: {kind: nat, subnet: 10.9.0.0/24}
  tiny: {subnet: 10.8.0.0/30, host_ip: 10.8.0.1}
machines:
  a: {image: x, nics: {eth0: {network: lan, ip: 192.168.2.7}, eth1: {network: lan, ip: 192.168.1.7/16}}}
  b: {image: x, nics: {eth0: {network: lan, ip: 192.168.1.0}, eth1: {network: lan, ip: 192.168.1.1}, eth2: {network: lan, ip: 192.168.1.9}}}
  c: {image: x, nics: {eth0: {network: bare, ip: auto}, eth1: {network: bare, ip: 10.0.0.5}, eth2: {network: bare, ip: 10.0.0.0/24}}}
  d: {image: x, nics: {eth0: {network: out, ip: none}, eth1: {network: out}}}
  e: {image: x, nics: {eth0: {network: out, ip: [10.9.0.7, 10.9.0.8]}}}
  f: {image: x, nics: {eth0: tiny}}
  g: {image: x, nics: {eth0: tiny}}
  h: {image: x, nics: {eth0: {network: lan, ip: 192.168.1.20}}}
  i: {image: x, nics: {eth0: {network: lan, ip: 192.168.1.20}}}
  j: {image: x, nics: {eth0: outt, eth1: {ip: auto}}}
",
        ),
        (
            "macs and mtus",
            "
name: shop
networks:
  lan: {parent: eth1}
  guest: {parent: eth1}
  back: {subnet: [10.1.0.0/24, \"fd00::/64\"], mtu: 1000}
machines:
  a: {image: x, nics: {eth0: {network: lan, mac: \"02:00:00:00:00:01\"}, eth1: back}}
  b: {image: x, nics: {eth0: {network: guest, mac: \"02:00:00:00:00:01\"}, eth1: {network: back, mtu: 9000, ip: 10.1.0.9}}}
",
        ),
        (
            "routes",
            "
name: shop
networks:
  lan: {parent: eth1, subnet: 10.1.0.0/24, gateway: 10.1.0.1}
  bare: {parent: eth2}
machines:
  a:
    image: x
    nics:
      eth0: {network: lan, gateway: 10.2.0.1}
      eth1: {network: bare, gateway: 10.3.0.1}
      eth2: {network: lan, ip: 10.1.0.7, routes: [{to: 10.8.0.0/16, via: 10.1.0.7}, {to: default}]}
  b:
    image: x
    nics:
      eth0: {network: lan, gateway: 10.1.0.1}
      eth1: {network: lan, routes: [default via 10.1.0.2, 10.5.0.0/16 via 10.1.0.3, 10.5.0.0/16 via 10.1.0.4]}
",
        ),
        (
            "cables",
            "
name: shop
networks: {back: {}}
machines:
  a: {image: x, nics: {eth0: back}}
  b: {image: x, scale: 2}
  c: {image: x, network_mode: host}
  d: {image: x, nics: {}}
links:
  - [a:eth0, d:eth1]
  - [a:eth1, d:eth1]
  - [b:eth1, dd:eth1]
  - [c:eth1, d:eth2]
  - {ends: [{nic: a:eth7, ip: 10.0.0.3/30}, {nic: d:eth7, ip: 10.0.0.1/30}]}
  - {ends: [{nic: a:eth8, ip: 10.0.0.1/30}, {nic: d:eth8, ip: 10.0.0.1/30}]}
",
        ),
    ];
    insta::assert_snapshot!("cards", all_told(&files));
}

#[test]
fn machines_that_cannot_be() {
    let files = [
        (
            "network_mode and ports",
            "
name: shop
networks: {back: {}}
machines:
  a: {image: x, network_mode: host, nics: {eth0: back}, ports: [80]}
  b: {image: x, network_mode: 'machine:a', hostname: b, dns: 10.0.0.1, extra_hosts: ['x:10.0.0.2'], sysctls: {net.ipv4.ip_forward: 1}}
  c: {image: x, nics: {eth0: back}, ports: ['80:80']}
  d: {image: x, ports: ['8080:80', '9000:90']}
  e: {image: x, ports: ['127.0.0.1:8080:80', '9000:90/udp']}
  f: {image: x, network_mode: 'machine:zz'}
  g: {image: x, network_mode: 'container:shop.c'}
  h: {image: x, network_mode: 'container:shop.other'}
",
        ),
        (
            "scale",
            "
name: shop
networks: {back: {subnet: 10.0.0.0/24}}
machines:
  a: {image: x, scale: 2, hostname: a, ports: ['80:80'], nics: {eth0: {network: back, ip: 10.0.0.5, mac: '02:00:00:00:00:01'}}}
  a-1: {image: x}
  b: {image: x, network_mode: 'machine:a'}
",
        ),
        (
            "order",
            "
name: shop
machines:
  a: {image: x, depends_on: [b]}
  b: {image: x, links: [c]}
  c: {image: x, network_mode: 'machine:a'}
  d: {image: x, depends_on: [d]}
  e: {image: x, depends_on: {f: {condition: completed}, g: {condition: healthy}, h: {}}}
  f: {image: x, restart: always}
  g: {image: x, healthcheck: {disable: true}}
",
        ),
        (
            "links",
            "
name: shop
networks: {back: {}, front: {}, bare: {parent: eth0}}
machines:
  a: {image: x, nics: {eth0: back, eth1: bare}, links: [b, c]}
  b: {image: x, nics: {eth0: front}}
  c: {image: x, nics: {eth0: bare}}
",
        ),
        (
            "mounts",
            "
name: shop
machines:
  a:
    image: x
    volumes: ['daat:/data', '~root/x:/x', './a:/a', './b:/a/', './c:/.fly/bin/', './d:/.flying']
    tmpfs: [/a]
  b:
    image: x
    volumes:
      - {type: volume, target: /x, read_only: true}
      - {type: bind, source: './y:y', target: /y, bind: {selinux: z}}
      - {type: bind, source: './z:z', target: /z}
volumes: {data: {}}
",
        ),
        (
            "the rest",
            "
name: shop
machines:
  a: {image: x, env_file: [gone.env, {path: gone.env, required: false}], working_dir: srv, stop_signal: SIGTREM}
",
        ),
    ];
    insta::assert_snapshot!("machines", all_told(&files));
}

#[test]
fn what_defaults_say_wrongly_is_said_once() {
    let text =
        "name: shop\ndefaults: {stop_signal: NOPE, ports: ['80:80']}\nmachines: {a: {image: x}, b: {image: x, scale: 3, ports: []}}\n";
    assert_eq!(try_resolve(text).unwrap_err().len(), 1);
}

#[test]
fn defaults_lie_under_a_machine() {
    let text = "
name: shop
networks: {back: {}}
defaults: {image: x, environment: {A: '1', B: '1'}, cap_add: [NET_ADMIN], depends_on: [db], network_mode: host}
machines:
  db: {cap_add: [SYS_TIME], environment: {B: '2'}}
  web: {nics: {eth0: back}}
";
    insta::assert_snapshot!("defaults", to_yaml(&resolved(text)));
}
