//! What is true of every rendering of every plan: the same bytes, no secret, nothing active out of a file, and never too long.

use std::collections::{BTreeMap, BTreeSet};

use comrak::nodes::NodeValue;
use comrak::{Arena, parse_document};
use fly::actual::Actual;
use fly::desired::Desired;
use fly::diag::Place;
use fly::diff::{Action, Change, Effect, FieldChange, Impact, Loss};
use fly::plan::render;
use fly::plan::review::{Aside, Origin, Review, Security};
use fly::plan::{Plan, plan};
use fly::types::{Addr, Bytes};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::history::case;
use crate::plans::{empty_world, options, resolved};
use crate::properties::{config, looked, up};

/// Text, Markdown, annotations, JSON.
fn all(review: &Review<'_>) -> [String; 4] {
    let options = options();
    [render::text(review, &options), render::markdown(review, &options), render::github(review, &options), render::json(review)]
}

fn renderings(plan: &Plan, desired: &Desired, actual: &Actual) -> [String; 4] {
    all(&Review::new(plan, desired, actual, Aside::default()))
}

/// What a key of fly.yml may cost at most, whatever it changes to. What is not here costs a replacement.
const LIVE: &[&str] = &[
    "memory",
    "cpus",
    "cpuset",
    "pids_limit",
    "restart",
    "names",
    "state",
    "container",
    "leftover",
    "nics",
    "rules",
    "routes",
    "guest",
    "sshd",
    "its program waits for",
];

/// The worst that a change may be, by what it names.
fn allowed(change: &Change) -> Impact {
    let is_live = |field: &FieldChange| LIVE.contains(&field.field.split('.').next().unwrap());
    match (&change.addr, change.action) {
        (_, Action::Keep) => Impact::None,
        (Addr::Machine(_) | Addr::Volume(_) | Addr::HostKey(_), Action::Delete) => Impact::Destroy,
        (Addr::Machine(_), Action::Replace) if change.fields.iter().any(|field| !is_live(field)) => Impact::Recreate,
        // For another one's sake, or because the engine has lost it.
        (Addr::Machine(_), Action::Replace)
            if ["it lives in", "its image is", "the engine calls"].iter().any(|it| change.reason.starts_with(it)) =>
        {
            Impact::Recreate
        }
        (Addr::Machine(_), Action::Restart) => Impact::Restart,
        _ => Impact::Live,
    }
}

