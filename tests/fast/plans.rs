//! Plans of pairs of files, in every rendering: what is in `plans/` is made, changed as the second file says (or by hand), planned,
//! rendered, held against its snapshot, applied, and planned again.
//!
//! A case is a file: a comment that says what it is about, `# by hand: …` and other orders in comments, the file as it was, `---`, and
//! the file as it is. Without `---` there is nothing yet; where something was done by hand, both are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use fly::actual::Actual;
use fly::desired::{Context, Desired, EnvText, OrphanVolumes, resolve};
use fly::fake::World;
use fly::net::LinkSet;
use fly::plan::render::{self, Options};
use fly::plan::review::{Aside, Review};
use fly::plan::{Plan, plan};
use fly::spec;
use fly::types::{Bytes, ImageDefaults, Limits, Restart};

use crate::properties::{looked, up};

/// As many cases as there have to be.
const LEAST: usize = 200;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2yYx3fG2cZ0oYwUqI9d8B8l2yWw5m0m8oRrG1q2h3k ada";

pub(crate) fn options() -> Options {
    Options { color: false, steps: true, file: "fly.yml".into(), folder: "deploy".into() }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fast/plans")
}

/// Topic, name and text of each.
fn cases() -> Vec<(String, String, String)> {
    let mut all = vec![];
    for topic in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for case in std::fs::read_dir(&topic).unwrap().map(|entry| entry.unwrap().path()) {
            if case.extension().is_some_and(|it| it == "yml") {
                let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
                all.push((name(&topic), name(&case), std::fs::read_to_string(&case).unwrap()));
            }
        }
    }
    all.sort();
    all
}

pub(crate) fn resolved(text: &str) -> Desired {
    let environment = BTreeMap::from([("TAG".to_owned(), "12".to_owned()), ("TOKEN".to_owned(), "hunter2-of-the-environment".to_owned())]);
    let spec = spec::parse("fly.yml", text, &environment).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"));
    let env_file = EnvText { shown: "app.env".into(), text: Ok("MODE=dev\nLEVEL=3\n".into()) };
    let context = Context {
        directory: "/srv/shop".into(),
        home: Some("/home/user".into()),
        environment,
        env_files: BTreeMap::from([("app.env".to_owned(), env_file)]),
        own_keys: BTreeSet::from([KEY.to_owned()]),
        guest: "0123456789ab".into(),
        agent: Some("0123456789ab".into()),
        ..Context::default()
    };
    resolve(&spec, &context).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
}

pub(crate) fn empty_world(text: &str) -> World {
    let world = World::new();
    world.set_engine("28.5.1");
    for card in ["eth2", "eth3", "eth4"] {
        world.add_parent(card);
    }
    world.add_bridge("br0");
    let images: BTreeSet<&str> = text.split("image: ").skip(1).filter_map(|rest| rest.split([',', '}', '\n', ' ']).next()).collect();
    for image in images.into_iter().map(|image| image.trim_matches('"')) {
        let mut defaults = ImageDefaults { command: Some(vec!["serve".into()]), ..ImageDefaults::default() };
        if image.starts_with("cache") {
            defaults.volumes.insert("/state".into());
        }
        if image.starts_with("far") { world.add_to_registry(image, defaults) } else { world.add_image(image, defaults) }
    }
    world
}

struct Case {
    world: World,
    before: Option<Desired>,
    after: Desired,
    layers: BTreeMap<String, Bytes>,
}

impl Case {
    fn new(text: &str) -> Self {
        let world = empty_world(text);
        let (first, second) = text.split_once("\n---\n").map_or((None, text), |(first, second)| (Some(first), second));
        let mut after = resolved(second);
        let orders: Vec<(&str, &str)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# ")?.split_once(": "))
            .filter(|(word, _)| !word.contains(' ') || *word == "by hand")
            .collect();
        let by_hand: Vec<&str> = orders.iter().filter(|(word, _)| *word == "by hand").map(|(_, what)| *what).collect();
        let before = match first {
            Some(first) => Some(resolved(first)),
            None if by_hand.is_empty() => None,
            None => Some(after.clone()),
        };
        if let Some(before) = &before {
            let (_, report) = up(&world, before, 16).unwrap();
            assert!(report.is_success(), "{:?}", report.failures().collect::<Vec<_>>());
        }
        for what in by_hand {
            done_by_hand(&world, what);
        }
        let mut layers = BTreeMap::new();
        for (word, what) in orders {
            match (word, what) {
                ("layer", what) => {
                    let (machine, bytes) = what.split_once(' ').unwrap();
                    layers.insert(machine.to_owned(), Bytes(bytes.parse().unwrap()));
                }
                ("down", "volumes") => after = Desired { orphan_volumes: OrphanVolumes::Delete, ..after.emptied() },
                ("down", _) => after = after.emptied(),
                _ => {}
            }
        }
        Self { world, before, after, layers }
    }

    fn actual(&self) -> Actual {
        let mut actual = looked(&self.world, &self.after);
        for (machine, state) in &mut actual.engine.machines {
            state.writable_layer = self.layers.get(machine.as_str()).copied();
        }
        actual
    }
}

