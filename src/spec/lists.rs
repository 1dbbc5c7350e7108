//! What Compose writes as a mapping or as a list of `name=value`: environment, labels, sysctls, hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::model::{Entries, EnvFile, HostAddress};
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, BOOL, TEXT};
use super::{schema, shell};
use crate::diag::{At, Diagnostic, Place};

pub(super) const TEXT_OR_TEXTS: Form<Vec<At<String>>> = Form {
    schema: || schema::one_or_more(schema::text()),
    read: |r, node| r.one_or_more(node, "a text, or a list of them, as `a` or `[a, b]`", TEXT.read),
};

pub(super) const ADDRESSES: Form<Vec<At<IpAddr>>> = Form {
    schema: || schema::one_or_more((scalars::IP.schema)()),
    read: |r, node| r.one_or_more(node, scalars::ADDRESS, scalars::IP.read),
};

pub(super) const COMMAND: Form<At<Vec<String>>> = Form {
    schema: || schema::any(vec![schema::described(schema::any_text(), "Split as a shell would"), schema::list(schema::scalar())]),
    read: command,
};

pub(super) const ENVIRONMENT: Form<Entries<Option<At<String>>>> = Form {
    schema: || {
        let values = schema::map(json!({"type": ["string", "number", "boolean", "null"]}));
        schema::any(vec![values, schema::list_of(schema::matching("[^=]+(=[\\s\\S]*)?"), None)])
    },
    read: |r, node| pairs(r, node, "variables, as `{NAME: value}` or `[NAME=value]`", NoValue::Optional),
};

pub(super) const LABELS: Form<Entries<At<String>>> = Form {
    schema: label_schema,
    read: |r, node| {
        let labels = with_values(r, node, "labels, as `{name: value}` or `[name=value]`", NoValue::Empty)?;
        for (name, _) in labels.0.iter().filter(|(name, _)| name.value.starts_with("fly.")) {
            let error = Diagnostic::invalid("labels that begin with `fly.` are kept for fly itself").at(&name.place);
            r.push(error.hint("another name for the label"));
        }
        Some(labels)
    },
};

pub(super) const SYSCTLS: Form<Entries<At<String>>> =
    Form { schema: sysctl_schema, read: |r, node| with_values(r, node, "sysctls, as `{net.ipv4.ip_forward: 1}`", NoValue::Required) };

pub(super) const ENV_FILE: Form<Vec<EnvFile>> = Form {
    schema: || schema::one_or_more(schema::any(vec![schema::text(), schema::object(&[ENV_FILE_KEYS], &["path"])])),
    read: |r, node| r.one_or_more(node, "the path of a file, or a list of them, as `web.env`", env_file),
};

type Hosts = Vec<(At<String>, At<HostAddress>)>;

const HOST_ADDRESS: &str = r"(\[?[0-9a-fA-F.:]+\]?|host-gateway)";

pub(super) const EXTRA_HOSTS: Form<Hosts> = Form {
    schema: || {
        let address = schema::matching(HOST_ADDRESS);
        let map = json!({"type": "object", "additionalProperties": schema::one_or_more(address), "propertyNames": {"pattern": "^[a-zA-Z0-9_][a-zA-Z0-9._-]*$"}});
        schema::any(vec![map, schema::list(schema::matching(&format!(r"[^\s:=]+\s*[:=]\s*{HOST_ADDRESS}")))])
    },
    read: |r, node| match &node.body {
        Body::Map(entries) => Some(entries.iter().flat_map(|(name, node)| hosts(r, name, node)).collect()),
        _ => r.list(node, "hosts, as `[name:10.0.0.1]` or `{name: 10.0.0.1}`", host),
    },
};

fn label_schema() -> Value {
    let values = schema::map(json!({"type": ["string", "number", "boolean", "null"]}));
    schema::any(vec![values, schema::list_of(schema::matching("[^=]+(=[\\s\\S]*)?"), None)])
}

/// Each has a value.
fn sysctl_schema() -> Value {
    schema::any(vec![schema::map(schema::scalar()), schema::list_of(schema::matching("[^=]+=[\\s\\S]*"), None)])
}

fn command(r: &mut Reader, node: &Node) -> Option<At<Vec<String>>> {
    if let Body::Seq(_) = &node.body {
        return Some(At::new(r.list(node, "a command", word)?, node.place.clone()));
    }
    if node.is_null() {
        // As in Compose: what the image says.
        return None;
    }
    let part = r.words(node, "a command: a text, or a list of words")?;
    match shell::split(part.text) {
        Ok(words) => Some(part.at(words)),
        Err(error) => {
            let hint = "write it as a list: `[first, \"second word\"]`";
            r.push(Diagnostic::invalid("the command cannot be split into words").at(&part.place()).label(error.to_string()).hint(hint));
            None
        }
    }
}

/// A word of a command: it may be empty, but the kernel's strings end at a NUL.
pub(super) fn word(r: &mut Reader, node: &Node) -> Option<String> {
    let part = r.scalar(node, "a word of the command")?;
    if part.text.contains('\0') {
        return r.bad_hint(&part, "a word of a command", "leave the NUL (`\\0`) out: the kernel's texts end there");
    }
    Some(part.text.to_owned())
}

/// What a name without a value means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NoValue {
    Optional,
    Empty,
    Required,
}

