//! A while of bad weather in a small world.

use tokio::sync::mpsc;

use super::*;
use crate::cli::failure::Sources;
use crate::desired::{self, Context};
use crate::fake;
use crate::spec;
use crate::types::ImageDefaults;

const SHOP: &str = "
name: shop
networks: {back: {subnet: 10.10.0.0/24}}
machines:
  web: {image: 'a:1', nics: {eth0: {network: back, rate: 10mbit}, eth1: back}}
  db: {image: 'a:1', network_mode: none}
";

fn loaded(text: &str) -> Loaded {
    let spec = spec::parse("fly.yml", text, &std::collections::BTreeMap::new()).unwrap();
    let context = Context { directory: "/srv/shop".into(), ..Context::default() };
    Loaded::new(desired::resolve(&spec, &context).unwrap(), "fly.yml".into(), Sources::new())
}

fn rate(text: &str) -> Traffic {
    Traffic { rate: text.parse().ok(), ..Traffic::default() }
}

/// A world in which the shop is up.
fn world() -> (fake::World, World<fake::FakeEngine, fake::FakeNet>, Loaded) {
    let world = fake::World::new();
    world.add_image("a:1", ImageDefaults::default());
    let (reached, file) = (World::of(world.engine(), world.net()), loaded(SHOP));
    let up = async {
        let actual = reached.observe_for(&file.desired).await.unwrap();
        let plan = crate::plan::plan(&file.desired, &actual).unwrap();
        let (_keep, told) = tokio::sync::watch::channel(false);
        assert!(reached.apply(&plan, &actual, 4, |_| {}, told).await.is_success());
    };
    world::block_on(up).unwrap();
    (world, reached, file)
}

/// What leaves by the cards of `web`.
fn traffic(world: &World<fake::FakeEngine, fake::FakeNet>) -> Vec<Traffic> {
    let seen = world::block_on(world.observe(&"shop".parse().unwrap(), BTreeSet::new())).unwrap().unwrap();
    let web = crate::types::Ns::Machine("web".parse().unwrap());
    seen.net.namespaces[&web].links.values().map(|link| link.link.tuning.traffic.clone()).collect()
}

fn run(world: &World<fake::FakeEngine, fake::FakeNet>, file: &Loaded, wish: &Wish, signals: usize) -> Result<Exit, String> {
    let ui = Ui::into(std::io::sink(), std::io::sink());
    let (tell, told) = mpsc::unbounded_channel();
    (0..signals).for_each(|_| tell.send(()).unwrap());
    // Where nobody sends a wish, somebody could still.
    let done = world::block_on(go(wish, file, world, &ui, || Ok(Stop::from(told)), || None)).unwrap();
    drop(tell);
    done.map_err(|failure| failure.render(false))
}

fn wish(target: &str, traffic: Traffic, time: Option<u64>) -> Wish {
    Wish { target: target.to_owned(), traffic, time: time.map(Duration::from_millis), clear: false }
}

#[test]
fn it_is_put_back_when_the_time_is_over_and_when_somebody_stops_it() {
    let (_fake, world, file) = world();
    let before = traffic(&world);
    assert_eq!(before, [rate("10mbit"), Traffic::default()]);
    for (time, signals, exit) in [(Some(1), 0, Exit::Done), (None, 1, Exit::Done), (Some(60_000), 1, Exit::Interrupted)] {
        assert_eq!(run(&world, &file, &wish("web", rate("1mbit"), time), signals), Ok(exit));
        assert_eq!(traffic(&world), before);
    }
    // Somebody ends it in the middle of it: what the file says is put back by `--clear`.
    let actual = world::block_on(world.observe(&file.desired.project, BTreeSet::new())).unwrap().unwrap();
    let (web, eth0) = ("web".parse().unwrap(), "eth0".parse().unwrap());
    world::block_on(set(world.net(), &file.desired.project, &actual, (&web, &eth0), &rate("1mbit"))).unwrap().unwrap();
    assert_eq!(traffic(&world), [rate("1mbit"), Traffic::default()]);
    let clear = Wish { clear: true, ..wish("web:eth0", Traffic::default(), None) };
    assert_eq!(run(&world, &file, &clear, 0), Ok(Exit::Done));
    assert_eq!(traffic(&world), before);
}

#[test]
fn what_is_wished_comes_over_what_the_file_says() {
    let file = loaded(SHOP);
    let slow = Traffic { delay: "50ms".parse().ok(), ..Traffic::default() };
    let all = cards(&file.desired, "web").unwrap();
    let shown: Vec<String> = impaired(&all, &slow).unwrap().iter().map(|(.., traffic)| shown(traffic)).collect();
    assert_eq!(shown, ["rate 10mbit, delay 50ms", "delay 50ms"]);
}

#[test]
fn what_cannot_be_is_said_before_anything_is_touched() {
    let (fake, world, file) = world();
    fake.lack("sch_netem");
    fake.forget_calls();
    let lossy = Traffic { loss: "1%".parse().ok(), ..Traffic::default() };
    let reorder = Traffic { reorder: "1%".parse().ok(), ..Traffic::default() };
    let mut told = String::new();
    for (target, traffic) in
        [("wbe", &lossy), ("web:eth9", &lossy), ("web:eth01", &lossy), ("db", &lossy), ("web", &reorder), ("web:eth1", &lossy)]
    {
        told += &run(&world, &file, &wish(target, traffic.clone(), Some(1)), 0).unwrap_err();
    }
    fake.drift_delete_link(Some("shop.web"), "eth1");
    told += &run(&world, &file, &wish("web", rate("1mbit"), Some(1)), 0).unwrap_err();
    fake.drift_kill("shop.web");
    told += &run(&world, &file, &wish("web", rate("1mbit"), Some(1)), 0).unwrap_err();
    assert_eq!(fake.mutations(), 0);
    insta::assert_snapshot!(told);
}
