//! Worlds that nobody has to have: what `up` of a file would leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fly::desired::{Context, Desired, resolve};
use fly::diff::{Action, Change};
use fly::plan::{Plan, plan};
use fly::types::Addr;
use fly::{ideal, spec};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestCaseError};

use crate::properties::{planned, steps, up};
use crate::sketch::{Sketch, sketch};

fn config() -> Config {
    let cases = std::env::var("FLY_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    Config { cases, rng_seed: RngSeed::Fixed(4), max_shrink_iters: 4000, failure_persistence: None, ..Config::default() }
}

fn between(old: &Desired, new: &Desired) -> Result<Plan, String> {
    let told = |wrong: Vec<fly::diag::Diagnostic>| format!("{:?}", wrong.into_iter().map(|it| it.message).collect::<Vec<_>>());
    let world = ideal::world(old, ideal::host(old, new)).map_err(told)?;
    plan(new, &world).map_err(told)
}

fn resolved(sketch: &Sketch) -> Result<Desired, TestCaseError> {
    sketch.desired().map_err(|errors| TestCaseError::reject(format!("{} errors", errors.len())))
}

/// What a reader sees of changes, without what only a real host decides: images, and which addresses leases are.
fn told(plan: &Plan) -> BTreeSet<String> {
    let is_change = |change: &&Change| change.action != Action::Keep && !matches!(change.addr, Addr::Image(_));
    let line = |change: &Change| {
        let fields: Vec<String> = change.fields.iter().map(|it| format!("{}: {:?} -> {:?}", it.field, it.old, it.new)).collect();
        format!("{} {:?} {:?} {} {fields:?}", change.addr, change.action, change.impact, change.reason)
    };
    plan.changes.iter().filter(is_change).map(line).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_file_of_an_ideal_world_has_nothing_to_do_there(sketch in sketch()) {
        let desired = resolved(&sketch)?;
        let again = between(&desired, &desired).map_err(TestCaseError::fail)?;
        prop_assert!(again.is_empty(), "{}", steps(&again));
        let changed: Vec<_> = again.changes.iter().filter(|change| change.action != Action::Keep).collect();
        prop_assert!(changed.is_empty(), "{changed:?}");
    }

    /// The ideal world is as good as one that somebody has made: the same changes are planned in both.
    #[test]
    fn two_files_differ_as_in_a_world_where_the_one_was_applied((old, new) in (sketch(), sketch()), turn in prop::option::of((1..3_u8, 0..8_u8))) {
        let new = turn.map_or(new, |(by, what)| old.turned(by, what));
        let (old, new) = (resolved(&old)?, resolved(&new)?);
        let world = crate::history::ordinary();
        prop_assume!(up(&world, &old, 16).is_ok_and(|(_, report)| report.is_success()));
        let Ok(really) = planned(&world, &new) else { return Ok(()) };
        let ideally = between(&old, &new).map_err(TestCaseError::fail)?;
        prop_assert_eq!(told(&ideally), told(&really));
    }
}

fn files(folder: &str) -> BTreeMap<PathBuf, String> {
    fn walk(folder: &Path, all: &mut BTreeMap<PathBuf, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|ending| ending == "yml" || ending == "yaml") {
                all.insert(path.clone(), std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut all = BTreeMap::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut all);
    all
}

/// All that the tests of the grammar call right, and all examples: with every key that there is.
#[test]
fn every_file_that_is_right_gives_a_world_in_which_it_has_nothing_to_do() {
    let mut tried = 0;
    for (path, text) in files("tests/fast/spec/valid").into_iter().chain(files("examples")) {
        let Ok(spec) = spec::parse("fly.yml", &text, &BTreeMap::new()) else { continue };
        let context = Context {
            directory: "/srv/shop".into(),
            home: Some("/home/user".into()),
            guest: "0123456789ab".into(),
            agent: Some("0123456789ab".into()),
            key_files: crate::readme::keys_of_the_quickstart(),
            ..Context::default()
        };
        let Ok(desired) = resolve(&spec, &context) else { continue };
        let again = between(&desired, &desired).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        let changed: Vec<_> = again.changes.iter().filter(|change| change.action != Action::Keep).collect();
        assert!(again.is_empty() && changed.is_empty(), "{}: {changed:#?}{}", path.display(), steps(&again));
        tried += 1;
    }
    let spec = spec::parse("fly.yml", crate::canary::WHOLE, &BTreeMap::new()).unwrap();
    let desired = resolve(&spec, &crate::canary::context("x"))
        .unwrap_or_else(|wrong| panic!("{:?}", wrong.iter().map(|it| &it.message).collect::<Vec<_>>()));
    let again = between(&desired, &desired).unwrap();
    assert!(again.is_empty(), "{}", steps(&again));
    assert!(tried >= 8, "only {tried} files");
}
