//! The way through in a small world that can be looked at, and broken.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use tokio::sync::mpsc;

use super::*;
use crate::cli::args::Progression;
use crate::cli::failure::Sources;
use crate::desired::{self, Context, OrphanVolumes};
use crate::fake::{self, Fault, FaultKind, When};
use crate::plan::saved::{Circumstances, Saved};
use crate::spec;
use crate::types::ImageDefaults;

const SHOP: &str = "
name: shop
networks: {back: {subnet: 10.10.0.0/24}}
volumes: {data: {}}
machines:
  web: {image: 'a:1', restart: 'no', nics: {eth0: back}}
  db: {image: 'a:1', nics: {eth0: back}, volumes: ['data:/data']}
";

#[derive(Clone, Default)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn take(&self) -> String {
        String::from_utf8(std::mem::take(&mut *self.0.borrow_mut())).unwrap()
    }
}

struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

fn loaded(text: &str) -> Loaded {
    let spec = spec::parse("fly.yml", text, &std::collections::BTreeMap::new()).unwrap();
    let context = Context { directory: "/srv/shop".into(), ..Context::default() };
    Loaded::new(desired::resolve(&spec, &context).unwrap(), "fly.yml".into(), Sources::new())
}

fn world() -> fake::World {
    let world = fake::World::new();
    for image in ["a:1", "a:2"] {
        world.add_image(image, ImageDefaults::default());
    }
    world
}

/// One run, one step at a time; `wishes` to stop are there from the beginning.
fn run(verb: Verb, file: &Loaded, desired: &Desired, world: &fake::World, yes: bool, wishes: usize) -> Ran {
    run_as(verb, file, desired, world, &Run { yes, parallel: 1, wait_lock: false, format: Progression::Text }, wishes, None)
}

fn run_as(verb: Verb, file: &Loaded, desired: &Desired, world: &fake::World, args: &Run, wishes: usize, given: Option<&Given<'_>>) -> Ran {
    let (out, err) = (Memory::default(), Memory::default());
    let ui = Ui::into(out.clone(), err.clone());
    let events = Events::new(&ui, args.format, verb);
    let job = Job { verb, desired, file, run: args, settle: Duration::from_millis(100), given, events: &events };
    let (tell, told) = mpsc::unbounded_channel();
    for _ in 0..wishes {
        tell.send(()).unwrap();
    }
    let world = World::of(world.engine(), world.net());
    events.start(desired.project.as_str());
    let exit = world::block_on(go(&job, &world, &ui, false, || Ok(Stop::from(told)))).unwrap();
    let exit = events.end(exit).unwrap_or_else(|failure| {
        ui.failure(&failure);
        failure.exit()
    });
    Ran { exit, out: out.take(), err: err.take() }
}

fn up(text: &str, world: &fake::World, yes: bool) -> Ran {
    let file = loaded(text);
    run(Verb::Up, &file, &file.desired, world, yes, 0)
}

fn down(text: &str, world: &fake::World, yes: bool, orphan_volumes: OrphanVolumes) -> Ran {
    let file = loaded(text);
    run(Verb::Down, &file, &Desired { orphan_volumes, ..file.desired.emptied() }, world, yes, 0)
}

/// Without the time that it took.
fn said(out: &str) -> &str {
    out.rsplit_once(" in ").map_or(out, |(said, _)| said)
}

#[test]
fn up_again_does_nothing_and_down_takes_it_away() {
    let world = world();
    let before = world.canonical();
    let first = up(SHOP, &world, false);
    assert_eq!((first.exit, said(&first.out)), (Exit::Done, "up: 7 created"), "{}", first.err);
    assert!(first.err.contains("Plan: 7 to create"), "{}", first.err);
    assert!(!first.err.contains("Steps:"), "{}", first.err);

    world.forget_calls();
    let second = up(SHOP, &world, false);
    assert_eq!((second.exit, second.out.as_str()), (Exit::Done, "nothing to do: 2 machines are as fly.yml says\n"));
    assert_eq!(world.performs(), 0);

    let gone = down(SHOP, &world, false, OrphanVolumes::Keep);
    assert_eq!(gone.exit, Exit::Done, "{}", gone.err);
    assert!(gone.out.starts_with("down: "), "{}", gone.out);
    assert_eq!(world.volumes().len(), 1, "data stays");

    let refused = down(SHOP, &world, false, OrphanVolumes::Delete);
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.err.contains("deletes 1 volume with all data"), "{}", refused.err);
    assert_eq!(world.volumes().len(), 1);

    let gone = down(SHOP, &world, true, OrphanVolumes::Delete);
    assert_eq!((gone.exit, said(&gone.out)), (Exit::Done, "down: 1 deleted"), "{}", gone.err);
    assert_eq!(world.canonical(), before);
    let again = down(SHOP, &world, true, OrphanVolumes::Delete);
    assert_eq!((again.exit, again.out.as_str()), (Exit::Done, "nothing to do: nothing of `shop` is there\n"));
}