proptest! {
    #![proptest_config(fewer())]

    #[test]
    fn the_same_plan_is_the_same_bytes((history, sketch) in case()) {
        let world = history.world();
        let (Ok(one), Ok(turned)) = (sketch.desired(), crate::sketch::Sketch { backwards: !sketch.backwards, ..sketch.clone() }.desired()) else {
            return Err(TestCaseError::reject("no such file"));
        };
        let (first, again) = (looked(&world, &one), looked(&world, &turned));
        let (Ok(plan_of_one), Ok(plan_of_turned)) = (plan(&one, &first), plan(&turned, &again)) else {
            return Err(TestCaseError::reject("refused"));
        };
        prop_assert_eq!(renderings(&plan_of_one, &one, &first), renderings(&plan_of_turned, &turned, &again));
    }

    #[test]
    fn no_plan_is_worse_than_what_it_names_allows((history, sketch) in case()) {
        let world = history.world();
        let Ok(desired) = sketch.desired() else { return Err(TestCaseError::reject("no such file")) };
        let actual = looked(&world, &desired);
        let Ok(made) = plan(&desired, &actual) else { return Err(TestCaseError::reject("refused")) };
        for change in &made.changes {
            prop_assert!(change.impact <= allowed(change), "{change:?}");
        }
        for step in &made.steps {
            prop_assert!(step.impact <= made.impact().max(Impact::Live), "{} {:?} in a plan of {:?}", step.does(), step.impact, made.impact());
        }
        // Every machine is told of once, and where its worst news is.
        let review = Review::new(&made, &desired, &actual, Aside::default());
        let told: Vec<&Addr> = review.groups().map(|group| &group.addr).collect();
        prop_assert_eq!(told.iter().collect::<BTreeSet<_>>().len(), told.len());
        let shown: BTreeSet<&Addr> = review.groups().flat_map(|group| &group.items).map(|item| &item.change.addr).collect();
        for change in made.changes.iter().filter(|change| change.action != Action::Keep) {
            prop_assert!(shown.contains(&change.addr), "{} is not told", change.addr);
        }
        let sum = review.machines;
        prop_assert_eq!(review.worst >= fly::plan::review::Severity::Interrupts, made.impact().is_disruptive() || made.changes.iter().any(|it| !it.losses.is_empty()));
        prop_assert!(sum.lost + sum.interrupted + sum.live + sum.created + sum.unchanged >= desired.machines.len());
    }

    #[test]
    fn nothing_of_a_file_is_active_in_a_plan(texts in prop::collection::vec(hostile(), 9)) {
        let file = |texts: &[String]| serde_json::json!({
            "name": "shop",
            "volumes": {"data": {}},
            "machines": {"web": {
                "image": "debian:12",
                "environment": {"MODE": texts[0], "LIST": format!("a, {}, b", texts[1])},
                "labels": {"note": texts[2], format!("{MARK}.@all"): "1"},
                "command": ["run", texts[3], "a word that makes the list so long that it is shown line by line", texts[4]],
                "entrypoint": [texts[5]],
                "volumes": ["data:/srv"],
                "healthcheck": {"test": ["CMD", texts[6]]},
                "tmpfs": {"/tmp": ""},
            }},
        });
        let text = |texts: &[String]| {
            let mut file = file(texts);
            file["machines"]["web"].as_object_mut().unwrap().remove("tmpfs");
            // As JSON it is YAML, and `$` stands for itself.
            serde_json::to_string(&file).unwrap().replace('$', "$$")
        };
        let (before, after) = (text(&texts), text(&texts.iter().rev().cloned().collect::<Vec<_>>()));
        let world = empty_world("image: debian:12\n");
        let (one, two) = (resolved(&before), resolved(&after));
        harmless(&plan(&one, &looked(&world, &one)).unwrap(), &one, &looked(&world, &one), &texts)?;
        up(&world, &one, 16).unwrap();
        let actual = looked(&world, &two);
        harmless(&plan(&two, &actual).unwrap(), &two, &actual, &texts)?;
        let none = one.emptied();
        harmless(&plan(&none, &actual).unwrap(), &none, &actual, &texts)?;
    }

    #[test]
    fn nor_of_whatever_else_a_plan_may_hold(texts in prop::collection::vec(hostile(), 9)) {
        let made = by_hand(&texts);
        let desired = Desired::empty(made.project.clone());
        harmless(&made, &desired, &Actual::default(), &texts)?;
    }
}

/// Every case is rendered several times, and parsed.
fn fewer() -> Config {
    let all = config();
    Config { cases: all.cases / 5, ..all }
}

/// In every hostile text, so that it can be told where one is.
const MARK: &str = "zq9";

fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "`",
        "```",
        "~~~",
        "|",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "\u{1b}[2J",
        "\u{202e}",
        "\u{200b}",
        "<img src=x onerror=alert(1)>",
        "<!-- ",
        " -->",
        "<details>",
        "</details>",
        "</code>",
        "<script>",
        "@everyone",
        " #12 ",
        "GH-12",
        "https://evil.example/",
        "www.evil.example",
        "a@evil.example",
        "![x](https://evil.example/x.png)",
        "[x](javascript:alert(1))",
        "[x]: https://evil.example",
        "\n::error file=x::y",
        "::set-output name=x::y",
        "%0A::error::",
        "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        "\n> [!CAUTION]\n> x",
        "\n- [ ] x",
        ":smile:",
        "$`x`$",
        "&lt;b&gt;",
        "\\",
        "\\|",
        "**x**",
        "__x__",
        "\n# x\n",
        "\n---\n",
        "a/b#1",
        "'",
        "\"",
        "%",
        ",",
        ":",
        " ",
        "x",
    ]);
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("{MARK}{}{MARK}", pieces.concat()))
}

