//! What cannot be done in the world as it is, said with the file's own lines before anything is touched.

use std::collections::BTreeMap;

use fly::actual::Actual;
use fly::desired::{self, Context};
use fly::fake::World;
use fly::types::{Healthcheck, ImageDefaults, LinkKind, LinkRef, MacvlanMode, Ns, Owner};
use fly::{observe, plan, spec};

/// A world with a card and some images, with nothing of ours in it.
fn world() -> Actual {
    let world = World::new();
    world.add_parent("eth1");
    let check = Healthcheck {
        test: vec!["CMD".into(), "true".into()],
        interval: None,
        timeout: None,
        start_period: None,
        start_interval: None,
        retries: None,
    };
    world.add_image("plain", ImageDefaults::default());
    world.add_image("checked", ImageDefaults { healthcheck: Some(check), ..ImageDefaults::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let images = ["plain", "checked"].map(str::to_owned).into();
    let (engine, net) = (world.engine(), world.net());
    runtime.block_on(observe::observe(&*engine, &*net, &"t".parse().unwrap(), images)).unwrap()
}

fn refused(text: &str, actual: &Actual) -> String {
    let text = format!("name: t\n{text}");
    let spec = spec::parse("fly.yml", &text, &BTreeMap::new()).unwrap();
    let desired = desired::resolve(&spec, &Context { directory: "/srv/t".into(), ..Context::default() });
    match desired.and_then(|desired| plan::plan(&desired, actual)) {
        Ok(_) => "planned\n".to_owned(),
        Err(errors) => fly::cli::diagnostic::render(&errors, &BTreeMap::from([("fly.yml".into(), text)]), false),
    }
}

#[test]
fn passthru_is_for_one() {
    let actual = world();
    let two = "networks: {lan: {parent: eth1, mode: passthru}}
machines:
  a: {image: plain, nics: {eth0: lan}}
  b: {image: plain, nics: {eth0: lan}}
";
    let beside = "networks: {lan: {parent: eth1, mode: passthru}, l2: {parent: eth1, subnet: 10.0.0.0/24, host_ip: 10.0.0.9}}
machines:
  a: {image: plain, nics: {eth0: lan}}
";
    let scaled = "networks: {lan: {parent: eth1, mode: passthru}}
machines:
  a: {image: plain, scale: 3, nics: {eth0: lan}}
";
    let one = "networks: {lan: {parent: eth1, mode: passthru}}
machines:
  a: {image: plain, nics: {eth0: lan}}
";
    let unused = "networks: {lan: {parent: eth1, mode: passthru}, l2: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: plain, nics: {eth0: l2}}
  b: {image: plain, nics: {eth0: l2}}
";
    assert_eq!(refused(one, &actual), "planned\n");
    // Nobody is on it.
    assert_eq!(refused(unused, &actual), "planned\n");
    let mut taken = actual.clone();
    let links = &mut taken.net.namespaces.get_mut(&Ns::Host).unwrap().links;
    let mut stranger = links["eth1"].clone();
    stranger.link.kind = LinkKind::macvlan(LinkRef::host("eth1"), MacvlanMode::Bridge);
    stranger.owner = Owner::Stranger;
    links.insert("macvtap0".into(), stranger);
    assert_eq!(refused(unused, &taken), "planned\n");
    let all = [refused(two, &actual), refused(beside, &actual), refused(scaled, &actual), refused(one, &taken)];
    insta::assert_snapshot!("passthru", all.join("\n"));
}

#[test]
fn a_card_has_another_mac_than_its_parent() {
    let actual = world();
    let mac = actual.host_link("eth1").unwrap().link.mac.unwrap();
    let text = |mode: &str| {
        format!(
            "networks: {{lan: {{parent: eth1, mode: {mode}}}}}\nmachines:\n  a: {{image: plain, nics: {{eth0: {{network: lan, mac: '{mac}'}}}}}}\n"
        )
    };
    assert_eq!(refused(&text("passthru"), &actual), "planned\n");
    insta::assert_snapshot!("parents_mac", refused(&text("bridge"), &actual));
}

#[test]
fn nobody_waits_for_a_health_that_nothing_checks() {
    let actual = world();
    let text = |image: &str, check: &str| {
        format!(
            "machines:\n  a: {{image: plain, depends_on: {{c: {{}}, b: {{condition: healthy}}}}}}\n  b: {{image: {image}{check}}}\n  c: {{image: plain}}\n"
        )
    };
    for (image, check) in
        [("checked", ""), ("plain", ", healthcheck: {test: 'true'}"), ("unknown", ""), ("checked", ", healthcheck: {interval: 5s}")]
    {
        assert_eq!(refused(&text(image, check), &actual), "planned\n", "{image} {check}");
    }
    let none = refused(&text("plain", ", healthcheck: {interval: 5s}"), &actual);
    insta::assert_snapshot!("healthy", [refused(&text("plain", ""), &actual), none].join("\n"));
}

#[test]
fn systemd_needs_a_new_engine_and_new_cgroups() {
    let file = "machines:
  a: {image: plain, nics: {}, guest: false, init: systemd}
  b: {image: plain, nics: {}, init: true}
";
    let mut actual = world();
    let old = refused(file, &actual);
    actual.engine.facts.version = "28.5.2".to_owned();
    assert_eq!(refused(file, &actual), "planned\n");
    actual.engine.facts.cgroups = "1".to_owned();
    insta::assert_snapshot!("systemd", [old, refused(file, &actual)].join("\n"));
}
