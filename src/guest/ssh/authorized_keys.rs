//! Lines of `authorized_keys`: the key, and what somebody with it may do.

use std::net::IpAddr;

use ipnet::IpNet;
use russh::keys::PublicKey;

/// What a login may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Instead of whatever the client asks for.
    pub(crate) command: Option<String>,
    pub(crate) pty: bool,
    pub(crate) forwarding: bool,
    pub(crate) agent: bool,
}

impl Rights {
    pub(crate) const ALL: Rights = Rights { command: None, pty: true, forwarding: true, agent: true };
}

#[derive(Clone, Debug)]
pub(crate) struct AuthorizedKey {
    pub(crate) key: PublicKey,
    pub(crate) rights: Rights,
    /// Patterns of `from=`; empty: from anywhere.
    from: Vec<String>,
}

impl AuthorizedKey {
    /// Whether the key is good for somebody at this address. `None` is the machine's own socket, which is nowhere.
    pub(crate) fn good_from(&self, address: Option<IpAddr>) -> bool {
        if self.from.is_empty() {
            return true;
        }
        let Some(address) = address.map(|address| address.to_canonical()) else { return false };
        let mut good = false;
        for pattern in &self.from {
            if let Some(pattern) = pattern.strip_prefix('!') {
                if matches(pattern, address) {
                    return false;
                }
            } else if matches(pattern, address) {
                good = true;
            }
        }
        good
    }
}

/// An address, a network, or an address with `*` and `?`. Names are not looked up: who asks the DNS trusts it.
fn matches(pattern: &str, address: IpAddr) -> bool {
    if let Ok(network) = pattern.parse::<IpNet>() {
        return network.contains(&address);
    }
    pattern
        .parse::<IpAddr>()
        .map_or_else(|_| wildcard(pattern.as_bytes(), address.to_string().as_bytes()), |one| one.to_canonical() == address)
}

/// Without recursion, so that no pattern takes long.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(seen) => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((back, from)) = star else { return false };
                star = Some((back, from + 1));
                at = back + 1;
                seen = from + 1;
            }
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// One line. `None`: empty or a comment. What cannot be kept is refused: half of an option's promise would be a hole.
pub(crate) fn parse(line: &str) -> Option<Result<AuthorizedKey, String>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    Some(parse_line(line))
}

fn parse_line(line: &str) -> Result<AuthorizedKey, String> {
    let mut key = AuthorizedKey {
        key: PublicKey::new(russh::keys::ssh_key::public::KeyData::Ed25519(russh::keys::ssh_key::public::Ed25519PublicKey([0; 32])), ""),
        rights: Rights::ALL,
        from: vec![],
    };
    let first = line.split_whitespace().next().unwrap_or_default();
    let rest = if ["ssh-", "ecdsa-", "sk-"].iter().any(|kind| first.starts_with(kind)) {
        line
    } else {
        let (options, rest) = options(line)?;
        for option in options {
            apply(&option, &mut key)?;
        }
        rest
    };
    key.key = PublicKey::from_openssh(rest).map_err(|error| format!("it is not a public key: {error}"))?;
    Ok(key)
}

/// The options before a key, as they are written, and the rest of the line.
fn options(line: &str) -> Result<(Vec<String>, &str), String> {
    let mut all = vec![];
    let mut option = String::new();
    let mut quoted = false;
    let mut rest = line.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            // Only a quotation mark can be escaped, as in OpenSSH.
            '\\' if quoted && line.get(at + 1..).is_some_and(|rest| rest.starts_with('"')) => {
                rest.next();
                option.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut option)),
            c if c.is_whitespace() && !quoted => {
                all.push(option);
                return Ok((all, line.get(at..).unwrap_or_default().trim_start()));
            }
            c => option.push(c),
        }
    }
    Err(if quoted { "a quotation mark is not closed".to_owned() } else { "there is no key in it".to_owned() })
}

