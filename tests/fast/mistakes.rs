//! All that is said of a file in one run, as its user sees it: nothing is missed, and nothing is said that only follows from another
//! mistake.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// What `fly config` says of this file, with these beside it.
fn said(test: &str, text: &str, others: &[(&str, &str)]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mistakes").join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in others.iter().chain(&[("fly.yml", text)]) {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let variables = BTreeMap::from([("PATH", "/bin"), ("OUTER", "outside"), ("PASSED", "yes"), ("DB_PASSWORD", "hunter2")]);
    let output = Command::new(env!("CARGO_BIN_EXE_fly")).arg("config").current_dir(&folder).env_clear().envs(variables).output().unwrap();
    let shown = String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap();
    format!("exit {}\n{shown}", output.status.code().unwrap())
}

#[test]
fn what_two_cards_take_from_one_place_is_theirs_twice() {
    let anchor = "name: t
x-c: &c {network: lan, ip: 10.0.0.5, mac: \"02:00:00:00:00:01\"}
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: x, nics: {eth0: *c}}
  b: {image: x, nics: {eth0: *c}}
";
    let defaults = "name: t
defaults: {nics: {eth0: {network: lan, ip: 10.0.0.5}}}
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: x}
  b: {image: x}
";
    let merged = "name: t
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: &a {image: x, nics: {eth0: {network: lan, mac: \"02:00:00:00:00:01\"}}}
  b: {<<: *a}
";
    let own = "name: t
x-c: &c {network: lan, ip: 10.0.0.5}
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: x, nics: {eth0: *c, eth1: *c}}
";
    let all = [("anchor", anchor), ("defaults", defaults), ("merged", merged), ("own", own)];
    insta::assert_snapshot!("one_place", all.map(|(name, text)| said(name, text, &[])).join("\n"));
}
