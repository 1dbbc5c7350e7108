//! Forms of single values: texts, numbers, sizes, addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use super::node::{Body, Kind, Node, Part};
use super::reader::{Form, NO_ZEROS, Reader, zero_led};
use super::schema;
use crate::diag::{At, Diagnostic};
use crate::types::{Bytes, Cpus, IfName, Mac, Name, Seconds};

/// A text that is not empty.
pub(super) const TEXT: Form<At<String>> = Form { schema: schema::text, read: |r, node| text(r, node, "a text") };

/// Numbers are texts too: `user: 1000`.
pub(super) const LOOSE_TEXT: Form<At<String>> = Form {
    schema: || json!({"type": ["string", "integer"], "minLength": 1}),
    read: |r, node| {
        if node.scalar().is_some_and(|scalar| scalar.kind == Kind::Bool) {
            return r.wrong(node, "a text or a number, as `ada` or `1000`");
        }
        let part = r.scalar(node, "a text")?;
        filled(r, &part, "a text")
    },
};

/// A place inside the machine.
pub(super) const PLACE: Form<At<String>> = Form { schema: || schema::matching("/.*"), read: TEXT.read };

pub(super) const BOOL: Form<At<bool>> = Form { schema: schema::boolean, read: boolean };

pub(super) const MTU: Form<At<u32>> = Form {
    schema: || schema::integer(68, 65535),
    read: |r, node| {
        let part = r.scalar(node, "an MTU, as `1500`")?;
        r.number(&part, (68, 65535), "an MTU")
    },
};

pub(super) const BYTES: Form<At<Bytes>> = Form {
    schema: || {
        schema::any(vec![json!({"type": "integer", "minimum": 1}), schema::matching(r"[0-9]+(\.[0-9]+)? ?([kKmMgGtT][iI]?[bB]?|[bB])?")])
    },
    read: |r, node| bytes(r, node, "a size, as `512M`"),
};

pub(super) const SECONDS: Form<At<Seconds>> = Form {
    schema: || schema::any(vec![json!({"const": 0}), schema::matching("[0-9].*[a-z].*|0")]),
    read: |r, node| {
        let what = "a length of time, as `1m30s`";
        let part = r.scalar(node, what)?;
        // Other ways to write one, as `PT5S` and `00:01:00`, are nobody's in such a file.
        let plain =
            part.text.starts_with(|c: char| c.is_ascii_digit()) && !part.text.contains(|c: char| c == ':' || c.is_ascii_uppercase());
        if !plain && !part.text.is_empty() {
            return r.bad_hint(&part, what, "as in `500ms`, `10s` or `1m30s`");
        }
        let is_number = !part.is_secret() && !part.text.is_empty() && part.text.bytes().all(|b| b.is_ascii_digit());
        let hint = if is_number { format!("its unit is missing: `{}s`", part.text) } else { "as in `500ms`, `10s` or `1m30s`".to_owned() };
        r.parse(&part, what, hint)
    },
};

pub(super) const CPUS: Form<At<Cpus>> = Form {
    schema: || schema::any(vec![json!({"type": "number", "exclusiveMinimum": 0}), schema::matching(r"[0-9]*\.?[0-9]+")]),
    read: |r, node| {
        let what = "a number of processors, as `1.5`";
        let part = r.scalar(node, what)?;
        if zero_led(part.text) {
            return r.bad_hint(&part, what, NO_ZEROS);
        }
        let cpus: At<Cpus> = r.parse(&part, what, "a number, with a point: `0.5`, `2`")?;
        if cpus.value.0 == 0 {
            return r.bad_hint(&part, what, "leave the key out for no limit");
        }
        Some(cpus)
    },
};

pub(super) const NAME: Form<At<String>> = Form {
    schema: || schema::matching(NAME_PATTERN),
    read: |r, node| {
        let part = r.scalar(node, "a name")?;
        name(r, &part, "a name")
    },
};

pub(super) const NAME_PATTERN: &str = "[a-zA-Z0-9][a-zA-Z0-9_-]{0,62}";

pub(super) const IP: Form<At<IpAddr>> = Form {
    schema: || schema::matching("[0-9a-fA-F.:]+"),
    read: |r, node| {
        let part = r.words(node, ADDRESS)?;
        address(r, &part)
    },
};

pub(super) const ADDRESS: &str = "an address, as `192.168.1.10` or `fd00::10`";

pub(super) const MAC: Form<At<Mac>> = Form {
    schema: || schema::matching("[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}|U:.*\\S.*"),
    read: |r, node| {
        let what = "a MAC, as `02:00:5e:10:00:01`, or `U:` and a text that one is made of";
        let part = r.words(node, what)?;
        if let Some(text) = part.text.strip_prefix("U:").filter(|text| !text.trim().is_empty()) {
            return Some(part.at(Mac::of_text(text)));
        }
        r.parse(&part, what, "as in `02:00:5e:10:00:01`, or leave it out: the card gets one of its own")
    },
};

fn text(r: &mut Reader, node: &Node, what: &str) -> Option<At<String>> {
    let part = r.words(node, what)?;
    filled(r, &part, what)
}

/// The text, which may be neither empty nor hold a NUL, as the kernel's strings cannot.
pub(super) fn filled(r: &mut Reader, part: &Part<'_>, what: &str) -> Option<At<String>> {
    if part.text.is_empty() {
        return r.bad_hint(part, what, "give it a value, or leave the key out");
    }
    if part.text.contains('\0') {
        return r.bad_hint(part, what, "leave the NUL (`\\0`) out: the kernel's texts end there");
    }
    Some(part.text())
}