#[test]
fn a_replacement_needs_a_yes() {
    let world = world();
    assert_eq!(up(SHOP, &world, false).exit, Exit::Done);
    world.forget_calls();
    let changed = SHOP.replacen("a:1", "a:2", 1);
    let refused = up(&changed, &world, false);
    assert_eq!((refused.exit, refused.out.as_str()), (Exit::Failed, ""));
    assert!(refused.err.contains("Lost for good:"), "{}", refused.err);
    assert!(refused.err.contains("it replaces 1 machine"), "{}", refused.err);
    assert!(refused.err.contains("fly up --yes"), "{}", refused.err);
    assert_eq!(world.performs(), 0);
    assert_eq!(up(&changed, &world, true).exit, Exit::Done);
}

#[test]
fn a_failed_step_is_6_and_the_next_run_goes_on() {
    let world = world();
    world.plan_fault(Fault { at: 3, when: When::Before, kind: FaultKind::Other });
    let failed = up(SHOP, &world, false);
    assert_eq!((failed.exit, failed.out.as_str()), (Exit::Partial, ""), "{}", failed.err);
    assert!(failed.err.contains("not begun for it: "), "{}", failed.err);
    assert!(failed.err.contains("hint: run `fly up` again"), "{}", failed.err);
    world.clear_faults();
    assert_eq!(up(SHOP, &world, false).exit, Exit::Done);
    assert_eq!(up(SHOP, &world, false).out, "nothing to do: 2 machines are as fly.yml says\n");
}

#[test]
fn nothing_done_at_all_is_1() {
    let world = world();
    world.plan_fault(Fault { at: 1, when: When::Before, kind: FaultKind::Crash });
    assert_eq!(up(SHOP, &world, false).exit, Exit::Failed);
}

#[test]
fn what_does_not_stay_as_it_was_made_is_8() {
    let world = world();
    let steps = {
        let trial = world.fork();
        assert_eq!(up(SHOP, &trial, false).exit, Exit::Done);
        trial.performs()
    };
    world.plan_fault(Fault { at: steps, when: When::After, kind: FaultKind::KillContainer("shop.web".into()) });
    let ran = up(SHOP, &world, false);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Unverified, ""), "{}", ran.err);
    assert!(ran.err.contains("still not as fly.yml says"), "{}", ran.err);
    assert!(ran.err.contains("machine/web"), "{}", ran.err);
}

#[test]
fn one_wish_to_stop_ends_it_cleanly() {
    let world = world();
    let file = loaded(SHOP);
    let ran = run(Verb::Up, &file, &file.desired, &world, false, 1);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Interrupted, ""), "{}", ran.err);
    assert!(ran.err.contains("stopping: "), "{}", ran.err);
    assert!(ran.err.contains("stopped before:"), "{}", ran.err);
    assert_eq!(up(SHOP, &world, false).exit, Exit::Done);
}

#[test]
fn two_wishes_end_it_at_once() {
    let world = world();
    let file = loaded(SHOP);
    let ran = run(Verb::Up, &file, &file.desired, &world, false, 2);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Interrupted, ""), "{}", ran.err);
    assert!(ran.err.contains("stopped at once"), "{}", ran.err);
    assert_eq!(up(SHOP, &world, false).exit, Exit::Done);
}

#[test]
fn a_strangers_name_is_7() {
    let world = world();
    world.add_stranger_container("shop.web", "a:1", &[]);
    world.forget_calls();
    let ran = up(SHOP, &world, true);
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Stranger, ""), "{}", ran.err);
    assert!(ran.err.contains("shop.web"), "{}", ran.err);
    assert_eq!(world.performs(), 0);
}

/// A plan as `fly plan --out` saves it.
fn saved(file: &Loaded, world: &fake::World) -> Saved {
    let real = World::of(world.engine(), world.net());
    let work = async {
        let actual = real.observe_for(&file.desired).await.unwrap();
        let plan = crate::plan::plan(&file.desired, &actual).unwrap();
        let images = crate::cli::saved::images(&real, &plan, &actual).await;
        let now = Circumstances { fly: "build", engine: "ABCD", desired: &file.desired, images: &images };
        Saved::new(&plan, &now, std::collections::BTreeSet::new(), false)
    };
    world::block_on(work).unwrap()
}

fn up_saved(file: &Loaded, saved: &Saved, world: &fake::World, wishes: usize) -> Ran {
    let given = Given { saved, path: std::path::Path::new("plan.json") };
    let args = Run { yes: false, parallel: 1, wait_lock: false, format: Progression::Text };
    run_as(Verb::Up, file, &file.desired, world, &args, wishes, Some(&given))
}

