//! What cards carry besides addresses: routes of all kinds, rules, neighbours, kernel parameters, rates.

use std::collections::BTreeMap;

use fly::actual::Actual;
use fly::desired::{self, Context, Desired, to_yaml};
use fly::fake::World;
use fly::types::ImageDefaults;
use fly::{observe, plan, spec};

/// The file as it is resolved, or what is said of it with its lines.
fn resolved(text: &str) -> Result<Desired, String> {
    let spec = spec::parse("fly.yml", text, &BTreeMap::new());
    let desired = spec.and_then(|spec| desired::resolve(&spec, &Context { directory: "/srv/t".into(), ..Context::default() }));
    desired.map_err(|errors| shown(&errors, text))
}

fn shown(errors: &[fly::diag::Diagnostic], text: &str) -> String {
    fly::cli::diagnostic::render(errors, &BTreeMap::from([("fly.yml".into(), text.to_owned())]), false)
}

fn world(lacking: &[&str]) -> (World, impl Fn(&Desired) -> Actual) {
    let world = World::new();
    world.add_image("x", ImageDefaults::default());
    for module in lacking {
        world.lack(module);
    }
    let (engine, net) = (world.engine(), world.net());
    let look = move |desired: &Desired| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut actual = observe::observe(&*engine, &*net, &desired.project, ["x".to_owned()].into()).await.unwrap();
            observe::ask_kernel(&*net, &mut actual, desired.modules(), desired.devices()).await.unwrap();
            actual
        })
    };
    (world, look)
}

const ALL: &str = r#"
name: t
networks:
  lan: {parent: eth1, subnet: [10.1.0.0/24, "fd00:1::/64"]}
  back: {subnet: 10.2.0.0/24}
machines:
  a:
    image: x
    rules: [from 10.1.0.5 table 100, {to: "fd00:9::/64", fwmark: 0x10/0xff, iif: eth0, table: 7, priority: 10}]
    nics:
      eth0:
        network: lan
        ip: [10.1.0.5, "fd00:1::5"]
        gateway: [10.1.0.1 metric 100, {via: 10.1.0.2, metric: 200}, "fd00:1::1"]
        routes:
          - default via 10.1.0.1 table 100
          - 10.8.0.0/16 via 10.1.0.9 src 10.1.0.5 metric 0 table main
          - 10.7.0.0/16 via 172.16.0.1 onlink
          - {to: 10.6.0.0/16, scope: global}
          - {to: 10.5.0.0/16, scope: link}
          - "fd00:8::/64 via fd00:1::9 metric 1024"
          - blackhole 10.66.0.0/16
          - {to: "::/0", type: prohibit, metric: 4000}
        neighbours: {10.1.0.7: "02:00:5e:10:00:07"}
        sysctls: {ipv4.rp_filter: 2, net.ipv6.conf.IFNAME.accept_ra: 0}
        rate: 100mbit
      eth1: {network: back, ip: 10.2.0.5, gateway: 10.2.0.1 metric 300, rules: [table 9], sysctls: [ipv4.log_martians=1]}
  b: {image: x, nics: {}}
links:
  - {ends: [{nic: a:eth5, ip: 10.0.0.1/30, delay: 20ms, loss: 0%}, {nic: b:eth5, ip: 10.0.0.2/30}], rate: 10mbit, delay: 10ms, loss: 1%}
"#;

