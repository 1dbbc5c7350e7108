//! Docker Compose with the same machines on a macvlan network, where it is installed.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The command: the engine's plugin, or the program of its own that Debian has.
pub(crate) fn program() -> Option<&'static [&'static str]> {
    let candidates: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    candidates.into_iter().find(|words| {
        let output = Command::new(words[0]).args(&words[1..]).arg("version").output();
        output.is_ok_and(|output| output.status.success())
    })
}

pub(crate) fn version() -> Option<String> {
    let words = program()?;
    let output = Command::new(words[0]).args(&words[1..]).args(["version", "--short"]).output().ok()?;
    Some(format!("{} {}", words.join(" "), String::from_utf8_lossy(&output.stdout).trim()))
}

/// A file with `count` services, each with an address of its own.
pub(crate) fn write(folder: &Path, count: usize) {
    let mut text = "version: '2.4'\nnetworks:\n  lan:\n    driver: macvlan\n    driver_opts: {parent: eth1}\n    \
                    ipam: {config: [{subnet: 192.168.77.0/24, gateway: 192.168.77.2}]}\nservices:\n"
        .to_owned();
    for number in 0..count {
        let address = number + 100;
        let _ = writeln!(text, "  m{number}: {{image: 'fly/busybox:test', networks: {{lan: {{ipv4_address: 192.168.77.{address}}}}}}}");
    }
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("docker-compose.yml"), text).unwrap();
}
