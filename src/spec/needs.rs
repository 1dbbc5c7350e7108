//! Which other machines a machine needs: `links`, `depends_on`, `network_mode`.

use std::collections::BTreeMap;

use serde_json::json;

use super::lists;
use super::model::{Condition, Dependency, Entries, MachineLink, NetworkModeSpec};
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, BOOL, NAME_PATTERN};
use super::schema;
use crate::diag::{At, Diagnostic, Place};

const MACHINE: &str = "the name of a machine";

const CONDITIONS: &[(&str, Condition)] = &[
    ("started", Condition::Started),
    ("healthy", Condition::Healthy),
    ("completed", Condition::Completed),
    ("service_started", Condition::Started),
    ("service_healthy", Condition::Healthy),
    ("service_completed_successfully", Condition::Completed),
];

pub(super) const LINKS: Form<Vec<MachineLink>> = Form {
    schema: || schema::list(schema::matching(&format!("{NAME_PATTERN}(:[a-zA-Z0-9_][a-zA-Z0-9._-]*)?"))),
    read: |r, node| r.list(node, "a list of machines, as `[db, \"db:database\"]`", link),
};

pub(super) const DEPENDS_ON: Form<Entries<Dependency>> = Form {
    schema: || {
        let long = json!({"type": "object", "additionalProperties": schema::nullable(schema::object(&[KEYS], &[])), "propertyNames": {"pattern": format!("^{NAME_PATTERN}$")}});
        schema::any(vec![long, schema::list(schema::matching(NAME_PATTERN))])
    },
    read: depends_on,
};

pub(super) const NETWORK_MODE: Form<At<NetworkModeSpec>> =
    Form { schema: || schema::matching("none|host|(container|machine|service):.+"), read: network_mode };

#[derive(Default)]
struct Draft {
    condition: Option<At<Condition>>,
    required: Option<At<bool>>,
}

const KEYS: &[Key<Draft>] = &[
    key!(condition: CONDITION, "What it waits for. Default: `started`"),
    key!(required: BOOL, "Whether the other must be in the file. Default: true"),
];

const CONDITION: Form<At<Condition>> = Form {
    schema: || schema::one_of(CONDITIONS.iter().map(|(name, _)| *name)),
    read: |r, node| {
        let part = r.words(node, "a condition")?;
        r.one_of(&part, CONDITIONS, "a condition")
    },
};

fn link(r: &mut Reader, node: &Node) -> Option<MachineLink> {
    let part = r.words(node, "the name of a machine, as `db` or `db:database`")?;
    let (machine, alias) = match part.split_once(':') {
        Some((machine, alias)) => (machine, Some(alias)),
        None => (part, None),
    };
    let machine = scalars::name(r, &machine, MACHINE);
    let alias = match alias {
        Some(alias) => Some(lists::host_name(r, &alias)?),
        None => None,
    };
    Some(MachineLink { machine: machine?, alias })
}

fn depends_on(r: &mut Reader, node: &Node) -> Option<Entries<Dependency>> {
    if let Body::Map(_) = &node.body {
        return r.entries(node, "machines", |r, key, node| {
            let mut draft = Draft::default();
            r.keys(node, "a dependency", &[KEYS], &mut draft);
            scalars::name(r, &Part::key(key), MACHINE)?;
            let condition = draft.condition.unwrap_or_else(|| At::new(Condition::default(), key.place.clone()));
            Some(Dependency { condition, required: draft.required.is_none_or(|required| required.value) })
        });
    }
    let names = r.list(node, "machines, as `[db]` or `{db: {condition: healthy}}`", |r, node| {
        let part = r.words(node, MACHINE)?;
        scalars::name(r, &part, MACHINE)
    })?;
    let (mut out, mut known): (Entries<Dependency>, BTreeMap<String, Place>) = (Entries::default(), BTreeMap::new());
    for name in names {
        if let Some(first) = known.get(&name.value) {
            let error = Diagnostic::invalid(format!("`{}` is written twice", name.value)).at(&name.place);
            r.push(error.label("here again").also(first, "first here").hint("leave one of them out"));
            continue;
        }
        known.insert(name.value.clone(), name.place.clone());
        let condition = At::new(Condition::default(), name.place.clone());
        out.0.push((name, Dependency { condition, required: true }));
    }
    Some(out)
}

fn network_mode(r: &mut Reader, node: &Node) -> Option<At<NetworkModeSpec>> {
    const WHAT: &str = "a network mode";
    let part = r.words(node, WHAT)?;
    let mode = match (part.text, part.split_once(':')) {
        ("none", _) => NetworkModeSpec::None,
        ("host", _) => NetworkModeSpec::Host,
        ("bridge" | "default", _) => return r.bad_hint(&part, WHAT, "leave it out: a machine without `nics` gets a card on a nat network"),
        (_, Some((kind, name))) if matches!(kind.text, "machine" | "service") => {
            NetworkModeSpec::Machine(scalars::name(r, &name, MACHINE)?.value)
        }
        (_, Some((kind, name))) if kind.text == "container" => {
            NetworkModeSpec::Container(scalars::filled(r, &name, "the name of a container")?.value)
        }
        _ => return r.bad_near(&part, WHAT, &["none", "host"], "one of `none`, `host`, `machine:NAME` and `container:NAME`"),
    };
    Some(part.at(mode))
}