fn with_values(r: &mut Reader, node: &Node, what: &str, value: NoValue) -> Option<Entries<At<String>>> {
    let pairs = pairs(r, node, what, value)?;
    Some(Entries(pairs.0.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
}

fn pairs(r: &mut Reader, node: &Node, what: &str, empty: NoValue) -> Option<Entries<Option<At<String>>>> {
    let mut out: Entries<Option<At<String>>> = Entries::default();
    if let Body::Map(entries) = &node.body {
        for (key, node) in entries {
            let value = if node.is_null() { missing(r, &Part::key(key), empty) } else { r.scalar(node, "a text").map(|p| Some(p.text())) };
            out.0.extend(value.filter(|_| name(r, &Part::key(key))).map(|value| (key.clone(), value)));
        }
        return Some(out);
    }
    let mut known: BTreeMap<String, Place> = BTreeMap::new();
    for (key, value) in r.list(node, what, |r, node| pair(r, node, empty))? {
        if let Some(first) = known.get(&key.value) {
            let error = Diagnostic::invalid(format!("`{}` is written twice", key.value.chars().take(60).collect::<String>()));
            let error = error.at(&key.place).label("here again").also(first, "first here");
            r.push(error.hint("leave one of them out: only one value can count"));
        } else {
            known.insert(key.value.clone(), key.place.clone());
            out.0.push((key, value));
        }
    }
    Some(out)
}

/// `NAME=value`, or `NAME` alone.
fn pair(r: &mut Reader, node: &Node, empty: NoValue) -> Option<(At<String>, Option<At<String>>)> {
    let part = r.scalar(node, "`name=value`")?;
    let (key, value) = match part.split_once('=') {
        Some((key, value)) => (key, Some(value.text())),
        None => (part, missing(r, &part, empty)?),
    };
    name(r, &key).then(|| (key.text(), value))
}

#[expect(clippy::option_option, reason = "outside: a mistake was reported; inside: the value is left to the environment")]
fn missing(r: &mut Reader, name: &Part<'_>, empty: NoValue) -> Option<Option<At<String>>> {
    match empty {
        NoValue::Optional => Some(None),
        NoValue::Empty => Some(Some(name.at(String::new()))),
        NoValue::Required => {
            let error = Diagnostic::invalid(format!("`{}` has no value", name.shown())).at(&name.place());
            r.push(error.hint(format!("`{}: VALUE`", name.shown())));
            None
        }
    }
}

fn name(r: &mut Reader, part: &Part<'_>) -> bool {
    let good = !part.text.is_empty() && !part.text.contains(['=', '\0']) && part.text.trim() == part.text;
    if !good {
        let _: Option<()> = r.bad_hint(part, "a name that can have a value", "neither empty nor with `=` in it, and no spaces around it");
    }
    good
}

#[derive(Default)]
struct EnvFileDraft {
    path: Option<At<String>>,
    required: Option<At<bool>>,
}

const ENV_FILE_KEYS: &[Key<EnvFileDraft>] = &[
    key!(path: TEXT, "Where the file is, from the directory of fly.yml"),
    key!(required: BOOL, "Whether it is an error that there is no such file. Default: true"),
];

fn env_file(r: &mut Reader, node: &Node) -> Option<EnvFile> {
    let Body::Map(entries) = &node.body else {
        return (TEXT.read)(r, node).map(|path| EnvFile { path, required: true });
    };
    let mut draft = EnvFileDraft::default();
    r.keys(node, "an environment file", &[ENV_FILE_KEYS], &mut draft);
    if !entries.iter().any(|(key, _)| key.value == "path") {
        r.missing(&node.place, "an environment file", "path");
    }
    Some(EnvFile { path: draft.path?, required: draft.required.is_none_or(|required| required.value) })
}

fn hosts(r: &mut Reader, name: &At<String>, node: &Node) -> Hosts {
    let name = host_name(r, &Part::key(name));
    let addresses = r.one_or_more(node, scalars::ADDRESS, |r, node| {
        let part = r.words(node, scalars::ADDRESS)?;
        host_address(r, &part)
    });
    let Some(name) = name else { return vec![] };
    addresses.unwrap_or_default().into_iter().map(|address| (name.clone(), address)).collect()
}

fn host(r: &mut Reader, node: &Node) -> Option<(At<String>, At<HostAddress>)> {
    let what = "a host, as `name:10.0.0.1`";
    let part = r.words(node, what)?;
    let Some(at) = part.text.find([':', '=']) else { return r.bad(&part, what) };
    let (name, address) = part.split_once(char::from(part.text.as_bytes()[at]))?;
    let (name, address) = (host_name(r, &name.trim()), host_address(r, &address.trim()));
    Some((name?, address?))
}

fn host_address(r: &mut Reader, part: &Part<'_>) -> Option<At<HostAddress>> {
    if part.text == "host-gateway" {
        return Some(part.at(HostAddress::Gateway));
    }
    let inner = part.strip_prefix("[").and_then(|p| p.strip_suffix("]")).unwrap_or(*part);
    scalars::address(r, &inner).map(|address| address.map(HostAddress::Ip))
}

/// A name as `/etc/hosts` takes it.
pub(super) fn host_name(r: &mut Reader, part: &Part<'_>) -> Option<At<String>> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if part.text.is_empty() || part.text.len() > 253 || !part.text.chars().all(good) || part.text.starts_with(['-', '.']) {
        return r.bad_hint(part, "the name of a host", "letters, digits, `-`, `_` and `.`, a letter or digit first");
    }
    Some(part.text())
}

pub(super) const HOSTNAME: Form<At<String>> = Form {
    schema: || schema::matching("[a-zA-Z0-9_][a-zA-Z0-9._-]{0,62}"),
    read: |r, node| {
        let part = r.words(node, "the name of a host")?;
        if part.text.len() > 63 {
            // The kernel has 64 bytes for it, the last of them is zero.
            return r.bad_hint(&part, "the name of a host", "it has at most 63 characters");
        }
        host_name(r, &part)
    },
};
