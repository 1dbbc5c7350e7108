//! The project that most live tests run: something of everything.

use crate::support::{Lab, Output, Project};

/// Three machines on a macvlan LAN, a bridge and a nat network; a cable, a volume, names, limits.
pub(crate) const SHOP: &str = r#"
name: shop
defaults:
  image: fly/busybox:test
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.199, host_ip: 192.168.77.99}
  back: {subnet: [10.10.0.0/24, "fd00:10::/64"], host_ip: 10.10.0.1}
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  web:
    nics:
      eth0: {network: lan, ip: 192.168.77.10}
      eth1: back
      eth2: out
    links: ["db:database"]
    ports: ["8080:80"]
    cpus: 1.5
    memory: 64M
    restart: unless-stopped
  db:
    nics: {eth0: back}
    volumes: ["data:/var/lib/data"]
  spare:
    nics: {eth0: lan, eth1: {network: back, ip: [10.10.0.50, "fd00:10::50"]}}
links:
  - ends: [{nic: "web:eth5", ip: 10.99.0.1/30}, {nic: "db:eth5", ip: 10.99.0.2/30}]
volumes: {data: {}}
"#;

/// `SHOP`, up and running.
pub(crate) fn running(lab: &Lab) -> Project<'_> {
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    shop
}

/// `text` with one thing changed; panics where there is nothing to change.
pub(crate) fn edited(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "`{from}` is in the file");
    text.replacen(from, to, 1)
}

/// What `fly plan --format json` says is to be changed: `(address, action, fields)`.
pub(crate) fn changes(project: &Project<'_>) -> Vec<(String, String, Vec<String>)> {
    changes_in(&project.fly(&["plan", "--format", "json"]))
}

/// The same of a plan that has been made already.
pub(crate) fn changes_in(output: &Output) -> Vec<(String, String, Vec<String>)> {
    output.success();
    let plan: serde_json::Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    let changes = plan["changes"].as_array().unwrap_or_else(|| panic!("no changes in {output}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let differing = changes.iter().filter(|change| change["action"] != "keep");
    differing
        .map(|change| {
            let fields = change["fields"].as_array().into_iter().flatten().map(|field| text(&field["field"])).collect();
            (text(&change["addr"]), text(&change["action"]), fields)
        })
        .collect()
}

/// `("nic/web:eth0", "update", ["mtu"])`, for comparing.
pub(crate) fn change(addr: &str, action: &str, fields: &[&str]) -> (String, String, Vec<String>) {
    (addr.to_owned(), action.to_owned(), fields.iter().map(|&field| field.to_owned()).collect())
}
