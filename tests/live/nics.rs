//! `fly nics` against what `ip` says.

use serde_json::Value;

use crate::sample;
use crate::support::{Lab, Project};

fn nics(project: &Project<'_>) -> Value {
    let output = project.fly(&["nics", "--format", "json"]);
    output.success();
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn machine<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["machines"].as_array().unwrap().iter().find(|machine| machine["machine"] == name).unwrap()
}

/// `ip -s -d -j address` of one card.
fn by_ip(lab: &Lab, container: &str, nic: &str) -> Value {
    let text = lab.in_machine(container, &["ip", "-s", "-s", "-d", "-j", "address", "show", "dev", nic]);
    serde_json::from_str::<Value>(&text).unwrap()[0].take()
}

const COUNTERS: [(&str, &str, &str); 8] = [
    ("rx_bytes", "rx", "bytes"),
    ("rx_packets", "rx", "packets"),
    ("rx_errors", "rx", "errors"),
    ("rx_dropped", "rx", "dropped"),
    ("tx_bytes", "tx", "bytes"),
    ("tx_packets", "tx", "packets"),
    ("tx_errors", "tx", "errors"),
    ("tx_dropped", "tx", "dropped"),
];

#[test]
fn every_card_is_as_the_kernel_has_it() {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    lab.in_machine("shop.web", &["ping", "-c5", "-i0.1", "-s1000", "192.168.77.2"]);
    for (container, name, nic) in [
        ("shop.web", "web", "eth0"),
        ("shop.web", "web", "eth1"),
        ("shop.web", "web", "eth2"),
        ("shop.web", "web", "eth5"),
        ("shop.spare", "spare", "eth1"),
    ] {
        let before = by_ip(&lab, container, nic);
        let document = nics(&shop);
        let after = by_ip(&lab, container, nic);
        let card = &machine(&document, name)["nics"][nic];
        assert_eq!((&card["mac"], &card["mtu"], &card["state"]), (&after["address"], &after["mtu"], &"up".into()), "{card} {after}");
        let addresses = after["addr_info"].as_array().unwrap().iter().filter(|address| address["scope"] == "global");
        let mut addresses: Vec<String> = addresses.map(|it| format!("{}/{}", it["local"].as_str().unwrap(), it["prefixlen"])).collect();
        addresses.sort();
        let mut ours: Vec<String> = card["addresses"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
        ours.sort();
        assert_eq!(ours, addresses, "{nic}");
        // Whatever else the kernel sends meanwhile: what is counted lies between two looks of `ip`.
        for (ours, way, theirs) in COUNTERS {
            let of = |seen: &Value| seen["stats64"][way][theirs].as_u64().unwrap_or_else(|| panic!("{way} {theirs} in {seen}"));
            let counted = card["counters"][ours].as_u64().unwrap();
            assert!((of(&before)..=of(&after)).contains(&counted), "{nic} {ours}: {counted}, {before} {after}");
        }
    }
    let document = nics(&shop);
    let web = &machine(&document, "web")["nics"];
    assert!(web["eth0"]["counters"]["tx_bytes"].as_u64().unwrap() > 5000, "{web}");
    let on = |nic: &str| [&web[nic]["kind"], &web[nic]["network"], &web[nic]["parent"], &web[nic]["peer"]].map(Value::as_str);
    assert_eq!(on("eth0"), [Some("macvlan"), Some("lan"), Some("eth1"), None]);
    assert_eq!(on("eth1"), [Some("bridge"), Some("back"), None, None]);
    assert_eq!(on("eth2"), [Some("nat"), Some("out"), None, None]);
    assert_eq!(on("eth5"), [Some("cable"), None, None, Some("db:eth5")]);
    // The bridge that it names has this machine's port.
    let bridge = web["eth1"]["bridge"].as_str().unwrap();
    assert!(lab.ip(&["link", "show", "master", bridge]).contains("fly"), "{bridge}");
}

#[test]
fn a_card_that_is_down_or_not_there_says_so() {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    lab.in_machine("shop.web", &["ip", "link", "set", "eth1", "down"]);
    lab.in_machine("shop.spare", &["ip", "link", "delete", "eth0"]);
    lab.docker(&["kill", "shop.db"]);
    let document = nics(&shop);
    let state = |name: &str, nic: &str| machine(&document, name)["nics"][nic]["state"].as_str().unwrap().to_owned();
    assert_eq!(state("web", "eth1"), "down");
    assert_eq!(state("spare", "eth0"), "absent");
    assert_eq!((machine(&document, "db")["state"].as_str(), state("db", "eth0")), (Some("exited"), "absent".to_owned()));
    // Its cable went with it.
    assert_eq!((state("db", "eth5"), state("web", "eth5")), ("absent".to_owned(), "absent".to_owned()));
    let text = shop.fly(&["nics", "db"]).success().stdout.clone();
    assert!(text.starts_with("MACHINE ") && text.contains("absent") && !text.contains("\nweb "), "{text}");
    let wrong = shop.fly(&["nics", "wbe"]);
    wrong.expect_code(64);
    assert!(wrong.stderr.contains("did you mean `web`?"), "{wrong}");
}
