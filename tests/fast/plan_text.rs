//! What people and programs read of a plan, for plans made by hand.

use fly::actual::Actual;
use fly::desired::Desired;
use fly::diag::Place;
use fly::diff::{Action, Change, Effect, FieldChange, Impact, Loss};
use fly::engine::EngineOp;
use fly::net::NetOp;
use fly::plan::review::{Aside, Review};
use fly::plan::{Op, Plan, Reason, Step, StepId, render};
use fly::types::{Addr, Bytes, LinkRef};

fn addr(text: &str) -> Addr {
    text.parse().unwrap()
}

fn at(line: u32) -> Place {
    Place { file: "fly.yml".into(), line, column: 5, offset: 0, len: 1 }
}

fn field(name: &str, old: Option<&str>, new: Option<&str>, line: u32, effect: Effect) -> FieldChange {
    FieldChange { field: name.into(), old: old.map(Into::into), new: new.map(Into::into), place: Some(at(line)), effect }
}

fn change(of: &str, action: Action, impact: Impact, reason: &str, fields: Vec<FieldChange>, losses: Vec<Loss>) -> Change {
    Change { addr: addr(of), action, fields, reason: reason.into(), impact, losses, place: Some(at(3)) }
}

fn step(id: u32, of: &str, op: impl Into<Op>, after: &[u32], reason: &str, impact: Impact) -> Step {
    let after = after.iter().copied().map(StepId).collect();
    Step { id: StepId(id), addr: addr(of), op: op.into(), after, reason: Reason::new(reason), impact, may_rest: false }
}

fn engine(op: EngineOp) -> Op {
    Op::Engine(op)
}

fn plan(changes: Vec<Change>, steps: Vec<Step>) -> Plan {
    Plan { project: "shop".parse().unwrap(), changes, steps, notes: vec![], drift: std::collections::BTreeMap::new() }
}

