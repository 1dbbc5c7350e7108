//! Whatever the file can say, somebody can change by hand: it is found, and it is all that is planned.
//!
//! The keys come from the JSON Schema. Each has a rule, which says how it is changed in the world, or a reason why there is nothing to
//! be found; a key with neither fails. What is planned for each is a snapshot.

mod cards;
mod machines;
mod networks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fly::actual::Actual;
use fly::desired::{Context, Desired, EnvText, resolve};
use fly::diff::{Action, Change};
use fly::fake::World;
use fly::plan::plan;
use fly::types::{Addr, ImageDefaults};
use serde_json::Value;

use crate::properties::up;

/// A key of the file, a file that has it, and what somebody does to the world that it has made.
struct Rule {
    key: &'static str,
    file: String,
    by_hand: fn(&mut Actual),
}

/// Keys that leave nothing in the world that could be changed.
const EXEMPT: &[(&str, &str)] = &[
    ("name", "it is what everything is known by: under another name it is another project's"),
    ("defaults", "it stands for the keys of the machines"),
    ("machine.depends_on", "an order of starting: nothing of it is left when it is done"),
    ("machine.depends_on.condition", "the same"),
    ("machine.depends_on.required", "whether the file may be without it"),
    ("machine.env_file.required", "whether the file may be without it"),
    ("machine.volumes.consistency", "Docker Desktop's, without an effect here"),
    ("machine.volumes.bind", "it holds keys of its own"),
    ("machine.volumes.bind.create_host_path", "settled when the machine is made"),
    ("machine.volumes.tmpfs", "it holds keys of its own"),
    ("machine.volumes.volume", "it holds keys of its own"),
    ("nic.probe", "how an address is first used: nothing of it is left"),
    ("network.probe", "the same"),
    ("network.pool", "where automatic addresses come from: the cards themselves are compared"),
    ("network.bridge", "another's, which is not fly's to make or change; `nic.network` is about being plugged into it"),
    ("volume.external", "another's, which is not fly's to make: a missing one is refused"),
    ("volume.name", "the same"),
    ("volume.labels", "the engine cannot change them, and data is not thrown away for them: the plan notes it"),
];

/// As dots lead there from the top, or from what the schema calls by a name of its own.
fn keys(schema: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, path: &str, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    match key.as_str() {
                        "$defs" => {
                            for (name, value) in value.as_object().unwrap() {
                                walk(value, name, found);
                            }
                        }
                        "properties" => {
                            for (name, value) in value.as_object().unwrap() {
                                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                                walk(value, &path, found);
                                found.insert(path);
                            }
                        }
                        _ => walk(value, path, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, path, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    walk(schema, "", &mut found);
    // An end of a cable can stand in the cable's own list.
    found.into_iter().map(|key| key.replacen("cable.ends.", "cable.", 1)).collect()
}

fn context() -> Context {
    let file = EnvText { shown: "a.env".into(), text: Ok("FROM_FILE=1\n".into()) };
    Context {
        directory: "/srv/t".into(),
        guest: "0123456789ab".into(),
        env_files: BTreeMap::from([("a.env".to_owned(), file)]),
        ..Context::default()
    }
}

fn desired(rule: &Rule) -> Desired {
    let text = format!("name: t\n{}", rule.file);
    let spec = fly::spec::parse("fly.yml", &text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{}: {errors:#?}\n{text}", rule.key));
    let agent = (rule.key == "agent").then(|| "0123456789ab".to_owned());
    resolve(&spec, &Context { agent, ..context() }).unwrap_or_else(|errors| panic!("{}: {errors:#?}\n{text}", rule.key))
}

/// The world as `fly up` has made it.
fn made(rule: &Rule, desired: &Desired) -> Actual {
    let world = World::new();
    for image in ["debian", "other"] {
        world.add_image(image, ImageDefaults::default());
    }
    world.add_bridge("br0");
    world.set_engine("28.5.0");
    let (_, report) = up(&world, desired, 1).unwrap();
    assert!(report.is_success(), "{}: {:?}", rule.key, report.failures().collect::<Vec<_>>());
    let images = desired.images().into_iter().map(str::to_owned).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(fly::observe::observe(&*world.engine(), &*world.net(), &desired.project, images)).unwrap()
}

/// As a reader has it: what is done to what, and for which fields.
fn planned(desired: &Desired, actual: &Actual) -> Vec<String> {
    let plan = plan(desired, actual).unwrap_or_else(|refusals| panic!("{refusals:#?}"));
    // A machine that is made anew gets its cards anew, and the image that it is made of is pulled before: that follows.
    let follows = |change: &Change| change.reason == "its machine starts" || matches!(change.addr, Addr::Image(_));
    let changes = plan.changes.iter().filter(|change| change.action != Action::Keep && !follows(change));
    let line = |change: &Change| {
        let fields: Vec<&str> = change.fields.iter().map(|field| field.field.as_str()).collect();
        match change.action {
            Action::Create | Action::Delete => format!("{} {}", change.addr, change.action.verb()),
            _ => format!("{} {}: {}", change.addr, change.action.verb(), fields.join(", ")),
        }
    };
    changes.map(line).collect()
}

#[test]
fn what_is_changed_by_hand_is_found_and_nothing_else_is_planned() {
    let schema: Value = serde_json::from_str(&fly::spec::schema()).unwrap();
    let rules: Vec<Rule> = machines::rules().into_iter().chain(cards::rules()).chain(networks::rules()).collect();
    let keys = keys(&schema);
    let known: BTreeSet<&str> = rules.iter().map(|rule| rule.key).chain(EXEMPT.iter().map(|(key, _)| *key)).collect();
    let missing: Vec<&String> = keys.iter().filter(|key| !known.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "neither a rule nor a reason: {missing:#?}");
    let strange: Vec<&&str> = known.iter().filter(|key| !keys.contains(**key)).collect();
    assert!(strange.is_empty(), "no keys of the schema: {strange:#?}");

    let (mut shown, mut wrong) = (String::new(), vec![]);
    for rule in &rules {
        let desired = desired(rule);
        let mut actual = made(rule, &desired);
        assert_eq!(planned(&desired, &actual), Vec::<String>::new(), "{}: the world as it was made differs", rule.key);
        let before = actual.clone();
        (rule.by_hand)(&mut actual);
        assert!(actual != before, "{}: nothing was changed by hand", rule.key);
        let all = planned(&desired, &actual);
        if all.len() != 1 {
            wrong.push(format!("{}: {all:?}", rule.key));
        }
        let _ = writeln!(shown, "{}: {}", rule.key, all.join("; "));
    }
    assert!(wrong.is_empty(), "not exactly one change: {wrong:#?}");
    insta::assert_snapshot!("drift", shown);
}
