//! `volumes` at the top.

use serde_json::json;

use super::lists::LABELS;
use super::model::{Entries, Volume};
use super::node::{Kind, Node};
use super::reader::{Form, Key, Reader, key};
use super::scalars::TEXT;
use crate::diag::{At, Diagnostic};

#[derive(Default)]
pub(super) struct Draft {
    external: Option<At<External>>,
    name: Option<At<String>>,
    labels: Option<Entries<At<String>>>,
}

#[derive(Clone)]
enum External {
    Yes,
    No,
    Named(String),
}

pub(super) const KEYS: &[Key<Draft>] = &[
    key!(external: EXTERNAL, "A volume that exists already and is never deleted: `true`, or its name"),
    key!(name: TEXT, "The name of an external volume. Default: its name here"),
    key!(labels: LABELS, "Labels of the volume"),
];

const EXTERNAL: Form<At<External>> = Form {
    schema: || json!({"type": ["boolean", "string"], "minLength": 1}),
    read: |r, node| {
        let what = "`true`, or the name of a volume that exists already";
        let part = r.scalar(node, what)?;
        let is_bool = node.scalar().is_some_and(|s| s.kind == Kind::Bool);
        match part.text.to_ascii_lowercase().as_str() {
            "true" if is_bool => Some(part.at(External::Yes)),
            "false" if is_bool => Some(part.at(External::No)),
            "" => r.bad_hint(&part, what, "give it a value, or leave the key out"),
            _ => Some(part.at(External::Named(part.text.to_owned()))),
        }
    },
};

pub(super) fn read(r: &mut Reader, key: &At<String>, node: &Node) -> Volume {
    let mut draft = Draft::default();
    r.keys(node, "a volume", &[KEYS], &mut draft);
    let external = match (draft.external, draft.name) {
        (Some(At { value: External::Yes, place }), name) => Some(At::new(name.map_or_else(|| key.value.clone(), |n| n.value), place)),
        (Some(At { value: External::Named(name), place }), None) => Some(At::new(name, place)),
        (Some(At { value: External::Named(_), place }), Some(name)) => {
            let error = Diagnostic::invalid("the volume's name is given twice").at(&name.place);
            r.push(error.also(&place, "first here").hint("`external: true` beside `name`"));
            None
        }
        (None | Some(At { value: External::No, .. }), Some(name)) => {
            let error = Diagnostic::invalid("only an external volume can be given a name").at(&name.place);
            r.push(error.hint("`external: true`"));
            None
        }
        (None | Some(At { value: External::No, .. }), None) => None,
    };
    Volume { place: key.place.clone(), external, labels: draft.labels }
}