/// Of a world that nothing is known of.
fn review<T>(plan: &Plan, aside: Aside, show: impl Fn(&Review<'_>) -> T) -> T {
    show(&Review::new(plan, &Desired::empty(plan.project.clone()), &Actual::default(), aside))
}

fn rendered(plan: &Plan, color: bool) -> String {
    let options = render::Options { color, ..crate::plans::options() };
    review(plan, Aside::default(), |review| render::text(review, &options))
}

fn text(plan: &Plan) -> String {
    let text = rendered(plan, false);
    assert!(text.is_ascii(), "drawn with ASCII only: {text}");
    text
}

fn start(name: &str) -> Op {
    engine(EngineOp::StartContainer { name: name.into() })
}

fn create() -> Plan {
    let live = Effect::Live;
    let nic = |of, ip, line| {
        let fields = vec![field("network", None, Some("back (bridge)"), line, live), field("ip", None, Some(ip), line, live)];
        change(of, Action::Create, Impact::None, "its machine starts", fields, vec![])
    };
    let machine = |of, image, line| {
        let fields = vec![field("image", None, Some(image), line, Effect::Replace)];
        change(of, Action::Create, Impact::None, "not there yet", fields, vec![])
    };
    let changes = vec![
        change("image/debian:12", Action::Create, Impact::None, "not on this engine", vec![], vec![]),
        change("network/back", Action::Create, Impact::None, "not there yet", vec![], vec![]),
        machine("machine/db", "postgres:16", 20),
        machine("machine/web", "debian:12", 12),
        nic("nic/db:eth0", "10.10.0.3/24, fd00:10::3/64", 22),
        nic("nic/web:eth0", "10.10.0.2/24", 14),
        Change::keep(addr("volume/pg"), Some(at(30))),
    ];
    let link = LinkRef { ns: fly::types::Ns::Host, name: "flyabcdefghijkl".into() };
    let steps = vec![
        step(1, "image/debian:12", engine(EngineOp::PullImage { image: "debian:12".into() }), &[], "not on this engine", Impact::None),
        step(2, "network/back", Op::Net(NetOp::SetLink { at: link, set: Box::default() }), &[], "not there yet", Impact::None),
        step(3, "machine/db", start("shop.db"), &[2], "not there yet", Impact::None),
        step(4, "machine/web", start("shop.web"), &[1, 2, 3], "not there yet", Impact::None),
    ];
    plan(changes, steps)
}

#[test]
fn a_first_deployment() {
    insta::assert_snapshot!(text(&create()));
}

#[test]
fn changes_in_place() {
    let live = Effect::Live;
    let fields = vec![
        field("ip", Some("10.10.0.2/24"), Some("10.10.0.20/24"), 14, live),
        field("mtu", Some("1500"), Some("9000"), 15, live),
        field("gateway", None, Some("10.10.0.1"), 16, live),
        field("routes", Some("10.30.0.0/16 via 10.10.0.1"), None, 13, live),
    ];
    let many = |range: std::ops::Range<u8>| range.map(|n| format!("10.40.{n}.0/24 via 10.10.0.1")).collect::<Vec<_>>().join(", ");
    let changes = vec![
        change("nic/web:eth0", Action::Update, Impact::Live, "differs from the file", fields, vec![]),
        change(
            "nic/db:eth0",
            Action::Update,
            Impact::Live,
            "differs from the file",
            vec![field("routes", Some(&many(1..5)), Some(&many(2..6)), 24, live)],
            vec![],
        ),
        Change::keep(addr("machine/db"), Some(at(20))),
        Change::keep(addr("machine/web"), Some(at(12))),
    ];
    let set = |machine: &str| Op::Net(NetOp::SetLink { at: LinkRef::machine(&machine.parse().unwrap(), "eth0"), set: Box::default() });
    let steps = vec![
        step(1, "nic/db:eth0", set("db"), &[], "routes differ", Impact::Live),
        step(2, "nic/web:eth0", set("web"), &[], "ip, mtu, gateway, routes differ", Impact::Live),
    ];
    insta::assert_snapshot!(text(&plan(changes, steps)));
}

#[test]
fn a_restart() {
    let reason = "it lives in the namespace of machine/vpn, which is a new one";
    let changes = vec![change("machine/app", Action::Restart, Impact::Restart, reason, vec![], vec![])];
    let steps = vec![
        step(1, "machine/app", engine(EngineOp::StopContainer { name: "shop.app".into() }), &[], reason, Impact::Restart),
        step(2, "machine/app", start("shop.app"), &[1], reason, Impact::Restart),
    ];
    insta::assert_snapshot!(text(&plan(changes, steps)));
}

#[test]
fn a_replacement_loses_what_was_written_inside() {
    let fields = vec![
        field("image", Some("debian:11"), Some("debian:12"), 12, Effect::Replace),
        field("environment.MODE", Some("dev"), Some("a\nlonger\ntext"), 13, Effect::Replace),
        field("environment.DB_PASSWORD", Some("(hidden)"), Some("(hidden)"), 14, Effect::Replace),
        field(
            "command",
            Some(r#"["/srv/app/run", "--listen", "0.0.0.0:80", "--workers", "4", "--quiet"]"#),
            Some(r#"["/srv/app/run", "--listen", "0.0.0.0:8080", "--workers", "4"]"#),
            15,
            Effect::Replace,
        ),
        field("memory", None, Some("512M"), 16, Effect::Live),
    ];
    let losses = vec![Loss::WritableLayer(Some(Bytes(1_500_000)))];
    let reason = "the engine fixes image, environment.MODE, environment.DB_PASSWORD, command at creation";
    let changes = vec![change("machine/web", Action::Replace, Impact::Recreate, reason, fields, losses)];
    let remove = EngineOp::RemoveContainer { name: "shop.web".into(), volumes: std::collections::BTreeSet::new() };
    let steps = vec![
        step(1, "machine/web", engine(remove), &[], "image differs", Impact::Recreate),
        step(2, "machine/web", start("shop.web"), &[1], "image differs", Impact::None),
    ];
    insta::assert_snapshot!(text(&plan(changes, steps)));
}

fn down(machines: usize) -> Plan {
    let gone = "no longer wanted";
    let volume = vec![Loss::Volume("shop.data".into())];
    let mut changes = vec![change("volume/data", Action::Delete, Impact::Destroy, gone, vec![], volume)];
    changes.extend((0..machines).map(|n| {
        let losses = vec![Loss::WritableLayer(None)];
        Change { place: None, ..change(&format!("machine/m{n:02}"), Action::Delete, Impact::Destroy, gone, vec![], losses) }
    }));
    let delete = EngineOp::DeleteVolume { name: "shop.data".into() };
    plan(changes, vec![step(1, "volume/data", engine(delete), &[], gone, Impact::Destroy)])
}

#[test]
fn a_volume_goes_with_its_data() {
    insta::assert_snapshot!(text(&down(12)));
}

#[test]
fn long_rows_keep_to_their_columns() {
    let network = |length: usize| engine(EngineOp::DeleteNetwork { name: "n".repeat(length) });
    let changes = vec![change("network/back", Action::Delete, Impact::Live, "no longer wanted", vec![], vec![])];
    let of = |id, op, after: &[u32]| step(id, "network/back", op, after, "no longer wanted", Impact::Live);
    let mut steps: Vec<Step> = (1..40).map(|id| of(id, network(4), &[])).collect();
    steps.push(of(40, network(70), &[1, 2, 3]));
    steps.push(of(41, network(20), &(0..19).map(|n| 1 + 2 * n).collect::<Vec<_>>()));
    let text = text(&plan(changes, steps));
    let last: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("    39")).collect();
    insta::assert_snapshot!(last.join("\n"), @r"
        39  delete Docker network nnnn                                             live      no longer wanted
      wave 2
        40  delete Docker network nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn
                                                        after 1-3                  live      no longer wanted
        41  delete Docker network nnnnnnnnnnnnnnnnnnnn  after ..., 31, 33, 35, 37  live      no longer wanted

    Plan: 1 to delete; impact: live
    ");
}

#[test]
fn nothing_to_do() {
    let changes = vec![Change::keep(addr("machine/db"), Some(at(20))), Change::keep(addr("machine/web"), Some(at(12)))];
    let mut plan = plan(changes, vec![]);
    insta::assert_snapshot!(text(&plan), @"nothing to do: 2 machines are as fly.yml says");
    plan.notes.push("web:eth0 also has 10.9.9.9/24, which is not fly's and stays".into());
    insta::assert_snapshot!(text(&plan), @r"
    note: web:eth0 also has 10.9.9.9/24, which is not fly's and stays

    nothing to do: 2 machines are as fly.yml says
    ");
    plan.changes.clear();
    plan.notes.clear();
    insta::assert_snapshot!(text(&plan), @"nothing to do: there is nothing of `shop`, and nothing is wanted");
}

#[test]
fn foreign_text_cannot_move_the_cursor() {
    let fields = vec![field("environment.MODE", Some("\x1b[2J"), Some("fine\r"), 4, Effect::Replace)];
    let changes = vec![change("machine/web", Action::Replace, Impact::Recreate, "a\x07reason", fields, vec![])];
    let steps = vec![step(1, "machine/web", start("shop\x1b.web"), &[], "a\x07reason", Impact::Recreate)];
    let text = text(&plan(changes, steps));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    assert!(text.contains(r"environment.MODE: \x1b[2J -> fine\r"), "{text}");
}

#[test]
fn colour_adds_nothing_but_colour() {
    for plan in [create(), down(3)] {
        let (plain, colored) = (rendered(&plan, false), rendered(&plan, true));
        assert!(colored.contains("\x1b["));
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    }
}

#[test]
fn programs_get_words_not_payloads() {
    let mut plan = create();
    let secret = EngineOp::CreateVolume { name: "shop.pg".into(), labels: [("token".to_owned(), "hunter2".to_owned())].into() };
    plan.steps.push(step(5, "volume/pg", engine(secret), &[], "not there yet", Impact::None));
    let json = review(&plan, Aside::default(), render::json);
    assert!(!json.contains("hunter2"), "{json}");
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["version"], render::JSON_VERSION);
    assert_eq!(value["summary"]["create"], 6);
    assert_eq!(value["steps"][3]["after"], serde_json::json!([1, 2, 3]));
    assert_eq!(value["steps"][4]["does"], "create volume shop.pg");
    insta::assert_snapshot!(serde_json::to_string_pretty(&value["changes"][4]).unwrap());
}
