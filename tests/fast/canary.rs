//! What variables stand for is not in a recorded world: tried at every place of the file where a variable can stand.

use std::collections::{BTreeMap, BTreeSet};

use fly::actual::{Actual, Said};
use fly::desired::{Context, Desired, EnvText, NetworkKind, resolve};
use fly::plan::review::{Aside, Review};
use fly::{ideal, plan, spec};
use serde_json::Value;

const CANARY: &str = "canary7f3a";
/// What it was before somebody changed it.
const OLDER: &str = "canary0b1c";

/// With every key that says anything of what is made.
pub(crate) const WHOLE: &str = include_str!("whole.yml");

/// What things are called, and where they are: a plan could not do without, and other people see it anyway.
const NAMES: [&str; 19] = [
    "defaults.dns_search",
    "networks",
    "machines.*.image",
    "machines.*.hostname",
    "machines.*.links",
    "machines.*.depends_on",
    "machines.*.network_mode",
    "machines.*.extra_hosts",
    "machines.*.dns_search",
    "machines.*.nics",
    "machines.*.ports",
    "machines.*.devices",
    "machines.*.sshd",
    "machines.*.volumes",
    "machines.*.stop_signal",
    "links",
    "volumes.*.name",
    "volumes.*.external",
    "name",
];

fn everything() -> Value {
    serde_saphyr::from_str(WHOLE).unwrap()
}

/// The path of every text, as keys and positions.
fn texts(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let mut below = |key: String, value: &Value| texts(value, &[path, &[key]].concat(), found);
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key.clone(), value)),
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| below(at.to_string(), value)),
        Value::String(_) => found.push(path.to_vec()),
        _ => {}
    }
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, key| match value {
        Value::Array(list) => &mut list[key.parse::<usize>().unwrap()],
        value => &mut value[key.as_str()],
    })
}

struct File {
    desired: Desired,
    source: String,
    values: BTreeSet<String>,
}

pub(crate) fn context(secret: &str) -> Context {
    let env_file = |path: &str| (path.to_owned(), EnvText { shown: path.to_owned(), text: Ok(format!("FROM_{}={secret}\n", &path[..1])) });
    Context {
        directory: "/srv/shop".into(),
        home: Some("/home/user".into()),
        guest: "0123456789ab".into(),
        agent: Some("0123456789ab".into()),
        env_files: BTreeMap::from([env_file("a.env"), env_file("b.env")]),
        seccomp_profiles: BTreeMap::from([("profile.json".to_owned(), Ok("{\"defaultAction\": \"SCMP_ACT_ALLOW\"}".to_owned()))]),
        ..Context::default()
    }
}

fn told(wrong: Vec<fly::diag::Diagnostic>) -> String {
    wrong.into_iter().map(|it| format!("{}: {:?}\n", it.message, it.causes)).collect()
}

fn read(value: &Value, secret: &str) -> Result<File, String> {
    let source = value.to_string();
    let environment = BTreeMap::from([("CANARY".to_owned(), secret.to_owned()), ("GIVEN".to_owned(), secret.to_owned())]);
    let spec = spec::parse("fly.yml", &source, &environment).map_err(told)?;
    let context = Context { environment, ..context(secret) };
    let values = spec.veil.values().map(str::to_owned).collect();
    Ok(File { desired: resolve(&spec, &context).map_err(told)?, source, values })
}

fn record(world: &File, file: &File) -> String {
    let actual = ideal::world(&world.desired, ideal::host(&world.desired, &file.desired)).unwrap();
    actual.veiled(&Said { source: &file.source, values: &file.values }).to_text(&file.desired.project)
}

fn is_name(path: &[String]) -> bool {
    let matches = |pattern: &str| {
        pattern.split('.').zip(path).all(|(word, key)| word == "*" || word == key) && pattern.split('.').count() <= path.len()
    };
    // `labels: [empty]` is the name of a label, `tmpfs: [/tmp]` a place.
    let is_key = ["labels", "environment", "tmpfs"].iter().any(|key| path.ends_with(&[(*key).to_owned(), "1".to_owned()]));
    is_key || NAMES.iter().any(|pattern| matches(pattern)) && !path.contains(&"labels".to_owned()) && !path.contains(&"password".to_owned())
}