fn by_hand(texts: &[String]) -> Plan {
    let place = |file: &str| Some(Place { file: file.into(), line: 3, column: 7, offset: 0, len: 1 });
    let field = |name: &str, old: &str, new: &str| FieldChange {
        field: name.into(),
        old: Some(old.into()),
        new: Some(new.into()),
        place: place(&texts[8]),
        effect: Effect::Replace,
    };
    let machine = Change {
        addr: "machine/web".parse().unwrap(),
        action: Action::Replace,
        fields: vec![field(&texts[0], &texts[1], &texts[2]), field(&texts[3], "1, 2", &texts[4])],
        reason: texts[5].clone(),
        impact: Impact::Recreate,
        losses: vec![Loss::Volume(texts[6].clone()), Loss::WritableLayer(None)],
        place: place(&texts[7]),
    };
    let image = Change {
        addr: Addr::Image(texts[7].clone()),
        action: Action::Create,
        reason: texts[8].clone(),
        ..Change::keep(Addr::Agent, place(&texts[2]))
    };
    Plan { project: "shop".parse().unwrap(), changes: vec![image, machine], steps: vec![], notes: texts.to_vec(), drift: BTreeMap::new() }
}

type Checked = Result<(), TestCaseError>;

fn harmless(made: &Plan, desired: &Desired, actual: &Actual, texts: &[String]) -> Checked {
    let addr: Addr = "machine/web".parse().unwrap();
    let aside = Aside {
        origins: BTreeMap::from([(addr.clone(), Origin::Drift { hint: Some(texts[0].clone()) })]),
        security: vec![Security { addr: addr.clone(), text: texts[1].clone(), place: None }],
        left_out: vec![Addr::Image(texts[2].clone())],
        ..Aside::default()
    };
    for aside in [Aside::default(), aside] {
        let [text, markdown, github, json] = all(&Review::new(made, desired, actual, aside));
        prop_assert!(is_clean(&text), "{text:?}");
        inert(&markdown)?;
        annotations(&github)?;
        prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok());
        let body: serde_json::Value = serde_json::from_str(&render::comment(&markdown)).unwrap();
        prop_assert_eq!(body["body"].as_str(), Some(markdown.as_str()));
    }
    inert(&render::failed(Some(&made.project), &texts.join("\n")))
}

/// Nothing in it that a terminal acts upon.
fn is_clean(text: &str) -> bool {
    text.chars()
        .all(|c| c == '\n' || !c.is_control() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Read as GitHub reads it: no links, pictures or HTML but fly's own, and foreign text in code only.
fn inert(markdown: &str) -> Checked {
    prop_assert!(is_clean(markdown) && markdown.len() <= render::LONGEST_MARKDOWN, "{markdown:?}");
    let mut how = comrak::Options::default();
    let extension = &mut how.extension;
    (extension.table, extension.autolink, extension.strikethrough, extension.tasklist) = (true, true, true, true);
    (extension.footnotes, extension.alerts, extension.math_code, extension.math_dollars) = (true, true, true, true);
    let arena = Arena::new();
    for node in parse_document(&arena, markdown, &how).descendants() {
        match &node.data().value {
            NodeValue::HtmlBlock(block) => {
                let own = |line: &str| {
                    let title = line.strip_prefix("<summary>").and_then(|rest| rest.strip_suffix("</summary>"));
                    let plain = |title: &str| title.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | ','));
                    matches!(line, "<details>" | "</details>" | "<!-- fly plan: shop -->") || title.is_some_and(plain)
                };
                prop_assert!(block.literal.lines().all(own), "{}\n{markdown}", block.literal);
            }
            NodeValue::Text(text) => {
                let active = [MARK, "@", "#", "://", "www.", "GH-", "deadbeef", "evil"];
                prop_assert!(!active.iter().any(|it| text.contains(it)), "{text}\n{markdown}");
            }
            NodeValue::CodeBlock(block) => prop_assert!(matches!(block.info.as_str(), "" | "diff"), "{}\n{markdown}", block.info),
            NodeValue::Document
            | NodeValue::BlockQuote
            | NodeValue::List(_)
            | NodeValue::Item(_)
            | NodeValue::Paragraph
            | NodeValue::Heading(_)
            | NodeValue::Table(_)
            | NodeValue::TableRow(_)
            | NodeValue::TableCell
            | NodeValue::SoftBreak
            | NodeValue::Code(_)
            | NodeValue::Strong
            | NodeValue::Alert(_) => {}
            other => prop_assert!(false, "{other:?}\n{markdown}"),
        }
    }
    let outline: Vec<&str> = markdown
        .lines()
        .filter(|line| line.starts_with("```") || line.starts_with("<details>") || line.starts_with("</details>"))
        .collect();
    prop_assert!(outline.len().is_multiple_of(2), "{markdown}");
    Ok(())
}