pub(super) fn boolean(r: &mut Reader, node: &Node) -> Option<At<bool>> {
    let what = "`true` or `false`";
    let part = r.scalar(node, what)?;
    match part.text {
        "true" | "True" | "TRUE" => Some(part.at(true)),
        "false" | "False" | "FALSE" => Some(part.at(false)),
        "yes" | "on" | "Yes" | "On" | "y" => r.bad_hint(&part, what, "write `true`"),
        "no" | "off" | "No" | "Off" | "n" => r.bad_hint(&part, what, "write `false`"),
        _ => r.bad_near(&part, what, &["true", "false"], "a truth value is written `true` or `false`"),
    }
}

pub(super) fn bytes(r: &mut Reader, node: &Node, what: &str) -> Option<At<Bytes>> {
    let part = r.scalar(node, what)?;
    if matches!(part.text, "0" | "-1") {
        return r.bad_hint(&part, what, "leave the key out for no limit");
    }
    if zero_led(part.text) {
        return r.bad_hint(&part, what, NO_ZEROS);
    }
    if part.text.trim() != part.text {
        return r.bad_hint(&part, what, "leave the spaces around it out");
    }
    let number = part.text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match part.text[number.len()..].chars().next() {
        _ if number.trim_end().parse::<f64>().is_err() => "a number with `K`, `M`, `G` or `T`, as `512M`".to_owned(),
        Some(unit @ ('k' | 'K' | 'm' | 'M' | 'g' | 'G' | 't' | 'T')) if !part.is_secret() => {
            format!("`{}{}`: `K`, `M`, `G` and `T` are each 1024 of the one before", number.trim_end(), unit.to_ascii_uppercase())
        }
        _ => "a number with `K`, `M`, `G` or `T`, as `512M`".to_owned(),
    };
    r.parse(&part, what, unit)
}

pub(super) fn name(r: &mut Reader, part: &Part<'_>, what: &str) -> Option<At<String>> {
    r.parse::<Name>(part, what, "letters, digits, `_` and `-`, a letter or digit first, at most 63").map(|name| name.map(String::from))
}

/// The name of a link, as the kernel takes it.
pub(super) fn ifname(r: &mut Reader, part: &Part<'_>, what: &str) -> Option<At<String>> {
    let short: String = part.text.chars().take(15).collect();
    let fits = part.text.is_ascii() && part.text.len() > 15 && !part.is_secret() && short.parse::<IfName>().is_ok();
    let hint =
        if fits { format!("a shorter one: `{short}` would fit") } else { "at most 15 characters, no spaces, `/`, `:` or `%`".to_owned() };
    r.parse::<IfName>(part, what, hint).map(|name| name.map(String::from))
}

/// An address that a card could have.
pub(super) fn address(r: &mut Reader, part: &Part<'_>) -> Option<At<IpAddr>> {
    let Ok(ip) = part.text.parse::<IpAddr>() else {
        return match part.text.split_once('/') {
            Some((ip, _)) if ip.parse::<IpAddr>().is_ok() => r.bad_hint(part, ADDRESS, "write it without the prefix length"),
            _ => r.bad(part, ADDRESS),
        };
    };
    Some(part.at(ip))
}

/// A whole network: the bits behind the prefix are zero.
pub(super) fn net(r: &mut Reader, part: &Part<'_>) -> Option<At<IpNet>> {
    const WHAT: &str = "a subnet, as `192.168.1.0/24` or `fd00:10::/64`";
    let Ok(net) = part.text.parse::<IpNet>() else {
        return match part.text.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) => r.bad_hint(part, WHAT, format!("its size is missing: `{ip}/24`, perhaps")),
            Ok(IpAddr::V6(ip)) => r.bad_hint(part, WHAT, format!("its size is missing: `{ip}/64`, perhaps")),
            Err(_) => match part.text.split_once('/').map(|(ip, length)| (ip.parse::<IpAddr>(), length)) {
                Some((Ok(ip), _)) => {
                    r.bad_hint(part, WHAT, format!("its prefix length is at most {}", if ip.is_ipv4() { 32 } else { 128 }))
                }
                _ => r.bad(part, WHAT),
            },
        };
    };
    if net.addr() != net.network() {
        let error = Diagnostic::invalid("this is an address inside a subnet, not the subnet").at(&part.place());
        let hint = if part.is_secret() { "the bits behind its prefix are zero".to_owned() } else { format!("write `{}`", net.trunc()) };
        r.push(error.hint(hint));
        return None;
    }
    Some(part.at(net))
}

pub(super) fn is_word(node: &Node, word: &str) -> bool {
    matches!(&node.body, Body::Scalar(scalar) if scalar.kind == Kind::Text && scalar.text == word)
}

/// Addresses, one or several, or `none` for none at all.
pub(super) fn one_or_more_or_none<T>(
    r: &mut Reader,
    node: &Node,
    what: &str,
    item: impl Fn(&mut Reader, &Part<'_>) -> Option<T>,
) -> Option<Vec<T>> {
    if is_word(node, "none") {
        return Some(vec![]);
    }
    r.one_or_more(node, what, |r, node| {
        let part = r.words(node, what)?;
        item(r, &part)
    })
}