fn apply(option: &str, key: &mut AuthorizedKey) -> Result<(), String> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let rights = &mut key.rights;
    match (name.to_ascii_lowercase().as_str(), value) {
        ("command", Some(command)) => rights.command = Some(command.to_owned()),
        ("from", Some(patterns)) => key.from = patterns.split(',').map(|pattern| pattern.trim().to_owned()).collect(),
        ("restrict", None) => *rights = Rights { command: rights.command.take(), pty: false, forwarding: false, agent: false },
        ("pty", None) => rights.pty = true,
        ("no-pty", None) => rights.pty = false,
        ("port-forwarding", None) => rights.forwarding = true,
        ("no-port-forwarding", None) => rights.forwarding = false,
        ("agent-forwarding", None) => rights.agent = true,
        ("no-agent-forwarding", None) => rights.agent = false,
        // There is no X11 and no rc file here, so both are kept; and OpenSSH ignores `environment` by default as well.
        ("x11-forwarding" | "no-x11-forwarding" | "user-rc" | "no-user-rc", None) | ("environment", Some(_)) => {}
        _ => return Err(format!("the option `{name}` is not known here, and a key with half of its options would be able to do too much")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ me@here";

    fn key(options: &str) -> Result<AuthorizedKey, String> {
        parse(&format!("{options} {KEY}")).unwrap()
    }

    #[test]
    fn options_do_what_they_say() {
        assert_eq!(key("").unwrap().rights, Rights::ALL);
        assert_eq!(key("no-pty,no-agent-forwarding").unwrap().rights, Rights { pty: false, agent: false, ..Rights::ALL });
        let forced = key(r#"restrict,pty,command="say \"a, b\" \n" "#).unwrap().rights;
        assert_eq!(forced, Rights { command: Some(r#"say "a, b" \n"#.to_owned()), pty: true, forwarding: false, agent: false });
        assert!(key(r#"environment="LD_PRELOAD=x",no-X11-forwarding"#).is_ok());
        assert!(parse("# nothing").is_none() && parse("  ").is_none());
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (options, text) in [
            ("permitopen=\"a:1\"", "`permitopen`"),
            ("cert-authority", "`cert-authority`"),
            ("command", "`command`"),
            ("no-pty,,restrict", "``"),
            ("command=\"x", "not closed"),
        ] {
            let error = key(options).unwrap_err();
            assert!(error.contains(text), "{options}: {error}");
        }
        for line in ["nonsense", "ssh-ed25519 AAAA", "no-pty", "ssh-rsa"] {
            assert!(parse(line).unwrap().is_err(), "{line}");
        }
    }

    #[test]
    fn from_says_where() {
        let address = |text: &str| Some(text.parse().unwrap());
        let key = key(r#"from="10.0.0.0/8,!10.1.1.1,192.168.1.?,fe80::*,host.example""#).unwrap();
        for (place, good) in [
            ("10.2.3.4", true),
            ("10.1.1.1", false),
            ("192.168.1.7", true),
            ("192.168.1.77", false),
            ("fe80::1", true),
            ("::ffff:10.9.9.9", true),
            ("8.8.8.8", false),
        ] {
            assert_eq!(key.good_from(address(place)), good, "{place}");
        }
        assert!(!key.good_from(None));
        assert!(!wildcard(b"*a*a*a*a*b", "a".repeat(5000).as_bytes()));
    }

    mod fuzz {
        use proptest::collection::vec;
        use proptest::prelude::*;
        use proptest::sample::select;

        use super::super::*;
        use crate::guest::fuzz::{cases, damaged};

        /// Options, each with whether it is kept, and whether nobody may get a terminal or a forwarding after it.
        const OPTIONS: [(&str, bool); 9] = [
            ("restrict", true),
            ("command=\"a, \\\"b\\\"\"", true),
            ("from=\"10.0.0.0/8,!10.1.*\"", true),
            ("no-pty", true),
            ("pty", true),
            ("no-port-forwarding", true),
            ("permitopen=\"a:1\"", false),
            ("cert-authority", false),
            ("", false),
        ];

        proptest! {
            #![proptest_config(cases(500))]

            /// Of several options each counts, or the line is refused; `restrict` holds until something is allowed again.
            #[test]
            fn no_option_is_lost(chosen in vec(select(OPTIONS.to_vec()), 1..6)) {
                let options = chosen.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(",");
                prop_assume!(!options.is_empty());
                let has = |option: &str| chosen.iter().any(|(text, _)| text.starts_with(option));
                let last = |options: [&str; 2]| chosen.iter().rfind(|(text, _)| options.contains(text) || *text == "restrict");
                match super::key(&options) {
                    Ok(key) => {
                        prop_assert!(chosen.iter().all(|(_, kept)| *kept), "{}", options);
                        prop_assert_eq!(key.rights.command.as_deref(), has("command").then_some("a, \"b\""));
                        prop_assert_eq!(key.rights.pty, last(["pty", "no-pty"]).is_none_or(|(text, _)| *text == "pty"));
                        prop_assert_eq!(key.rights.forwarding, !has("restrict") && !has("no-port-forwarding"));
                        prop_assert_eq!(key.good_from(Some("10.2.0.1".parse().unwrap())), true);
                        prop_assert_eq!(key.good_from(Some("10.1.0.1".parse().unwrap())), !has("from"));
                        prop_assert_eq!(key.good_from(None), !has("from"));
                    }
                    Err(_) => prop_assert!(chosen.iter().any(|(_, kept)| !kept), "{}", options),
                }
            }

            /// Damage makes it another line or none, and never a panic; a key that is read is one that can be written.
            #[test]
            fn damaged_lines_are_lines_or_errors(
                options in vec(select(OPTIONS.to_vec()), 0..4),
                damage in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
                cut in any::<Option<prop::sample::Index>>(),
                address in any::<Option<IpAddr>>(),
            ) {
                let options = options.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(",");
                let good = format!("{options} {}", super::KEY);
                let bytes = damaged(good.as_bytes(), &damage, cut);
                if let Some(Ok(key)) = parse(&String::from_utf8_lossy(&bytes)) {
                    prop_assert!(key.key.to_openssh().is_ok());
                    key.good_from(address);
                }
            }

            #[test]
            fn patterns_end(pattern in "[*?a!:.]{0,40}", text in "[a:.]{0,200}") {
                wildcard(pattern.as_bytes(), text.as_bytes());
            }
        }
    }
}
