//! `fly plan` for many machines from a recorded world, and against another revision: nothing but fly itself is measured.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fly::actual::Actual;
use fly::desired::{self, Context, Desired};
use fly::engine::EngineOp;
use fly::fake::World;
use fly::plan::Op;
use fly::types::ImageDefaults;
use fly::{apply, observe, plan, spec};
use tokio::sync::watch;

use crate::Asked;
use crate::measure::{self, Measured};
use crate::report::{self, Times};

const MACHINES: usize = 500;
const TIME: Duration = Duration::from_millis(200);
const MEMORY: u64 = 30 << 10;

pub(crate) fn figures(asked: &Asked) {
    let folder = std::env::temp_dir().join(format!("fly-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = fly_yml(MACHINES);
    std::fs::write(folder.join("fly.yml"), &file).unwrap();
    let (empty, full) = worlds(&file);
    for (name, actual) in [("empty", &empty), ("full", &full)] {
        std::fs::write(folder.join(name), serde_json::to_vec_pretty(actual).unwrap()).unwrap();
    }
    drop((empty, full));
    for (way, name, what) in [
        ("--world", "empty", "all to be created"),
        ("--world", "full", "all running"),
        ("--base", "HEAD", "the same revision"),
        ("--base", "HEAD~1", "one in ten changed since a revision"),
    ] {
        if name == "HEAD" {
            revisions(&folder, &file);
        }
        let runs: Vec<Measured> = (0..asked.rounds.max(7)).map(|_| fly_plan(&folder, way, name)).collect();
        report::within(&format!("plan {MACHINES} machines, {what}: time"), &runs.iter().map(|run| run.time).collect::<Times>(), TIME);
        report::shown("  of the processor's", &runs.iter().map(|run| run.processor).collect::<Times>().text());
        report::memory(&format!("plan {MACHINES} machines, {what}: memory"), runs.iter().map(|run| run.memory).max().unwrap(), MEMORY);
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A revision with other images for some, and one with the file.
fn revisions(folder: &Path, file: &str) {
    let git = |args: &[&str]| {
        let name = ["-c", "user.name=bench", "-c", "user.email=bench@example.org"];
        let done = Command::new("git").args(name).args(args).current_dir(folder).status().unwrap();
        assert!(done.success(), "git {args:?}");
    };
    let old: String =
        file.lines().map(|line| if line.ends_with("0:") { format!("{line}\n    image: other:1\n") } else { format!("{line}\n") }).collect();
    git(&["init", "-q"]);
    for text in [old.as_str(), file] {
        std::fs::write(folder.join("fly.yml"), text).unwrap();
        git(&["add", "fly.yml"]);
        git(&["commit", "-q", "-m", "file"]);
    }
    git(&["gc", "-q"]);
}

/// So many machines, each with an address of its own on one macvlan network.
fn fly_yml(machines: usize) -> String {
    let mut text = "name: shop\ndefaults: {image: 'fly/busybox:test'}\nnetworks:\n  \
                    lan: {parent: eth1, subnet: 10.77.0.0/16, gateway: 10.77.0.1}\nmachines:\n"
        .to_owned();
    for number in 0..machines {
        let _ = writeln!(text, "  m{number}:\n    nics: {{eth0: lan}}");
    }
    text
}

fn resolve(file: &str) -> Desired {
    let spec = spec::parse("fly.yml", file, &BTreeMap::new()).unwrap();
    desired::resolve(&spec, &Context { directory: "/srv/shop".into(), ..Context::default() }).unwrap()
}

/// The world before and after `up`.
fn worlds(file: &str) -> (Actual, Actual) {
    let world = World::new();
    world.add_parent("eth1");
    world.add_image("fly/busybox:test", ImageDefaults { command: Some(vec!["/bin/stay".into()]), ..ImageDefaults::default() });
    let desired = resolve(file);
    let images = || desired.images().into_iter().map(str::to_owned).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (engine, net) = (world.engine(), world.net());
        let before = observe::observe(&*engine, &*net, &desired.project, images()).await.unwrap();
        let plan = plan::plan(&desired, &before).unwrap();
        let creations = plan.steps.iter().filter(|step| matches!(step.op, Op::Engine(EngineOp::CreateContainer { .. })));
        assert_eq!(creations.count(), MACHINES);
        let (_go, stop) = watch::channel(false);
        let processes = observe::processes(&before);
        let (done, over) = (Arc::clone(&engine), Arc::clone(&net));
        let report = apply::apply(&plan, done, over, processes, apply::Options::default(), |_| (), stop).await;
        assert!(report.outcomes.iter().all(|(_, outcome, _)| *outcome == apply::Outcome::Done));
        let after = observe::observe(&*engine, &*net, &desired.project, images()).await.unwrap();
        assert!(plan::plan(&desired, &after).unwrap().is_empty());
        (before, after)
    })
}

fn fly_plan(folder: &Path, way: &str, name: &str) -> Measured {
    let words = measure::command(&[env!("CARGO_BIN_EXE_fly"), "plan", way, name]);
    let output = Command::new(&words[0]).args(&words[1..]).current_dir(folder).stderr(Stdio::inherit()).output().unwrap();
    measure::read(&String::from_utf8_lossy(&output.stdout)).good("fly plan")
}