/// Each line one command, as GitHub's runner takes them apart.
fn annotations(text: &str) -> Checked {
    prop_assert!(is_clean(text), "{text:?}");
    for line in text.lines() {
        let (head, _) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).unwrap_or_default();
        let (level, properties) = head.split_once(' ').unwrap_or_default();
        prop_assert!(matches!(level, "error" | "warning" | "notice"), "{line}");
        let keys: Vec<&str> = properties.split(',').map(|it| it.split_once('=').unwrap_or_default().0).collect();
        prop_assert!(matches!(keys.as_slice(), ["file", "line", "col", "title"] | ["file", "title"]), "{line}");
        prop_assert!(!properties.contains(':'), "{line}");
    }
    Ok(())
}

#[test]
fn no_secret_is_in_any_rendering() {
    let text = |turn: &str| {
        format!(
            "name: shop\nmachines:\n  web:\n    image: debian:12\n    environment:\n      DB_PASSWORD: canary-{turn}-1\n      API_TOKEN: \"${{TOKEN}}{turn}\"\n      \
             AWS_SECRET_ACCESS_KEY: canary-{turn}-2\n      DSN: canary-{turn}-3\n      URL: \"https://user:canary-{turn}-4@db.example/x\"\n    sshd: true\n"
        )
    };
    let world = empty_world("image: debian:12\n");
    let (one, two) = (resolved(&text("one")), resolved(&text("two")));
    let mut shown = vec![];
    let mut look = |desired: &Desired| {
        let actual = looked(&world, desired);
        let made = plan(desired, &actual).unwrap();
        assert!(!made.is_empty());
        shown.extend(renderings(&made, desired, &actual));
    };
    look(&one);
    up(&world, &one, 16).unwrap();
    look(&two);
    look(&one.emptied());
    assert!(shown.iter().any(|text| text.contains("DB_PASSWORD") && text.contains("(hidden)")), "it is told that it changes");
    for text in shown {
        assert!(!text.contains("canary") && !text.contains("hunter2"), "{text}");
    }
}

/// A plan of many machines, of which the same becomes.
fn fleet(machines: usize, name: &str, action: Action, impact: Impact) -> Plan {
    let place = Place { file: "fly.yml".into(), line: 4, column: 5, offset: 0, len: 1 };
    let field = |n: usize| FieldChange {
        field: format!("environment.VARIABLE_{n}"),
        old: Some("a value that is neither short nor long".into()),
        new: Some("another value that is neither short nor long".into()),
        place: Some(place.clone()),
        effect: Effect::Replace,
    };
    let change = |n: usize| Change {
        addr: format!("machine/{name}-{n}").parse().unwrap(),
        action,
        fields: if action == Action::Delete { vec![] } else { (0..4).map(field).collect() },
        reason: if action == Action::Delete { "no longer wanted".into() } else { "the engine fixes environment at creation".into() },
        impact,
        losses: if impact.is_disruptive() { vec![Loss::WritableLayer(Some(Bytes(1000 * n as u64)))] } else { vec![] },
        place: Some(place.clone()),
    };
    Plan {
        project: "shop".parse().unwrap(),
        changes: (1..=machines).map(change).collect(),
        steps: vec![],
        notes: vec![],
        drift: BTreeMap::new(),
    }
}

