//! `fly plan` for many machines from a recorded world: nothing but fly itself is measured.

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
    for (name, what) in [("empty", "all to be created"), ("full", "all running")] {
        let runs: Vec<Measured> = (0..asked.rounds.max(7)).map(|_| fly_plan(&folder, name)).collect();
        report::within(&format!("plan {MACHINES} machines, {what}: time"), &runs.iter().map(|run| run.time).collect::<Times>(), TIME);
        report::shown("  of the processor's", &runs.iter().map(|run| run.processor).collect::<Times>().text());
        report::memory(&format!("plan {MACHINES} machines, {what}: memory"), runs.iter().map(|run| run.memory).max().unwrap(), MEMORY);
    }
    std::fs::remove_dir_all(&folder).unwrap();
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

fn fly_plan(folder: &Path, snapshot: &str) -> Measured {
    let words = measure::command(&[env!("CARGO_BIN_EXE_fly"), "plan", "--world", snapshot]);
    let output = Command::new(&words[0]).args(&words[1..]).current_dir(folder).stderr(Stdio::inherit()).output().unwrap();
    measure::read(&String::from_utf8_lossy(&output.stdout)).good("fly plan")
}