#[test]
fn everything_has_one_form_and_comes_back_from_it() {
    let desired = resolved(ALL).unwrap_or_else(|error| panic!("{error}"));
    let written = to_yaml(&desired);
    insta::assert_snapshot!("carried", written);
    let again = resolved(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(to_yaml(&again), written);
    for (name, machine) in &desired.machines {
        assert_eq!(machine.routing, again.machines[name].routing);
        for (card, nic) in &machine.nics {
            let other = &again.machines[name].nics[card];
            assert_eq!((&nic.routes, &nic.tuning), (&other.routes, &other.tuning), "{name}:{card}");
        }
    }
}

#[test]
fn what_does_not_go_together() {
    let text = r#"
name: t
networks: {lan: {subnet: [10.1.0.0/24, "fd00:1::/64"]}}
machines:
  a:
    image: x
    rules: [from 10.1.0.5 table 100, from 10.1.0.5 table 100, iif eth7 table 100]
    nics:
      eth0:
        network: lan
        ip: [10.1.0.5, "fd00:1::5"]
        jitter: 1ms
        routes:
          - {to: 10.9.0.0/16, via: 10.1.0.1, type: blackhole}
          - {to: default, type: unreachable}
          - {to: 10.9.0.0/16, onlink: true}
          - {to: 10.9.0.0/16, via: 10.1.0.1, table: local}
          - {to: "fd00:9::/64", scope: link}
          - {to: 10.9.0.0/16, via: 10.1.0.1, scope: link}
          - {to: 10.9.0.0/16, via: 10.1.0.1, src: 10.1.0.6}
          - blackhole 10.10.0.0/16
          - 10.10.0.0/16 via 10.1.0.1
        neighbours: {10.1.0.5: "02:00:00:00:00:01", 224.0.0.1: "02:00:00:00:00:01"}
        sysctls: {ipv6.disable_ipv6: 1, ipv4.rp_filter: 1, net.ipv4.conf.IFNAME.rp_filter: 2}
  b: {image: x, network_mode: host, rules: [table 100]}
  c: {image: x, nics: {}}
links: [{ends: ["c:eth1", "a:eth1"], reorder: 10%}]
"#;
    insta::assert_snapshot!("carried_wrong", resolved(text).unwrap_err());
}

#[test]
fn a_kernel_without_the_module_is_told_from_the_start() {
    let text = "
name: t
networks: {lan: {subnet: 10.1.0.0/24}}
machines:
  a: {image: x, nics: {eth0: {network: lan, rate: 10mbit, loss: 1%}, eth1: {network: lan, rate: 1mbit}}}
";
    let desired = resolved(text).unwrap();
    let refusal = |lacking: &[&str]| {
        let (_world, look) = world(lacking);
        plan::plan(&desired, &look(&desired)).map(|_| ()).map_err(|errors| shown(&errors, text))
    };
    assert_eq!(refusal(&[]), Ok(()));
    assert_eq!(refusal(&["sch_htb"]), Ok(()), "nobody needs it");
    insta::assert_snapshot!("carried_netem", refusal(&["sch_netem", "sch_tbf"]).unwrap_err());
    // What this kernel has is what was seen of its links.
    let (_world, look) = world(&[]);
    let mut actual = look(&desired);
    actual.net.sysctls = ["ipv4.rp_filter".parse().unwrap()].into();
    let text = "name: t\nnetworks: {lan: {}}\nmachines: {a: {image: x, nics: {eth0: {network: lan, sysctls: {ipv4.rp_filter: 1, ipv6.accept_ra: 0}}}}}\n";
    insta::assert_snapshot!("carried_sysctl", shown(&plan::plan(&resolved(text).unwrap(), &actual).unwrap_err(), text));
}

#[test]
fn a_plan_says_field_by_field_what_changes() {
    let (world, look) = world(&[]);
    let plan_of = |text: &str| {
        let desired = resolved(text).unwrap_or_else(|error| panic!("{error}"));
        let actual = look(&desired);
        let plan = plan::plan(&desired, &actual).unwrap_or_else(|errors| panic!("{}", shown(&errors, text)));
        let review = plan::review::Review::new(&plan, &desired, &actual, plan::review::Aside::default());
        let told = plan::render::text(&review, &crate::plans::options());
        (plan, desired, told)
    };
    let (_, desired, created) = plan_of(ALL);
    let (_, report) = crate::properties::up(&world, &desired, 16).unwrap();
    assert!(report.is_success());
    let changed = ALL
        .replace("blackhole 10.66", "unreachable 10.66")
        .replace("rp_filter: 2", "rp_filter: 1")
        .replace("00:07", "00:08")
        .replace("100mbit", "50mbit")
        .replace("table 9]", "table 9 priority 5]")
        .replace("10.1.0.1 metric 100", "10.1.0.1 metric 150")
        .replace("delay: 10ms, ", "");
    let (_, desired, second) = plan_of(&changed);
    insta::assert_snapshot!("carried_plan", format!("{created}\n{second}"));
    let (_, report) = crate::properties::up(&world, &desired, 16).unwrap();
    assert!(report.is_success());
    assert!(plan_of(&changed).0.is_empty());
}
