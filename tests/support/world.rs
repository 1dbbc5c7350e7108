//! The world as text, in one form: two snapshots are equal if, and only if, nothing was changed in between.
//!
//! Left out is what changes by itself: indexes, counters, timers, the neighbour cache, the id of a bridge without ports.

use serde_json::Value;

use super::Place;
use super::api::Api;

/// Links, addresses, routes, rules, firewall and sysctls of a network namespace.
pub(crate) fn network(place: &Place) -> String {
    let mut text = section("links", links(place)) + &section("addresses", addresses(place));
    for (title, argv) in [
        ("routes", ["ip", "-4", "route", "show", "table", "all"].as_slice()),
        ("routes v6", &["ip", "-6", "route", "show", "table", "all"]),
    ] {
        // The kernel makes these a second or two after a link has come up, when nobody has objected to its address.
        let is_late = |line: &&str| line.starts_with("local fe80:") || line.starts_with("anycast fe80:");
        let said = place.ok(argv);
        let settled = said.lines().filter(|line| !is_late(line));
        let mut lines: Vec<String> = settled.map(|line| without(line, &["expires", "error"])).collect();
        lines.sort();
        text += &section(title, lines);
    }
    for argv in [["ip", "-4", "rule"], ["ip", "-6", "rule"]] {
        text += &section(&argv.join(" "), place.ok(&argv).lines().map(str::to_owned).collect());
    }
    for argv in [["iptables-save"].as_slice(), &["ip6tables-save"], &["nft", "list", "ruleset"]] {
        text += &section(&argv.join(" "), firewall(&place.ok(argv)));
    }
    // As files, because `sysctl` prints names with a dot in them (eth0.5) ambiguously.
    let sysctls = place.run(&["grep", "-rs", "", "/proc/sys/net"]).stdout;
    let mut lines: Vec<String> = sysctls.lines().filter(|line| !is_volatile(line)).map(str::to_owned).collect();
    lines.sort();
    text + &section("sysctls", lines)
}

/// Containers, networks and volumes of an engine.
pub(super) fn engine(api: &Api) -> String {
    let rows = |value: Value, fields: &[&str]| {
        let mut rows = value.as_array().cloned().unwrap_or_default();
        // The engine lists them as they come.
        for mounts in rows.iter_mut().filter_map(|row| row.get_mut("Mounts")?.as_array_mut()) {
            mounts.sort_by_key(|mount| mount["Destination"].to_string());
        }
        let line = |row: &Value| fields.iter().map(|field| format!("{field}={}", row[*field])).collect::<Vec<_>>().join(" ");
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        lines.sort();
        lines
    };
    let containers = rows(api.get("/containers/json?all=1"), &["Id", "Names", "Image", "State", "Labels", "Mounts"]);
    let networks = rows(api.get("/networks"), &["Id", "Name", "Driver", "IPAM", "Options", "Labels"]);
    let volumes = rows(api.get("/volumes")["Volumes"].take(), &["Name", "Driver", "CreatedAt", "Labels"]);
    section("containers", containers) + &section("networks", networks) + &section("volumes", volumes)
}

fn section(title: &str, lines: Vec<String>) -> String {
    let title = format!("== {title}");
    [vec![title], lines, vec![String::new()]].concat().join("\n")
}

/// One line a link, sorted by name.
fn links(place: &Place) -> Vec<String> {
    let mut lines: Vec<String> = json(&place.ok(&["ip", "-d", "-j", "link"]))
        .into_iter()
        .map(|mut link| {
            let name = link["ifname"].as_str().unwrap_or_default().to_owned();
            for key in ["ifindex", "link_index", "link_netnsid", "ifname"] {
                remove(&mut link, key);
            }
            // The bridge chooses its own ids and runs its own timers.
            let data = &mut link["linkinfo"]["info_data"];
            for key in ["root_id", "bridge_id", "hello_timer", "tcn_timer", "topology_change_timer", "gc_timer"] {
                remove(data, key);
            }
            let data = &mut link["linkinfo"]["info_slave_data"];
            for key in [
                "root_id",
                "bridge_id",
                "designated_bridge",
                "message_age_timer",
                "forward_delay_timer",
                "hold_timer",
                "id",
                "no",
                "designated_port",
            ] {
                remove(data, key);
            }
            format!("{name} {link}")
        })
        .collect();
    lines.sort();
    lines
}

/// One line an address, sorted by link.
fn addresses(place: &Place) -> Vec<String> {
    let mut lines = Vec::new();
    for link in json(&place.ok(&["ip", "-d", "-j", "addr"])) {
        for mut info in link["addr_info"].as_array().cloned().unwrap_or_default() {
            for key in ["valid_life_time", "preferred_life_time", "tentative"] {
                remove(&mut info, key);
            }
            lines.push(format!("{} {info}", link["ifname"].as_str().unwrap_or_default()));
        }
    }
    lines.sort();
    lines
}

/// Without counters and the date in the comments.
fn firewall(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let plain = lines.map(|line| match line.rsplit_once(" [") {
        // `:FORWARD DROP [12:1024]`
        Some((rule, counters)) if line.starts_with(':') && counters.ends_with(']') => rule.to_owned(),
        _ => without(line, &["packets", "bytes"]),
    });
    plain.collect()
}

/// A line of words without those named and the value that follows each.
fn without(line: &str, names: &[&str]) -> String {
    let indent = &line[..line.len() - line.trim_start().len()];
    let mut words = line.split_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if names.contains(&word) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    format!("{indent}{}", kept.join(" "))
}

fn is_volatile(line: &str) -> bool {
    // The number of connections followed at the moment.
    line.starts_with("/proc/sys/net/netfilter/nf_conntrack_count:")
}

fn json(text: &str) -> Vec<Value> {
    // iproute2 prints nothing at all, or empty objects, for what a filter has dropped.
    let values: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
    values.into_iter().filter(|value| value.get("ifname").is_some()).collect()
}

fn remove(value: &mut Value, key: &str) {
    if let Some(map) = value.as_object_mut() {
        map.remove(key);
    }
}