#[test]
fn no_value_of_a_variable_is_in_a_record() {
    let mut paths = vec![];
    texts(&everything(), &[], &mut paths);
    read(&everything(), CANARY).unwrap();
    let (mut tried, mut wrong) = (0, vec![]);
    for path in &paths {
        let mut value = everything();
        let text = at(&mut value, path);
        *text = Value::String(format!("{}${{CANARY}}", text.as_str().unwrap()));
        // Where only some words can stand, no secret can.
        let (Ok(now), Ok(then)) = (read(&value, CANARY), read(&value, OLDER)) else { continue };
        tried += 1;
        for (what, text) in [("now", record(&now, &now)), ("of an older value", record(&then, &now))] {
            let leaks = [CANARY, OLDER].iter().any(|secret| text.contains(secret));
            if leaks && !is_name(path) {
                wrong.push(format!("{} {what}", path.join(".")));
            }
        }
        if is_name(path) {
            continue;
        }
        // It still tells what is as the file says, and what is not.
        let planned = |text: &str| {
            let mut actual = Actual::from_text(text.as_bytes(), &now.desired.project).unwrap();
            actual.unveil_passwords(|name| Some(&now.desired.machines.get(name)?.guest.as_ref()?.config));
            actual.unveil(|name| Some(&now.desired.machines.get(name)?.container));
            let networks = now
                .desired
                .networks
                .values()
                .filter_map(|it| if let NetworkKind::Nat { network, .. } = &it.kind { Some(&network.labels) } else { None });
            actual.unveil_labels(networks.chain(now.desired.volumes.values().map(|volume| &volume.labels)));
            plan::plan(&now.desired, &actual).unwrap()
        };
        assert!(planned(&record(&now, &now)).is_empty(), "{}", path.join("."));
        let differs = planned(&record(&then, &now));
        let options = plan::render::Options { steps: true, file: "fly.yml".into(), ..plan::render::Options::default() };
        let shown = plan::render::text(&Review::new(&differs, &now.desired, &Actual::default(), Aside::of(&differs)), &options);
        assert!(!shown.contains(OLDER) && !shown.contains("fly-veiled"), "{}: {shown}", path.join("."));
    }
    assert!(wrong.is_empty(), "in clear: {wrong:#?}");
    assert!(tried > 60, "only {tried} places of {}", paths.len());
}

#[test]
fn a_record_of_another_form_or_with_more_in_it_is_refused() {
    let file = read(&everything(), CANARY).unwrap();
    let text = record(&file, &file);
    let project = &file.desired.project;
    let told = |text: &str| Actual::from_text(text.as_bytes(), project).err().map(|error| error.to_string());
    assert_eq!(told(&text), None);
    assert_eq!(told(&text.replace("\"fly_world\": 1", "\"fly_world\": 2")).unwrap(), "it is of form 2, and this fly reads form 1");
    assert_eq!(told("{}").unwrap(), "it is no world that `fly snapshot` has recorded");
    assert_eq!(told("nonsense").unwrap(), "it is no world that `fly snapshot` has recorded");
    assert_eq!(
        told(&text.replace("\"project\": \"shop\"", "\"project\": \"blog\"")).unwrap(),
        "it is of project `blog`, and the file's is `shop`"
    );
    // A key that nobody knows, at every object of the record but maps of names.
    let value: Value = serde_json::from_str(&text).unwrap();
    for pointer in [
        "",
        "/engine",
        "/engine/facts",
        "/engine/machines/box",
        "/engine/machines/box/container",
        "/engine/networks/out",
        "/engine/networks/out/network",
        "/engine/taken",
        "/net",
        "/net/firewall",
        "/net/namespaces/host",
        "/net/namespaces/host/links/eth1",
        "/given_hosts/0",
    ] {
        let mut more = value.clone();
        more.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")).as_object_mut().unwrap().insert("more".into(), true.into());
        assert_eq!(told(&more.to_string()).as_deref(), Some("it was changed, or written by another version of fly"), "{pointer}");
    }
}