#[test]
fn a_saved_plan_is_done_without_asking_and_goes_on_where_it_was_stopped() {
    let world = world();
    assert_eq!(up(SHOP, &world, false).exit, Exit::Done);
    let file = loaded(&SHOP.replace("a:1", "a:2"));
    let saved = saved(&file, &world);
    let stopped = up_saved(&file, &saved, &world, 1);
    assert_eq!(stopped.exit, Exit::Interrupted, "{}", stopped.err);
    world.add_stranger_container("other", "a:1", &[]);
    assert_eq!(up_saved(&file, &saved, &world, 0).exit, Exit::Done);
    let again = up_saved(&file, &saved, &world, 0);
    assert_eq!((again.exit, again.out.as_str()), (Exit::Done, "nothing to do: 2 machines are as fly.yml says\n"));
}

#[test]
fn a_stale_plan_is_4_and_nothing_is_changed() {
    let world = world();
    assert_eq!(up(SHOP, &world, false).exit, Exit::Done);
    let file = loaded(&SHOP.replacen("eth0: back", "eth0: {network: back, mtu: 1400}", 1));
    let saved = saved(&file, &world);
    world.drift_kill("shop.db");
    world.forget_calls();
    let ran = up_saved(&file, &saved, &world, 0);
    assert_eq!((ran.exit, ran.out.as_str(), world.performs()), (Exit::Stale, "", 0));
    insta::assert_snapshot!("stale", ran.err);
}

#[test]
fn an_image_that_moved_meanwhile_is_4() {
    let world = world();
    let file = loaded(SHOP);
    let saved = saved(&file, &world);
    world.add_image("a:1", ImageDefaults { user: Some("somebody".into()), ..ImageDefaults::default() });
    world.forget_calls();
    let ran = up_saved(&file, &saved, &world, 0);
    assert_eq!((ran.exit, world.performs()), (Exit::Stale, 0), "{}", ran.err);
    assert!(ran.err.contains("image/a:1"), "{}", ran.err);
}

/// Without what is different every time.
fn lines(out: &str) -> String {
    let line = |line: &str| {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(elapsed) = event.get_mut("elapsed_ms") {
            *elapsed = 0.into();
        }
        if let Some(plan) = event.get_mut("plan") {
            assert!(plan["steps"].is_array() && plan["changes"].is_array(), "{plan}");
            *plan = "(as fly plan --format json)".into();
        }
        format!("{event}\n")
    };
    out.lines().map(line).collect()
}

#[test]
fn events_are_lines_of_json() {
    let jsonl = Run { yes: false, parallel: 1, wait_lock: false, format: Progression::Jsonl };
    let (world, file) = (world(), loaded(SHOP));
    let ran = run_as(Verb::Up, &file, &file.desired, &world, &jsonl, 0, None);
    assert_eq!(ran.exit, Exit::Done, "{}", ran.err);
    assert!(ran.err.contains("up: 7 created"), "{}", ran.err);
    insta::assert_snapshot!("events", lines(&ran.out));
    let ran = run_as(Verb::Up, &file, &file.desired, &world, &jsonl, 0, None);
    insta::assert_snapshot!("events_of_nothing", lines(&ran.out));
    let down = file.desired.emptied();
    let stopped = run_as(Verb::Down, &file, &down, &world, &jsonl, 1, None);
    assert_eq!(stopped.exit, Exit::Interrupted);
    world.plan_fault(Fault { at: world.performs() + 2, when: When::Before, kind: FaultKind::Other });
    let failed = run_as(Verb::Down, &file, &down, &world, &jsonl, 0, None);
    insta::assert_snapshot!("events_of_a_failure", lines(&failed.out));
    world.clear_faults();
    world.add_stranger_container("shop.new", "a:1", &[]);
    let file = loaded(&SHOP.replace("  db:", "  new:"));
    let refused = run_as(Verb::Up, &file, &file.desired, &world, &jsonl, 0, None);
    insta::assert_snapshot!("events_of_a_refusal", lines(&refused.out));
}

#[test]
fn a_held_lock_names_its_holder() {
    let error = LockError::Held(Some(Holder { pid: 4711, command: "fly up --yes".into() }));
    let diagnostic = locked(Verb::Down, &error);
    insta::assert_snapshot!(diagnostic.message, @"another run holds the project: `fly up --yes`, process 4711");
    insta::assert_snapshot!(diagnostic.hints.join("\n"), @r"
    wait for it: `fly down --wait-lock`
    see what it is doing: `ps -fp 4711`
    ");
    assert_eq!(Exit::of_diagnostics(&[diagnostic]), Exit::Locked);
}
