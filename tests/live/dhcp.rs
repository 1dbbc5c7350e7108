//! Addresses that the network gives: a real dnsmasq, on the pretend LAN.

use std::time::Duration;

use crate::sample::changes_in;
use crate::support::{Lab, Output, Project, Running, command, eventually};

/// The server, with leases of two minutes: it knows no shorter ones.
fn dnsmasq(lab: &Lab, more: &[&str]) -> Running {
    let at = |file: &str| lab.dir().join(file).display().to_string();
    let (leases, log) = (format!("--dhcp-leasefile={}", at("dnsmasq.leases")), format!("--log-facility={}", at("dnsmasq.log")));
    let argv =
        [
            &[
                "dnsmasq",
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--port=0",
                "--interface=eth0",
                "--pid-file=",
                &log,
                "--log-dhcp",
            ][..],
            &["--dhcp-authoritative", "--no-ping", &leases],
            more,
        ]
        .concat();
    lab.lan_neighbour().running(command(&argv), Duration::from_secs(300))
}

const V4: [&str; 4] = [
    "--dhcp-range=192.168.77.150,192.168.77.160,2m",
    "--dhcp-option=option:router,192.168.77.2",
    "--dhcp-option=option:dns-server,192.168.77.253",
    "--dhcp-option=option:domain-search,lab.example",
];

const FILE: &str = "name: shop
networks: {lan: {parent: eth1}}
machines:
  web:
    image: fly/busybox:test
    restart: always
    hostname: web-of-shop
    command: [sh, -c, 'ip -o -4 addr show dev eth2 > /tmp/first; exec sleep 100000']
    nics: {eth2: {network: lan, ip: dhcp}}
";

fn fly(project: &Project<'_>, args: &[&str]) -> Output {
    project.command().with_agent().args(args).run()
}

/// What the server has to say of it.
fn said(lab: &Lab) -> String {
    std::fs::read_to_string(lab.dir().join("dnsmasq.log")).unwrap_or_default()
}

fn given(lab: &Lab) -> String {
    std::fs::read_to_string(lab.dir().join("dnsmasq.leases")).unwrap_or_default()
}

fn address(lab: &Lab) -> Option<String> {
    let text = lab.container("shop.web").run(&["ip", "-o", "-4", "addr", "show", "dev", "eth2"]).stdout;
    text.split_whitespace().find(|word| word.starts_with("192.168.77.1")).map(str::to_owned)
}

#[test]
fn a_lease_is_got_kept_and_given_back() {
    let lab = Lab::start();
    let _server = dnsmasq(&lab, &V4);
    let project = lab.project("shop", FILE);
    let tcpdump = crate::neighbours::listen(&lab);
    let up = fly(&project, &["up", "--yes"]);
    assert!(up.success().stderr.contains("get an address by dhcp for web:eth2"), "{up}");
    let first = address(&lab).unwrap_or_else(|| panic!("{}", lab.in_machine("shop.web", &["ip", "addr"])));
    assert!(first.starts_with("192.168.77.1") && first.ends_with("/24"), "{first}");
    // What the server says, and what came with it.
    assert!(given(&lab).contains("web-of-shop"), "{}", given(&lab));
    assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("default via 192.168.77.2"));
    let resolv = lab.docker(&["exec", "shop.web", "cat", "/etc/resolv.conf"]);
    assert!(resolv.contains("nameserver 192.168.77.253") && resolv.contains("search lab.example"), "{resolv}");
    let own = first.split('/').next().unwrap();
    eventually("what the neighbours are told", Duration::from_secs(5), || {
        let text = tcpdump.so_far();
        let told = text
            .lines()
            .filter(|line| line.contains(&format!("{own} tell {own}")) || line.contains(&format!("Announcement {own}")))
            .count();
        if told >= 3 { Ok(()) } else { Err(text) }
    });
    // The program has waited for it.
    assert!(lab.docker(&["exec", "shop.web", "cat", "/tmp/first"]).contains(&first));
    assert_eq!(changes_in(&fly(&project, &["plan", "--format", "json"])), vec![]);
    lab.lan_neighbour().ok(&["ping", "-c1", "-W3", first.split('/').next().unwrap()]);
    // Taken away by hand: drift, and the next `up` puts it right; but the agent may be faster.
    lab.in_machine("shop.web", &["ip", "addr", "flush", "dev", "eth2"]);
    eventually("the agent", Duration::from_secs(20), || address(&lab).map(drop).ok_or_else(|| said(&lab)));
    // A new life, the same address.
    lab.docker(&["restart", "--time=0", "shop.web"]);
    eventually(
        "the same address",
        Duration::from_secs(20),
        || {
            if address(&lab).as_ref() == Some(&first) { Ok(()) } else { Err(said(&lab)) }
        },
    );
    assert!(lab.docker(&["exec", "shop.web", "cat", "/tmp/first"]).contains(&first));
    // Renewed: the time that is left grows again, and the address is never away.
    let left = || {
        let text = lab.in_machine("shop.web", &["ip", "-o", "-4", "addr", "show", "dev", "eth2"]);
        let words: Vec<&str> = text.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "valid_lft")?;
        words.get(at + 1)?.strip_suffix("sec")?.parse::<u32>().ok()
    };
    lab.in_machine("shop.web", &["ip", "addr", "change", &first, "dev", "eth2", "valid_lft", "50", "preferred_lft", "50"]);
    eventually("renewal", Duration::from_secs(20), || match left() {
        Some(51..) => Ok(()),
        other => Err(format!("{other:?}\n{}", lab.try_docker(&["logs", "fly-agent"]).stderr)),
    });
    assert_eq!(address(&lab).as_ref(), Some(&first));
    // Other ways of getting one, live.
    let pid = lab.pid_and_start("shop.web");
    project.write("fly.yml", &FILE.replace("ip: dhcp", "ip: 192.168.77.30/24"));
    fly(&project, &["up", "--yes"]).success();
    assert!(!given(&lab).contains("web-of-shop"), "given back: {}", given(&lab));
    assert!(address(&lab).is_none_or(|address| address == "192.168.77.30/24"));
    let resolv = lab.docker(&["exec", "shop.web", "cat", "/etc/resolv.conf"]);
    assert!(!resolv.contains("192.168.77.253"), "{resolv}");
    project.write("fly.yml", FILE);
    fly(&project, &["up", "--yes"]).success();
    assert_eq!(address(&lab).as_ref(), Some(&first));
    assert_eq!(lab.pid_and_start("shop.web"), pid);
    fly(&project, &["down", "--yes"]).success();
    assert!(!given(&lab).contains("web-of-shop"), "given back: {}\n{}", given(&lab), said(&lab));
}

