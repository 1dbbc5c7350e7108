//! Every project in `examples/` is read, resolved and planned.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fly::actual::Actual;
use fly::desired::{self, Context, Desired, NetworkKind};
use fly::engine::EngineOp;
use fly::net::{LinkState, Namespace};
use fly::plan::{self, Op};
use fly::spec;
use fly::types::{Link, LinkKind, Ns, Owner};

fn examples() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let folders = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.join("fly.yml").is_file());
    folders
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(path.join("fly.yml")).unwrap()))
        .collect()
}

fn resolved(name: &str, text: &str) -> Desired {
    let spec = spec::parse("fly.yml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
    let key_files = crate::readme::keys_of_the_quickstart();
    let context = Context { directory: format!("/srv/{name}"), home: Some("/home/user".into()), key_files, ..Context::default() };
    desired::resolve(&spec, &context).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"))
}

/// A host with exactly the cards that the networks are to hang on.
fn host(desired: &Desired) -> Actual {
    let parents = desired.networks.values().filter_map(|network| match &network.kind {
        NetworkKind::Macvlan { parent, .. } => Some(parent.clone()),
        _ => None,
    });
    let card = |index| LinkState {
        users: BTreeSet::new(),
        link: Link {
            kind: LinkKind::Other("physical".into()),
            mac: Some("52:54:00:00:00:01".parse().unwrap()),
            mtu: Some(1500),
            up: true,
            master: None,
            addresses: BTreeSet::new(),
            routes: BTreeSet::new(),
            tuning: fly::types::Tuning::default(),
        },
        index,
        group: 0,
        alias: None,
        owner: Owner::Stranger,
        connected: BTreeSet::new(),
        leases: BTreeMap::default(),
        carrier: true,
        foreign_addresses: BTreeSet::new(),
        foreign_routes: BTreeSet::new(),
        counters: None,
        sysctls: BTreeMap::new(),
        foreign_neighbours: BTreeMap::new(),
        foreign_qdisc: None,
    };
    let links = parents.chain(desired.devices()).zip(2..).map(|(name, index)| (name, card(index))).collect();
    let mut actual = Actual::default();
    actual.net.namespaces.insert(Ns::Host, Namespace { inode: 1, links, ..Namespace::default() });
    actual
}

#[test]
fn every_example_can_be_planned() {
    let examples = examples();
    assert!(examples.len() >= 6, "five besides the quickstart: {:?}", examples.keys());
    for (name, text) in examples {
        let desired = resolved(&name, &text);
        let plan = plan::plan(&desired, &host(&desired)).unwrap_or_else(|errors| panic!("{name}: {errors:#?}"));
        let starts = plan.steps.iter().filter(|step| matches!(step.op, Op::Engine(EngineOp::StartContainer { .. }))).count();
        assert_eq!(starts, desired.machines.len(), "{name}: every machine starts once");
        assert!(!desired.machines.is_empty(), "{name} has machines");
    }
}

#[test]
fn what_config_prints_is_the_same_project() {
    for (name, text) in examples() {
        let desired = resolved(&name, &text);
        let printed = desired::to_yaml(&desired);
        let again = resolved(&name, &printed);
        assert_eq!(desired::to_yaml(&again), printed, "{name}");
        assert_eq!(again.machines.keys().collect::<Vec<_>>(), desired.machines.keys().collect::<Vec<_>>(), "{name}");
    }
}
