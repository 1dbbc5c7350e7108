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

/// The host's own card is one machine's at a time, and nobody is cut off by its going.
#[test]
fn physical_is_for_one_and_for_cards_that_nobody_misses() {
    let actual = world();
    let one = "networks: {lab: {kind: physical, parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: plain, nics: {eth0: lab}}
";
    let wrong = [
        one.replace("machines:\n", "machines:\n  b: {image: plain, nics: {eth7: lab}}\n"),
        one.replace("}}\nmachines", "}, tap: {kind: physical, parent: eth1}}\nmachines").replace("eth0: lab", "eth0: lab, eth1: tap"),
        one.replace("plain,", "plain, scale: 2,"),
        one.replace("}}\nmachines", "}, l2: {parent: eth1}}\nmachines"),
        one.replace("}}\nmachines", "}, wan: {uplink: eth1, subnet: 10.1.0.0/24}}\nmachines"),
        one.replace("}}\nmachines", "}, far: {kind: vxlan, vni: 4, parent: eth1, subnet: 10.2.0.0/24}}\nmachines"),
        one.replace("parent: eth1", "vlan: 4, mode: private, host_ip: 10.0.0.1"),
    ];
    let in_the_file = wrong.map(|text| refused(&text, &actual));
    assert_eq!(refused(one, &actual), "planned\n");
    let other = |change: &dyn Fn(&mut Actual)| {
        let mut other = actual.clone();
        change(&mut other);
        refused(one, &other)
    };
    let with = |change: &dyn Fn(&mut fly::net::LinkState)| {
        other(&|actual| change(actual.net.namespaces.get_mut(&Ns::Host).unwrap().links.get_mut("eth1").unwrap()))
    };
    let route = |text: &str, via: &str| fly::types::Route::new(text.parse().unwrap(), Some(via.parse().unwrap()));
    let in_the_world = [
        other(&|actual| drop(actual.net.namespaces.get_mut(&Ns::Host).unwrap().links.remove("eth1"))),
        other(&|actual| {
            actual.net.namespaces.get_mut(&Ns::Host).unwrap().links.remove("eth1");
            actual.net.cards.holders.insert("eth1".into(), "process 77 (nginx, of container 0123456789ab)".into());
        }),
        other(&|actual| actual.net.cards.wireless.extend(["eth1".to_owned()])),
        with(&|link| link.link.master = Some("bond0".into())),
        with(&|link| link.link.addresses.extend(["192.0.2.7/24".parse::<ipnet::IpNet>().unwrap()])),
        with(&|link| {
            link.link.addresses.insert("192.0.2.7/24".parse().unwrap());
            link.link.routes.insert(route("0.0.0.0/0", "192.0.2.1"));
        }),
        with(&|link| link.link.kind = LinkKind::Bridge),
        with(&|link| link.link.kind = LinkKind::Other("bond".into())),
        with(&|link| link.alias = Some("rack 3 ".repeat(30))),
        with(&|link| {
            link.owner = Owner::Project("blog".parse().unwrap());
            link.alias = Some("fly:blog/web/eth0 host=eth1,00:00:5e:00:53:31,1500,up".into());
        }),
        other(&|actual| {
            let links = &mut actual.net.namespaces.get_mut(&Ns::Host).unwrap().links;
            let mut child = links["eth1"].clone();
            child.link.kind = LinkKind::macvlan(LinkRef::host("eth1"), MacvlanMode::Bridge);
            links.insert("macvtap0".into(), child);
        }),
        // It has come back under another name, and somebody else has its own by now.
        other(&|actual| {
            let links = &mut actual.net.namespaces.get_mut(&Ns::Host).unwrap().links;
            let mut back = links["eth1"].clone();
            back.owner = Owner::Ours;
            back.link.kind = LinkKind::Physical { device: "eth1".into() };
            back.alias = Some("fly:t/gone/eth0 host=eth1,00:00:5e:00:53:31,1500,up".into());
            links.insert("dev7".into(), back);
        }),
    ];
    insta::assert_snapshot!("physical", in_the_file.into_iter().chain(in_the_world).collect::<Vec<_>>().join("\n"));
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

/// What networks hang on, and the host cannot give them.
#[test]
fn beneath_networks() {
    let nic = |network: &str| format!("networks: {network}\nmachines: {{a: {{image: plain, nics: {{eth0: lan}}}}}}\n");
    let change = |change: &dyn Fn(&mut fly::net::NetSnapshot)| {
        let mut actual = world();
        change(&mut actual.net);
        actual
    };
    let card = |net: &mut fly::net::NetSnapshot, name: &str, kind: LinkKind| {
        let links = &mut net.namespaces.get_mut(&Ns::Host).unwrap().links;
        let mut link = links["eth1"].clone();
        link.link.kind = kind;
        links.insert(name.to_owned(), link);
    };
    let on = |parent: &str| Some(LinkRef::host(parent));
    let lacks = |kind: &str| {
        change(&|net| {
            net.lacking.insert(kind.to_owned());
        })
    };
    let mut all = vec![];
    let mut say = |what: &str, network: &str, actual: &Actual| all.push(format!("# {what}\n{}\n", refused(&nic(network), actual)));
    say("no ipvlan", "{lan: {kind: ipvlan, parent: eth1}}", &lacks("ipvlan"));
    say("no VLANs", "{lan: {parent: eth1, vlan: 42}}", &lacks("8021q"));
    say("no vxlan", "{lan: {kind: vxlan, vni: 42}}", &lacks("vxlan"));
    say("gone", "{lan: {uplink: eth2}}", &world());
    say(
        "down",
        "{lan: {kind: ipvlan, parent: eth1}}",
        &change(&|net| {
            net.namespaces.get_mut(&Ns::Host).unwrap().links.get_mut("eth1").unwrap().link.up = false;
        }),
    );
    let ipvlan = LinkKind::Ipvlan { parent: on("eth1"), mode: fly::types::IpvlanMode::L2 };
    say("the other kind", "{lan: {parent: eth1}}", &change(&|net| card(net, "theirs", ipvlan.clone())));
    say("a part of it", "{lan: {uplink: eth1}}", &change(&|net| card(net, "theirs", ipvlan.clone())));
    let vlan = LinkKind::Vlan { parent: on("eth1"), id: 42 };
    say("under another name", "{lan: {parent: eth1, vlan: 42}}", &change(&|net| card(net, "office", vlan.clone())));
    say("something else", "{lan: {parent: eth1, vlan: 42}}", &change(&|net| card(net, "eth1.42", LinkKind::Bridge)));
    say(
        "a way out",
        "{lan: {uplink: eth1}}",
        &change(&|net| {
            let link = &mut net.namespaces.get_mut(&Ns::Host).unwrap().links.get_mut("eth1").unwrap().link;
            link.routes.insert(fly::types::Route::new("0.0.0.0/0".parse().unwrap(), Some("192.168.1.1".parse().unwrap())));
        }),
    );
    say(
        "in the file",
        "{lan: {parent: eth1}, l2: {kind: ipvlan, parent: eth1}, far: {kind: vxlan, vni: 7}, wide: {kind: vxlan, vni: 7}}",
        &world(),
    );
    say(
        "in the file, too",
        "{lan: {uplink: eth1, vlan: 3}, l2: {uplink: eth1, vlan: 3}, l3: {kind: bridge, vlan: 3, mode: l3}, far: {kind: vxlan}}",
        &world(),
    );
    let asks = "networks: {lan: {kind: ipvlan, parent: eth1}}\nmachines: {a: {image: plain, nics: {eth0: {network: lan, ip: dhcp}}}}\n";
    all.push(format!("# one MAC for all\n{}\n", refused(asks, &world())));
    insta::assert_snapshot!("beneath", all.concat());
}

#[test]
fn a_guest_has_to_become_root() {
    let actual = world();
    let text = |more: &str| format!("machines:\n  a: {{image: plain, nics: {{}}, {more}}}\n");
    for fine in [
        "sshd: true, user: root, security_opt: [no-new-privileges]",
        "sshd: true, user: '0:5', cap_drop: [ALL]",
        "user: app, security_opt: [no-new-privileges]",
        "guest: false, user: app, security_opt: [no-new-privileges]",
        "sshd: true, user: app, security_opt: ['no-new-privileges:false']",
        "sshd: true, security_opt: [no-new-privileges]",
        // It waits for the cards all the same.
        "guest: true, user: app, cap_drop: [ALL]",
        "sshd: true, user: app, cap_drop: [ALL], cap_add: [SETUID, SETGID]",
        "sshd: true, user: app, cap_drop: [NET_RAW, SETGID]",
        "sshd: true, user: app, cap_drop: [SETUID], privileged: true",
    ] {
        assert_eq!(refused(&text(fine), &actual), "planned\n", "{fine}");
    }
    let refusals = [
        "guest: true, user: app, security_opt: [no-new-privileges]",
        "sshd: true, user: '1000:0', security_opt: ['no-new-privileges:true']",
        "sshd: true, user: app, cap_drop: [ALL], cap_add: [SETGID]",
        "sshd: true, user: app, cap_drop: [SETUID]",
    ];
    let mut said: Vec<String> = refusals.iter().map(|more| refused(&text(more), &actual)).collect();
    // The image says who runs its program.
    let mut other = actual.clone();
    other.engine.images.get_mut("plain").unwrap().defaults.user = Some("app".to_owned());
    said.push(refused(&text("sshd: true, security_opt: [no-new-privileges]"), &other));
    assert_eq!(refused(&text("sshd: true, user: root, security_opt: [no-new-privileges]"), &other), "planned\n");
    insta::assert_snapshot!("guest_rights", said.join("\n"));
}

#[test]
fn who_wants_to_be_the_first_process_is_told_how() {
    let mut actual = world();
    let notes = |text: &str, actual: &Actual| {
        let spec = spec::parse("fly.yml", &format!("name: t\nmachines: {{a: {{image: plain, {text}}}}}\n"), &BTreeMap::new()).unwrap();
        let context = Context { directory: "/srv/t".into(), ..Context::default() };
        let plan = plan::plan(&desired::resolve(&spec, &context).unwrap(), actual).unwrap();
        plan.notes
            .iter()
            .filter(|note| note.starts_with("the image of a starts /init, as s6-overlay does") && note.contains("guest: false"))
            .count()
    };
    assert_eq!(notes("nics: {}", &actual), 0);
    actual.engine.images.get_mut("plain").unwrap().defaults.entrypoint = Some(vec!["/init".to_owned()]);
    for (text, count) in [("nics: {}", 1), ("guest: false", 0), ("entrypoint: [/bin/sh]", 0), ("entrypoint: [/init, x]", 1)] {
        assert_eq!(notes(text, &actual), count, "{text}");
    }
}