fn done_by_hand(world: &World, what: &str) {
    let words: Vec<&str> = what.split(' ').collect();
    let name = |machine: &str| format!("shop.{machine}");
    let set = |machine: &str, link: &str, set: LinkSet| world.drift_set_link(Some(&name(machine)), link, &set);
    match words.as_slice() {
        ["kill", machine] => world.drift_kill(&name(machine)),
        ["restart", machine] => world.drift_restart(&name(machine)),
        ["remove", machine] => world.drift_remove(&name(machine)),
        ["pause", machine] => world.drift_pause(&name(machine)),
        ["mtu", machine, link, mtu] => set(machine, link, LinkSet { mtu: Some(mtu.parse().unwrap()), ..LinkSet::default() }),
        ["down", machine, link] => set(machine, link, LinkSet { up: Some(false), ..LinkSet::default() }),
        ["mac", machine, link, mac] => set(machine, link, LinkSet { mac: Some(mac.parse().unwrap()), ..LinkSet::default() }),
        ["address", machine, link, address] => {
            set(machine, link, LinkSet { add_addresses: BTreeSet::from([address.parse().unwrap()]), ..LinkSet::default() });
        }
        ["no-address", machine, link, address] => {
            set(machine, link, LinkSet { remove_addresses: BTreeSet::from([address.parse().unwrap()]), ..LinkSet::default() });
        }
        ["delete-link", machine, link] => world.drift_delete_link(Some(&name(machine)), link),
        ["rename-link", machine, link, to] => world.drift_rename_link(&name(machine), link, to),
        ["disconnect", machine, network] => world.drift_disconnect(&name(machine), &name(network)),
        ["memory", machine, bytes] => {
            let limits = Limits { memory: Some(Bytes(bytes.parse().unwrap())), ..Limits::default() };
            world.drift_limits(&name(machine), &limits, Restart::No);
        }
        ["hosts", machine] => world.drift_clear_hosts(&name(machine)),
        ["delete-volume", volume] => world.drift_delete_volume(&name(volume)),
        ["stranger", container] => world.add_stranger_container(container, "debian:12", &[]),
        _ => panic!("nobody knows how to {what}"),
    }
}

/// All renderings, each under what a user would type.
fn renderings(review: &Review<'_>) -> String {
    let options = options();
    [
        ("--steps", render::text(review, &options)),
        ("--format markdown", render::markdown(review, &options)),
        ("--format github", render::github(review, &options)),
        ("--format json", render::json(review)),
    ]
    .iter()
    .map(|(option, text)| format!("$ fly plan {option}\n{text}\n"))
    .collect()
}

/// The cases of one topic. `FLY_PLAN_CASE` in the environment picks some of them.
fn all_of(topic: &str) {
    let only = std::env::var("FLY_PLAN_CASE").unwrap_or_default();
    let schema: serde_json::Value = serde_json::from_str(&render::schema()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut wrong = vec![];
    for (_, name, text) in cases().iter().filter(|(of, name, _)| of == topic && format!("{topic}/{name}").contains(&only)) {
        let tried = std::panic::catch_unwind(AssertUnwindSafe(|| one(topic, name, text, &validator)));
        wrong.extend(tried.err().map(|_| format!("{topic}/{name}")));
    }
    assert!(wrong.is_empty(), "{} cases differ: {wrong:#?}", wrong.len());
}

/// One test a topic: they run beside each other.
macro_rules! topics {
    ($($test:ident: $topic:literal,)*) => {
        const TOPICS: &[&str] = &[$($topic),*];
        $(#[test]
        fn $test() {
            all_of($topic);
        })*
    };
}

topics! {
    of_machines: "machine",
    of_cards: "nic",
    of_networks: "network",
    of_cables: "cable",
    of_volumes: "volume",
    of_the_whole: "whole",
    of_what_was_done_by_hand: "by-hand",
}

#[test]
fn there_are_enough_cases_and_none_is_forgotten() {
    let cases = cases();
    assert!(cases.len() >= LEAST, "{} cases", cases.len());
    let unknown: Vec<_> = cases.iter().filter(|(topic, ..)| !TOPICS.contains(&topic.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn one(topic: &str, name: &str, text: &str, validator: &jsonschema::Validator) {
    let case = Case::new(text);
    let actual = case.actual();
    let made: Plan = plan(&case.after, &actual).unwrap_or_else(|errors| panic!("{topic}/{name}: {errors:#?}"));
    let review = Review::new(&made, &case.after, &actual, Aside::of(&made));
    let shown = renderings(&review);
    let document: serde_json::Value = serde_json::from_str(&render::json(&review)).unwrap();
    let errors: Vec<_> = validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{topic}/{name}: {errors:#?}");
    for text in [render::markdown(&review, &options()), render::github(&review, &options()), render::text(&review, &options())] {
        assert!(!text.contains("hunter2"), "{topic}/{name}: {text}");
    }
    let title =
        text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_else(|| panic!("{topic}/{name} does not say what it is about"));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder().join(topic));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(title);
    settings.bind(|| insta::assert_snapshot!(name, shown));
    assert!(!made.is_empty() || case.before.is_some(), "{topic}/{name} says something");
    let (_, report) = up(&case.world, &case.after, 16).unwrap();
    assert!(report.is_success(), "{topic}/{name}: {:?}", report.failures().collect::<Vec<_>>());
    let left = plan(&case.after, &looked(&case.world, &case.after)).unwrap();
    assert!(left.is_empty(), "{topic}/{name}: left to do after it was done: {:#?}", left.changes);
}

#[test]
fn no_snapshot_is_left_without_its_case() {
    let cases: BTreeSet<String> = cases().into_iter().map(|(topic, name, _)| format!("{topic}/{name}")).collect();
    for topic in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(&topic).unwrap().map(|entry| entry.unwrap().path()) {
            let name = format!("{}/{}", topic.file_name().unwrap().display(), file.file_stem().unwrap().display());
            assert!(cases.contains(&name), "{}", file.display());
        }
    }
}

#[test]
fn the_schema_is_the_one_in_the_repository() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/plan.schema.json");
    if std::env::var_os("FLY_UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, render::schema()).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == render::schema(), "schema/plan.schema.json is out of date: FLY_UPDATE_SCHEMA=1 cargo test --test fast plans::");
    assert!(jsonschema::meta::is_valid(&serde_json::from_str(&committed).unwrap()));
}
