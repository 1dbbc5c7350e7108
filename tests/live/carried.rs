//! What cards carry besides addresses: routes of all kinds, rules, neighbours, kernel parameters, rates; and `fly impair`.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::sample::{change, changes, edited};
use crate::support::{Lab, Ping, Project, eventually};

const SHOP: &str = r#"
name: shop
defaults: {image: fly/busybox:test}
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24}
  back: {subnet: [10.10.0.0/24, "fd00:10::/64"]}
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  web:
    rules: [from 10.10.0.5 table 100, to 10.9.0.0/16 fwmark 0x10/0xff iif eth1 table 100 priority 500]
    nics:
      eth0: {network: lan, ip: 192.168.77.10, gateway: 192.168.77.2 metric 100}
      eth1:
        network: back
        ip: [10.10.0.5, "fd00:10::5"]
        gateway: 10.10.0.1 metric 200
        routes: [default via 10.10.0.1 table 100, 10.8.0.0/16 via 10.10.0.9 src 10.10.0.5 metric 7, blackhole 10.66.0.0/16]
        rules: ["from fd00:10::5 table 100"]
        neighbours: {10.10.0.77: "02:00:5e:10:00:77"}
        sysctls: {ipv4.rp_filter: 2, net.ipv4.conf.IFNAME.log_martians: 1, ipv6.accept_ra: 0}
        rate: 200mbit
      eth2: {network: out, rate: 50mbit, sysctls: [ipv4.arp_ignore=1]}
  db: {nics: {eth0: {network: back, ip: 10.10.0.6}}}
links:
  - {ends: [{nic: "web:eth5", ip: 10.99.0.1/30}, {nic: "db:eth5", ip: 10.99.0.2/30, rate: 20mbit}], rate: 100mbit}
"#;

fn running(lab: &Lab) -> Project<'_> {
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
    shop
}

