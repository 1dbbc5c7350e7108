//! Docker's firewall and bridges: with `br_netfilter`, frames between two ports of a bridge go through FORWARD, whose policy
//! Docker sets to DROP.
//!
//! A bridge's own `nf_call_iptables` cures nothing (it is or-ed with the sysctl), and an nft table of one's own neither (an accept
//! in one base chain does not stop the drop of another). So there is one rule a bridge in `DOCKER-USER`, whose content Docker
//! keeps. `iptables` is run rather than spoken to: its two back ends and their compatibility are its own business.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::process::{Command, Output, Stdio};

use rustix::io::Errno;

use super::error::Refused;
use crate::net::Firewall;

/// Seconds to wait for another run of `iptables`.
const WAIT: &str = "5";
const DOCKERS_CHAIN: &str = "DOCKER-USER";

#[derive(Clone, Copy)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn command(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    /// Do bridged frames of this family reach FORWARD at all? Without `br_netfilter` the file is missing.
    fn is_called(self) -> bool {
        let path = format!("/proc/sys/net/bridge/bridge-nf-call-{}", self.command());
        std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
    }

    /// `None`: there is no such program, so there are no rules of its making either.
    fn run(self, arguments: &[&str]) -> Result<Option<Output>, Refused> {
        for folder in ["", "/usr/sbin/", "/sbin/"] {
            let mut command = Command::new(format!("{folder}{}", self.command()));
            command.args(["-w", WAIT]).args(arguments).stdin(Stdio::null());
            match command.output() {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => return Ok(Some(other?)),
            }
        }
        Ok(None)
    }

    /// The table `filter`, if frames between ports are dropped by it.
    fn rules_that_drop(self) -> Result<Option<Rules>, Refused> {
        if !self.is_called() {
            return Ok(None);
        }
        let Some(output) = self.run(&["-S"])? else { return Ok(None) };
        if !output.status.success() {
            return Err(failure(self, &output));
        }
        Ok(Some(Rules::parse(&String::from_utf8_lossy(&output.stdout))).filter(|rules| rules.drops))
    }
}

fn failure(family: Family, output: &Output) -> Refused {
    /// What `iptables` ends with when another one holds its lock for too long.
    const LOCKED: i32 = 4;
    let words = String::from_utf8_lossy(&output.stderr);
    let first = words.lines().next().unwrap_or("failed without a word").trim();
    let errno = match output.status.code() {
        // Said with the same exit code as a lock that is held.
        _ if first.contains("Permission denied") => Errno::PERM,
        Some(LOCKED) => Errno::AGAIN,
        _ => Errno::IO,
    };
    Refused::new(errno, format!("`{}`: {first}", family.command()))
}

/// What matters of `iptables -S`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    drops: bool,
    dockers_chain: bool,
    /// Bridges and comments.
    allowed: BTreeSet<(String, String)>,
}

impl Rules {
    fn parse(text: &str) -> Self {
        let mut rules = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["-P", "FORWARD", policy] => rules.drops = policy == "DROP",
                ["-N", DOCKERS_CHAIN] => rules.dockers_chain = true,
                ["-A", DOCKERS_CHAIN | "FORWARD", "-i", inward, "-o", outward, "-m", "comment", "--comment", comment, "-j", "ACCEPT"]
                    if inward == outward =>
                {
                    let comment = comment.trim_matches('"');
                    if comment.starts_with("fly:") {
                        rules.allowed.insert((inward.to_owned(), comment.to_owned()));
                    }
                }
                _ => {}
            }
        }
        rules
    }

    fn has(&self, bridge: &str, comment: &str) -> bool {
        self.allowed.iter().any(|(at, words)| at == bridge && words == comment)
    }

    fn chain(&self) -> &'static str {
        if self.dockers_chain { DOCKERS_CHAIN } else { "FORWARD" }
    }
}

/// Of the namespace that the calling thread is in. A bridge counts as allowed if every family that drops has its rule.
pub(super) fn observe() -> Result<Firewall, Refused> {
    let (v4, v6) = std::thread::scope(|scope| {
        let v6 = scope.spawn(|| Family::V6.rules_that_drop());
        (Family::V4.rules_that_drop(), v6.join().unwrap_or(Ok(None)))
    });
    Ok(match (readable(v4)?, readable(v6)?) {
        (None, None) => Firewall::default(),
        (Some(one), None) | (None, Some(one)) => Firewall { drops_bridged: true, allowed: one.allowed },
        (Some(v4), Some(v6)) => {
            let allowed = v4.allowed.intersection(&v6.allowed).cloned().collect();
            Firewall { drops_bridged: true, allowed }
        }
    })
}

/// A table that `iptables` calls incompatible is not of its making, nor of Docker's: there is nothing to be seen in it. That must
/// not keep anybody from his network.
fn readable(rules: Result<Option<Rules>, Refused>) -> Result<Option<Rules>, Refused> {
    match rules {
        Err(refused) if refused.is(&[Errno::IO]) => {
            tracing::debug!("the firewall's rules cannot be read: {refused}");
            Ok(None)
        }
        other => other,
    }
}

/// Inserts what is missing, in every family that drops.
pub(super) fn allow(bridge: &str, comment: &str) -> Result<(), Refused> {
    for family in [Family::V4, Family::V6] {
        let Some(rules) = family.rules_that_drop()? else { continue };
        if rules.has(bridge, comment) {
            continue;
        }
        change(family, "-I", rules.chain(), bridge, comment)?;
    }
    Ok(())
}

/// Removes the rule wherever it is, also if it is not needed any more and if it is there twice.
pub(super) fn revoke(bridge: &str, comment: &str) -> Result<(), Refused> {
    const AT_MOST: u32 = 16;
    for family in [Family::V4, Family::V6] {
        for _ in 0..AT_MOST {
            let Some(output) = family.run(&["-S"])? else { break };
            if !output.status.success() {
                // No rules of this family can be listed: with IPv6 switched off there are none.
                if matches!(family, Family::V6) {
                    break;
                }
                return Err(failure(family, &output));
            }
            let text = String::from_utf8_lossy(&output.stdout);
            let ours = |line: &&str| Rules::parse(line).has(bridge, comment);
            let Some(line) = text.lines().find(ours) else { break };
            let chain = line.split_whitespace().nth(1).unwrap_or(DOCKERS_CHAIN);
            change(family, "-D", chain, bridge, comment)?;
        }
    }
    Ok(())
}

fn change(family: Family, how: &str, chain: &str, bridge: &str, comment: &str) -> Result<(), Refused> {
    let rule = [how, chain, "-i", bridge, "-o", bridge, "-m", "comment", "--comment", comment, "-j", "ACCEPT"];
    match family.run(&rule)? {
        Some(output) if !output.status.success() => Err(failure(family, &output)),
        Some(_) => Ok(()),
        None => Err(Refused::new(Errno::NOENT, format!("`{}` is not installed", family.command()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_iptables_prints() {
        let text = "-P INPUT ACCEPT\n-P FORWARD DROP\n-P OUTPUT ACCEPT\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n\
            -A DOCKER-USER -i flyabc -o flyabc -m comment --comment \"fly:shop/back\" -j ACCEPT\n\
            -A DOCKER-USER -i br0 -o br0 -m comment --comment others -j ACCEPT\n-A DOCKER-USER -j RETURN\n";
        let rules = Rules::parse(text);
        assert!(rules.drops && rules.dockers_chain);
        assert_eq!(rules.allowed, BTreeSet::from([("flyabc".to_owned(), "fly:shop/back".to_owned())]));
    }
}