#[test]
fn without_a_server_or_an_agent_it_is_said() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    let alone = project.fly(&["plan"]);
    assert!(alone.expect_code(65).stderr.contains("needs the agent"), "{alone}");
    let up = fly(&project, &["up", "--yes"]);
    assert!(up.expect_code(6).stderr.contains("no DHCP server has answered within 15 s"), "{up}");
    // Now there is one. The agent has its orders all the same, and asks again and again.
    let _server = dnsmasq(&lab, &V4);
    eventually("an address, without another `up`", Duration::from_secs(60), || {
        address(&lab).map(drop).ok_or_else(|| lab.try_docker(&["logs", "fly-agent"]).stderr)
    });
    assert_eq!(changes_in(&fly(&project, &["plan", "--format", "json"])), vec![]);
    fly(&project, &["up", "--yes"]).success();
    fly(&project, &["down", "--yes"]).success();
}

#[test]
fn a_lease_that_runs_out_or_is_refused_is_got_anew() {
    let lab = Lab::start();
    let mut server = dnsmasq(&lab, &V4);
    let project = lab.project("shop", FILE);
    fly(&project, &["up", "--yes"]).success();
    assert!(!server.has_ended());
    // The server's net is another by now: what the card asks to keep is refused, and it gets one of the new ones.
    server.kill();
    std::fs::remove_file(lab.dir().join("dnsmasq.leases")).unwrap();
    let moved = dnsmasq(&lab, &["--dhcp-range=192.168.77.120,192.168.77.125,2m"]);
    let now = address(&lab).unwrap();
    lab.in_machine("shop.web", &["ip", "addr", "change", &now, "dev", "eth2", "valid_lft", "20", "preferred_lft", "20"]);
    eventually("another address", Duration::from_secs(40), || match address(&lab) {
        Some(address) if address.starts_with("192.168.77.12") => Ok(()),
        other => Err(format!("{other:?}\n{}\n{}", said(&lab), lab.try_docker(&["logs", "fly-agent"]).stderr)),
    });
    // Nobody answers any more: the address goes when its time is over, and not before; and comes with the server.
    moved.kill();
    let now = address(&lab).unwrap();
    lab.in_machine("shop.web", &["ip", "addr", "change", &now, "dev", "eth2", "valid_lft", "3", "preferred_lft", "3"]);
    eventually("its end", Duration::from_secs(20), || address(&lab).map_or(Ok(()), Err));
    let _back = dnsmasq(&lab, &V4);
    eventually("an address", Duration::from_secs(60), || {
        address(&lab).map(drop).ok_or_else(|| lab.try_docker(&["logs", "fly-agent"]).stderr)
    });
    fly(&project, &["down", "--yes"]).success();
}

#[test]
fn addresses_of_ipv6_come_from_a_server_or_a_router() {
    let lab = Lab::start();
    lab.neighbour(&["ip", "addr", "add", "fe80::2/64", "dev", "eth0", "nodad"]);
    let _server = dnsmasq(
        &lab,
        &[
            "--dhcp-range=fd00:77::100,fd00:77::1ff,slaac,64,2m",
            "--enable-ra",
            "--ra-param=eth0,high,4,1800",
            "--dhcp-option=option6:dns-server,[fd00:77::2]",
        ],
    );
    let file = FILE.replace("ip: dhcp}", "ip: dhcp6}, eth3: {network: lan, ip: slaac}").replace("-4 addr", "-6 addr");
    let project = lab.project("shop", &file);
    let up = fly(&project, &["up", "--yes"]);
    assert_eq!(up.code, 0, "{up}\n{}\n{}", said(&lab), lab.in_machine("shop.web", &["ip", "addr"]));
    let addresses = |card: &str| lab.in_machine("shop.web", &["ip", "-o", "-6", "addr", "show", "dev", card, "scope", "global"]);
    assert!(addresses("eth2").contains("fd00:77::1"), "{}\n{}", addresses("eth2"), said(&lab));
    assert!(addresses("eth2").contains("/128"), "{}", addresses("eth2"));
    // The router's prefix, and the card's own half.
    let own = addresses("eth3");
    assert!(own.contains("fd00:77::") && own.contains("/64") && own.contains("dynamic"), "{own}");
    assert_eq!(changes_in(&fly(&project, &["plan", "--format", "json"])), vec![]);
    assert!(given(&lab).contains("fd00:77::1"), "{}", given(&lab));
    let resolv = lab.docker(&["exec", "shop.web", "cat", "/etc/resolv.conf"]);
    assert!(resolv.contains("nameserver fd00:77::2"), "{resolv}");
    fly(&project, &["down", "--yes"]).success();
    assert!(!given(&lab).contains("fd00:77::1"), "given back: {}\n{}", given(&lab), said(&lab));
}