/// The lines of a command in a machine, sorted, without the blanks in them that say nothing.
fn lines(lab: &Lab, machine: &str, command: &str) -> Vec<String> {
    let text = lab.in_machine(machine, &["sh", "-c", command]);
    let mut lines: Vec<String> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

/// Everything of that in `web`, as other programs tell it.
fn carried(lab: &Lab) -> Vec<String> {
    let of = |command: &str| lines(lab, "shop.web", command);
    let sysctls = "cd /proc/sys/net; grep . ipv[46]/conf/eth[125]/{rp_filter,log_martians,arp_ignore} ipv6/conf/eth1/accept_ra";
    let all = [
        of("ip -4 route show table all proto 241"),
        of("ip -6 route show table all proto 241"),
        of("ip -d -4 rule show; ip -d -6 rule show"),
        of("ip -d neigh show nud permanent"),
        of(&format!("bash -c '{sysctls}' 2>/dev/null; true")),
        of("tc qdisc show | sed 's/ refcnt.*rate/ rate/; s/burst.*//'"),
        lines(lab, "shop.db", "tc qdisc show dev eth5 | sed 's/ refcnt.*rate/ rate/; s/burst.*//'"),
    ];
    all.concat()
}

#[test]
fn everything_is_as_the_file_says_and_nothing_more_is_done() {
    let lab = Lab::start();
    let shop = running(&lab);
    let seen = carried(&lab);
    for there in [
        "default via 192.168.77.2 dev eth0 metric 100",
        "default via 10.10.0.1 dev eth1 metric 200",
        "default via 10.10.0.1 dev eth1 table 100",
        "10.8.0.0/16 via 10.10.0.9 dev eth1 src 10.10.0.5 metric 7",
        "blackhole 10.66.0.0/16",
        "32765: from 10.10.0.5 lookup 100 proto 241",
        "500: from all to 10.9.0.0/16 fwmark 0x10/0xff iif eth1 lookup 100 proto 241",
        "32765: from fd00:10::5 lookup 100 proto 241",
        "10.10.0.77 dev eth1 lladdr 02:00:5e:10:00:77 PERMANENT proto 241",
        "ipv4/conf/eth1/rp_filter:2",
        "ipv4/conf/eth1/log_martians:1",
        "ipv6/conf/eth1/accept_ra:0",
        "ipv4/conf/eth2/arp_ignore:1",
        "qdisc tbf f1: dev eth1 root rate 200Mbit",
        "qdisc tbf f1: dev eth2 root rate 50Mbit",
        "qdisc tbf f1: dev eth5 root rate 100Mbit",
        "qdisc tbf f1: root rate 20Mbit",
    ] {
        assert!(seen.iter().any(|line| line == there), "`{there}` is not in {seen:#?}");
    }
    // What comes in is shaped where it leaves for the card: at the host's ends of eth1 and of the engine's eth2.
    let host = lab.machine().ok(&["tc", "qdisc", "show"]);
    assert_eq!(host.matches("tbf f1: ").count(), 2, "{host}");
    assert!(host.contains("rate 200Mbit") && host.contains("rate 50Mbit"), "{host}");
    // The way out is the one with the lower metric, and by another address another one.
    let way = |from: &str| lab.in_machine("shop.web", &["ip", "route", "get", "203.0.113.1", "from", from]);
    assert!(way("192.168.77.10").contains("via 192.168.77.2 dev eth0"), "{}", way("192.168.77.10"));
    assert!(way("10.10.0.5").contains("via 10.10.0.1 dev eth1 table 100"), "{}", way("10.10.0.5"));
    // Nothing is left to do, and nothing is done.
    let watch = lab.watch_kernel(&["shop.web", "shop.db"]);
    shop.fly(&["up"]).success();
    assert_eq!(watch.stop(), Vec::<String>::new());
    // In another life of the machine all of it is there again.
    lab.docker(&["restart", "--time=0", "shop.web"]);
    shop.fly(&["up"]).success();
    eventually("the same as before", Duration::from_secs(10), || {
        let now = carried(&lab);
        if now == seen { Ok(()) } else { Err(format!("{now:#?}\nbefore {seen:#?}")) }
    });
    assert_eq!(changes(&shop), vec![]);
    shop.fly(&["down", "--yes"]).success();
}

#[test]
fn whatever_is_changed_by_hand_is_put_right_exactly() {
    let lab = Lab::start();
    let shop = running(&lab);
    let before = carried(&lab);
    let alive = ["shop.web", "shop.db"].map(|name| lab.pid_and_start(name));
    let port = lab.machine().ok(&["sh", "-c", "tc qdisc show | sed -n 's/.*f1: dev \\(fly[^ ]*\\) .*/\\1/p'"]).trim().to_owned();
    let web = "nic/web:eth1";
    let cases: &[(&str, &str, &[&str])] = &[
        ("ip route del default via 192.168.77.2 metric 100", "nic/web:eth0", &["gateway"]),
        ("ip route del default table 100", web, &["routes"]),
        ("ip route replace 10.8.0.0/16 via 10.10.0.9 metric 7", web, &["routes"]),
        ("ip route del blackhole 10.66.0.0/16; ip route add prohibit 10.66.0.0/16", "machine/web", &["routes"]),
        ("ip rule del priority 500", "machine/web", &["rules"]),
        ("ip rule flush priority 32765", "machine/web", &["rules"]),
        ("ip -6 rule del from fd00:10::5 table 100", "machine/web", &["rules"]),
        ("ip neigh del 10.10.0.77 dev eth1", web, &["neighbours"]),
        ("ip neigh replace 10.10.0.77 lladdr 02:00:00:00:00:01 dev eth1 nud permanent", web, &["neighbours"]),
        ("echo 0 >/proc/sys/net/ipv4/conf/eth1/rp_filter", web, &["sysctls.ipv4.rp_filter"]),
        ("echo 2 >/proc/sys/net/ipv6/conf/eth1/accept_ra", web, &["sysctls.ipv6.accept_ra"]),
        ("tc qdisc del dev eth1 root", web, &["rate"]),
        ("tc qdisc replace dev eth1 root handle f1: tbf rate 3mbit burst 5k latency 9ms", web, &["rate"]),
        ("tc qdisc del dev eth1 root; tc qdisc add dev eth1 root handle 7: htb", web, &["rate", "qdisc"]),
        ("tc qdisc del dev eth2 root", "nic/web:eth2", &["rate"]),
        ("tc qdisc del dev eth5 root", "nic/web:eth5", &["rate"]),
    ];
    let put_right = |by_hand: &str, addr: &str, fields: &[&str]| {
        assert_eq!(changes(&shop), vec![change(addr, "update", fields)], "{by_hand}");
        let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.10");
        let output = shop.fly(&["up"]);
        output.success();
        assert_eq!(ping.stop().lost, 0, "{by_hand}");
        assert_eq!(changes(&shop), vec![], "{by_hand}: {output}");
        let now = carried(&lab);
        assert_eq!(now, before, "{by_hand}");
    };
    for (by_hand, addr, fields) in cases {
        lab.in_machine("shop.web", &["sh", "-c", by_hand]);
        put_right(by_hand, addr, fields);
    }
    // At the end on the host.
    lab.machine().ok(&["tc", "qdisc", "del", "dev", &port, "root"]);
    put_right("the host's end", web, &["rate"]);
    assert!(lab.machine().ok(&["tc", "qdisc", "show", "dev", &port]).contains("rate 200Mbit"));
    assert_eq!(["shop.web", "shop.db"].map(|name| lab.pid_and_start(name)), alive);
}

#[test]
fn what_others_have_put_there_stays() {
    let lab = Lab::start();
    let shop = running(&lab);
    for by_hand in [
        "ip rule add from 10.3.0.0/16 table 33 priority 77",
        "ip route add 10.3.0.0/16 via 10.10.0.8 table 33",
        "ip route add unreachable 10.4.0.0/16",
        "ip neigh add 10.10.0.78 lladdr 02:00:00:00:00:78 dev eth1 nud permanent",
        "tc qdisc add dev eth0 root handle 7: htb",
    ] {
        lab.in_machine("shop.web", &["sh", "-c", by_hand]);
    }
    assert_eq!(changes(&shop), vec![]);
    let notes = shop.fly(&["plan"]);
    for note in [
        "web also has rule from 10.3.0.0/16 table 33 priority 77,",
        "web:eth1 also has route 10.3.0.0/16 via 10.10.0.8 table 33,",
        "web also has route unreachable 10.4.0.0/16,",
        "web:eth1 also has neighbour 10.10.0.78 02:00:00:00:00:78,",
        "web:eth0 also has qdisc htb 7:,",
    ] {
        assert!(format!("{notes}").contains(note), "{note}: {notes}");
    }
    // Also when fly's own beside them go.
    let all = "rules: [from 10.10.0.5 table 100, to 10.9.0.0/16 fwmark 0x10/0xff iif eth1 table 100 priority 500]\n    ";
    let bare = [
        (all, ""),
        (", blackhole 10.66.0.0/16", ""),
        ("        neighbours: {10.10.0.77: \"02:00:5e:10:00:77\"}\n", ""),
        ("        rate: 200mbit\n", ""),
    ];
    shop.write("fly.yml", &bare.iter().fold(SHOP.to_owned(), |text, (from, to)| edited(&text, from, to)));
    assert_eq!(
        changes(&shop),
        vec![change("machine/web", "update", &["rules", "routes"]), change("nic/web:eth1", "update", &["rate", "neighbours"])]
    );
    shop.fly(&["up"]).success();
    assert_eq!(changes(&shop), vec![]);
    let left = lines(
        &lab,
        "shop.web",
        "ip rule show; ip route show table all | grep -e 'table 33' -e unreach -e blackhole; ip neigh show nud permanent; tc qdisc show dev eth0; tc qdisc show dev eth1",
    );
    for there in ["77: from 10.3.0.0/16 lookup 33", "unreachable 10.4.0.0/16", "10.10.0.78 dev eth1 lladdr 02:00:00:00:00:78 PERMANENT"] {
        assert!(left.iter().any(|line| line == there), "{there}: {left:#?}");
    }
    assert!(left.iter().any(|line| line.starts_with("10.3.0.0/16 via 10.10.0.8 dev eth1 table 33")), "{left:#?}");
    assert!(left.iter().any(|line| line.starts_with("qdisc htb 7:")), "{left:#?}");
    for gone in ["10.9.0.0", "blackhole", "10.10.0.77", "tbf"] {
        assert!(!left.iter().any(|line| line.contains(gone)), "{gone}: {left:#?}");
    }
}

#[test]
fn the_file_changes_and_no_machine_notices() {
    let lab = Lab::start();
    let shop = running(&lab);
    let before = carried(&lab);
    let alive = ["shop.web", "shop.db"].map(|name| lab.pid_and_start(name));
    let edits = [
        ("192.168.77.2 metric 100", "192.168.77.2 metric 300"),
        ("table 100 priority 500", "table 200 priority 400"),
        ("default via 10.10.0.1 table 100", "default via 10.10.0.9 table 100 onlink"),
        ("blackhole 10.66.0.0/16", "unreachable 10.66.0.0/16 metric 5"),
        ("00:77\"", "00:78\""),
        ("ipv4.rp_filter: 2", "ipv4.rp_filter: 1"),
        ("rate: 200mbit", "rate: 150mbit"),
        ("rate: 50mbit", "rate: 60mbit"),
        ("], rate: 100mbit", "], rate: 90mbit"),
    ];
    shop.write("fly.yml", &edits.iter().fold(SHOP.to_owned(), |text, (from, to)| edited(&text, from, to)));
    let ping = Ping::start(&lab.lan_neighbour(), "192.168.77.10");
    shop.fly(&["up"]).success();
    assert_eq!(ping.stop().lost, 0);
    assert_eq!(changes(&shop), vec![]);
    let now = carried(&lab);
    for there in [
        "default via 192.168.77.2 dev eth0 metric 300",
        "400: from all to 10.9.0.0/16 fwmark 0x10/0xff iif eth1 lookup 200 proto 241",
        "default via 10.10.0.9 dev eth1 table 100 onlink",
        "unreachable 10.66.0.0/16 metric 5",
        "10.10.0.77 dev eth1 lladdr 02:00:5e:10:00:78 PERMANENT proto 241",
        "ipv4/conf/eth1/rp_filter:1",
        "qdisc tbf f1: dev eth1 root rate 150Mbit",
        "qdisc tbf f1: dev eth2 root rate 60Mbit",
        "qdisc tbf f1: dev eth5 root rate 90Mbit",
    ] {
        assert!(now.iter().any(|line| line == there), "`{there}` is not in {now:#?}");
    }
    // A new MAC and new addresses take routes and neighbours along, which come back.
    let moved = edited(SHOP, "network: back\n", "network: back\n        mac: \"02:00:5e:10:00:05\"\n");
    shop.write("fly.yml", &moved);
    shop.fly(&["up"]).success();
    assert_eq!(carried(&lab), before);
    shop.write("fly.yml", SHOP);
    shop.fly(&["up"]).success();
    assert_eq!((carried(&lab), changes(&shop)), (before, vec![]));
    assert_eq!(["shop.web", "shop.db"].map(|name| lab.pid_and_start(name)), alive);
}

/// How long so many bytes take from `web` to `db`, by TCP.
fn takes(lab: &Lab, to: &str, bytes: usize) -> Duration {
    const SINK: &str = "import socket,sys\ns=socket.create_server(('',5001))\nprint('ready',flush=True)\nc,_=s.accept()\nn=0\nwhile d:=c.recv(65536): n+=len(d)\nc.sendall(b'%d'%n)";
    let source = format!(
        "import socket,sys\nc=socket.create_connection(('{to}',5001))\nc.sendall(bytes({bytes}))\nc.shutdown(socket.SHUT_WR)\nassert int(c.recv(99))=={bytes}"
    );
    let sink = lab.container("shop.db").running(crate::support::command(&["python3", "-c", SINK]), Duration::from_secs(120));
    eventually(
        "somebody who listens",
        Duration::from_secs(30),
        || {
            if sink.so_far().contains("ready") { Ok(()) } else { Err(sink.so_far()) }
        },
    );
    let begun = Instant::now();
    lab.in_machine("shop.web", &["python3", "-c", &source]);
    let took = begun.elapsed();
    sink.wait();
    took
}

#[test]
fn half_the_rate_takes_twice_as_long() {
    const BYTES: usize = 3_000_000;
    let lab = Lab::start();
    let file = |rate: &str| {
        format!(
            "name: shop\ndefaults: {{image: fly/busybox:test}}\nnetworks: {{back: {{subnet: 10.10.0.0/24}}}}\nmachines:\n  web: {{nics: {{eth0: {{network: back, ip: 10.10.0.5{rate}}}}}}}\n  db: {{nics: {{eth0: {{network: back, ip: 10.10.0.6}}}}}}\nlinks: [{{ends: [{{nic: 'web:eth5', ip: 10.99.0.1/30}}, {{nic: 'db:eth5', ip: 10.99.0.2/30}}]{rate}}}]\n"
        )
    };
    let shop = lab.project("shop", &file(""));
    shop.fly(&["up", "--yes"]).success();
    for to in ["10.10.0.6", "10.99.0.2"] {
        shop.write("fly.yml", &file(", rate: 8mbit"));
        shop.fly(&["up"]).success();
        let slow = takes(&lab, to, BYTES);
        // Three seconds, but for what may leave at once: nothing can make that less.
        assert!(slow > Duration::from_millis(2500), "{to}: {slow:?}");
        shop.write("fly.yml", &file(", rate: 16mbit"));
        shop.fly(&["up"]).success();
        // However busy this computer is, it is not so every time.
        eventually("half the time", Duration::from_secs(120), || {
            let fast = takes(&lab, to, BYTES);
            assert!(fast > Duration::from_millis(1250), "{to}: {fast:?}");
            if fast.as_secs_f64() < slow.as_secs_f64() * 0.75 { Ok(()) } else { Err(format!("{to}: {fast:?} after {slow:?}")) }
        });
        shop.write("fly.yml", &file(""));
        shop.fly(&["up"]).success();
        eventually("no limit", Duration::from_secs(120), || {
            let free = takes(&lab, to, BYTES);
            if free < Duration::from_millis(1250) { Ok(()) } else { Err(format!("{to}: {free:?}")) }
        });
    }
}

#[test]
fn impaired_for_a_while() {
    let lab = Lab::start();
    let shop = running(&lab);
    let before = (carried(&lab), lab.machine().ok(&["tc", "qdisc", "show"]));
    let rates = |rate: &str| lines(&lab, "shop.web", "tc qdisc show").iter().filter(|line| line.contains(&format!("rate {rate} "))).count();
    // For a time.
    let output = shop.fly(&["impair", "web:eth1", "--rate", "1mbit", "--for", "300ms"]);
    output.success();
    assert!(output.stderr.contains("web:eth1: rate 1mbit\nfor 300ms; Ctrl-C ends it at once\nput back as the file says\n"), "{output}");
    assert_eq!((carried(&lab), lab.machine().ok(&["tc", "qdisc", "show"])), before);
    // Until somebody ends it, whichever way; all cards of a machine.
    for signal in [Signal::INT, Signal::TERM] {
        let mut impaired = shop.command().args(&["impair", "web", "--rate", "2mbit"]).start();
        eventually("all cards are slow", Duration::from_secs(20), || if rates("2Mbit") == 4 { Ok(()) } else { Err(impaired.so_far()) });
        assert!(!impaired.has_ended());
        let plan = changes(&shop);
        assert_eq!(plan.len(), 4, "{plan:?}");
        assert!(plan.iter().all(|(_, action, fields)| action == "update" && fields[0] == "rate"), "{plan:?}");
        impaired.signal(signal);
        impaired.wait().expect_code(0);
        assert_eq!((carried(&lab), lab.machine().ok(&["tc", "qdisc", "show"])), before);
    }
    // Killed: it stays, is seen, and is put right by either way.
    for away in [&["up"][..], &["impair", "web:eth0", "--clear"]] {
        let impaired = shop.command().args(&["impair", "web:eth0", "--rate", "3mbit"]).start();
        eventually("it is slow", Duration::from_secs(20), || if rates("3Mbit") == 1 { Ok(()) } else { Err(impaired.so_far()) });
        impaired.kill();
        assert_eq!(changes(&shop), vec![change("nic/web:eth0", "update", &["rate"])]);
        shop.fly(away).success();
        assert_eq!((carried(&lab), lab.machine().ok(&["tc", "qdisc", "show"])), before);
    }
    // A machine that ends meanwhile has taken its cards along.
    let impaired = shop.command().args(&["impair", "db", "--rate", "3mbit", "--for", "60s"]).start();
    let is_slow = || lab.in_machine("shop.db", &["tc", "qdisc", "show"]).matches("rate 3Mbit").count() == 2;
    eventually("it is slow", Duration::from_secs(20), || if is_slow() { Ok(()) } else { Err(impaired.so_far()) });
    lab.docker(&["kill", "shop.db"]);
    impaired.signal(Signal::INT);
    impaired.wait().expect_code(130);
    shop.fly(&["impair", "db", "--rate", "1mbit"]).expect_code(1);
    shop.fly(&["impair", "db"]).expect_code(64);
    shop.fly(&["impair", "nobody", "--rate", "1mbit"]).expect_code(64);
}

#[test]
fn impairing_and_changing_take_turns() {
    let lab = Lab::start();
    let shop = running(&lab);
    let rate = || lab.in_machine("shop.web", &["tc", "qdisc", "show", "dev", "eth1"]);
    let mut impaired = shop.command().args(&["impair", "web:eth1", "--rate", "1mbit", "--for", "3s"]).start();
    eventually("it is slow", Duration::from_secs(20), || if rate().contains("rate 1Mbit") { Ok(()) } else { Err(impaired.so_far()) });
    let began = Instant::now();
    // An `up` meanwhile that takes its time.
    let slow = "  job: {command: [sleep, '6']}\n  late: {depends_on: {job: {condition: completed}}}\nlinks:\n";
    shop.write("fly.yml", &edited(&edited(SHOP, "rate: 200mbit", "rate: 300mbit"), "links:\n", slow));
    let mut up = shop.command().args(&["up", "--yes"]).start();
    let there = || {
        let there = lab.containers();
        if there.contains(&"shop.job running".to_owned()) { Ok(()) } else { Err(format!("{there:?}")) }
    };
    eventually("the job", Duration::from_secs(20), there);
    let refused = shop.fly(&["impair", "web:eth1", "--rate", "2mbit", "--for", "1s"]);
    assert!(refused.expect_code(5).stderr.contains("another run holds the project: `fly up --yes`"), "{refused}");
    // Its time is over, and it waits for its turn.
    std::thread::sleep(Duration::from_secs(4).saturating_sub(began.elapsed()));
    assert!(!up.has_ended() && !impaired.has_ended(), "{} {}", up.errors_so_far(), impaired.errors_so_far());
    up.wait().success();
    impaired.wait().success();
    assert!(rate().contains("rate 300Mbit"), "{}", rate());
    assert_eq!(changes(&shop), vec![]);
    // Ended while somebody else is at work: he sees to it, or the next `up`.
    let impaired = shop.command().args(&["impair", "web:eth1", "--rate", "1mbit"]).start();
    eventually("it is slow", Duration::from_secs(20), || if rate().contains("rate 1Mbit") { Ok(()) } else { Err(impaired.so_far()) });
    lab.docker(&["rm", "--force", "shop.job", "shop.late"]);
    let up = shop.command().args(&["up", "--yes"]).start();
    eventually("the job", Duration::from_secs(20), there);
    impaired.signal(Signal::INT);
    std::thread::sleep(Duration::from_millis(500));
    impaired.signal(Signal::INT);
    let left = impaired.wait();
    assert!(left.expect_code(5).stderr.contains("nothing was put back"), "{left}");
    up.wait().success();
    assert_eq!(changes(&shop), vec![]);
}

/// Where the kernel has it: see `vm_netem`.
#[test]
fn a_kernel_without_netem_is_found_out_before_anything_is_done() {
    let lab = Lab::start();
    let has = lab
        .machine()
        .run(&["sh", "-c", "ip link add tried type dummy || ip link add tried type veth; tc qdisc add dev tried root netem loss 1%"])
        .code
        == 0;
    lab.machine().ok(&["ip", "link", "del", "tried"]);
    let shop = lab.project("shop", &edited(SHOP, "rate: 200mbit", "delay: 10ms"));
    let before = lab.canonical();
    let output = shop.fly(&["up", "--yes"]);
    if has {
        output.success();
        return;
    }
    output.expect_code(65);
    assert!(output.stderr.contains("`delay` of `web:eth1` needs the kernel module `sch_netem`, and this kernel has none"), "{output}");
    lab.is_as_before(&before);
}