fn markdown(made: &Plan) -> String {
    let (desired, actual) = (Desired::empty(made.project.clone()), Actual::default());
    let text = render::markdown(&Review::new(made, &desired, &actual, Aside::default()), &options());
    assert!(text.len() <= render::LONGEST_MARKDOWN, "{} bytes", text.len());
    inert(&text).unwrap();
    text
}

#[test]
fn five_hundred_machines_fit_and_none_that_is_destroyed_is_left_out() {
    for (action, impact) in [
        (Action::Delete, Impact::Destroy),
        (Action::Replace, Impact::Recreate),
        (Action::Update, Impact::Live),
        (Action::Create, Impact::None),
    ] {
        let text = markdown(&fleet(500, "web", action, impact));
        if impact.is_disruptive() {
            let words: BTreeSet<&str> = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
            let missing: Vec<usize> = (1..=500).filter(|n| !words.contains(format!("web-{n}").as_str())).collect();
            assert!(missing.is_empty(), "{action:?}: {missing:?}\n{text}");
            assert!(text.contains("[!CAUTION]"));
        } else {
            assert!(text.contains("500 machines"), "{text}");
        }
        assert!(text.contains("Left out here for its length"), "{action:?}: {text}");
    }
}

#[test]
fn what_destroys_comes_before_all_that_does_not() {
    let mut made = fleet(400, "web", Action::Update, Impact::Live);
    made.changes.extend(fleet(30, "gone", Action::Delete, Impact::Destroy).changes);
    let text = markdown(&made);
    assert!(
        (1..=30).all(|n| text.contains(&format!("`machine/gone-{n}`")) && text.contains(&format!("- -   machine/gone-{n}  delete"))),
        "{text}"
    );
    assert!(text.contains("interrupt nobody"), "{text}");
}

#[test]
fn a_thousand_machines_with_the_longest_names_are_told_as_far_as_there_is_room() {
    let text = markdown(&fleet(1000, &"n".repeat(58), Action::Delete, Impact::Destroy));
    assert!(text.contains("1000 machines lose data or go away") && text.contains("more, for whose names there is no room here"), "{text}");
    let text = markdown(&fleet(1000, &"n".repeat(30), Action::Delete, Impact::Destroy));
    assert!((1..=1000).all(|n| text.contains(&format!("{}-{n}", "n".repeat(30)))) && !text.contains("no room here"), "{text}");
}

#[test]
fn one_value_that_is_too_long_by_itself() {
    let mut made = fleet(1, "web", Action::Replace, Impact::Recreate);
    made.changes[0].fields[0].new = Some("```x ".repeat(20_000));
    let text = markdown(&made);
    assert!(text.contains("`machine/web-1`") && text.contains("Left out here"), "{text}");
}

#[test]
fn what_somebody_did_stands_apart_from_what_the_file_says() {
    let mut made = fleet(2, "web", Action::Update, Impact::Live);
    for field in made.changes.iter_mut().flat_map(|change| &mut change.fields) {
        field.effect = Effect::Live;
    }
    "differs from the file".clone_into(&mut made.changes[0].reason);
    let addr = |n: usize| -> Addr { format!("machine/web-{n}").parse().unwrap() };
    let drift = Origin::Drift { hint: Some("docker update, 14:02 UTC".into()) };
    let aside = Aside {
        origins: BTreeMap::from([(addr(1), Origin::File)]),
        fields: BTreeMap::from([((addr(2), "environment.VARIABLE_1".to_owned()), drift)]),
        security: vec![Security { addr: addr(1), text: "privileged: true".into(), place: made.changes[0].place.clone() }],
        left_out: vec!["machine/db".parse().unwrap()],
    };
    let (desired, actual) = (Desired::empty(made.project.clone()), Actual::default());
    let [text, markdown, github, json] = all(&Review::new(&made, &desired, &actual, aside));
    insta::assert_snapshot!("apart", format!("{text}\n{markdown}\n{github}\n{json}"));
}
