//! All that is said of a file in one run, as its user sees it: nothing is missed, and nothing is said that only follows from another
//! mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use fly::desired::Context;
use fly::diag::Mistakes;

/// What `fly config` says of this file, with these beside it.
fn said(name: &str, text: &str, others: &[(&str, &str)]) -> String {
    said_in("", name, text, others)
}

/// The same, said to somebody in this folder below it.
fn said_in(below: &str, name: &str, text: &str, others: &[(&str, &str)]) -> String {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mistakes").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join(below)).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    for (file, text) in others.iter().chain(&[("fly.yml", text)]) {
        std::fs::write(folder.join(file), text).unwrap();
    }
    let variables = BTreeMap::from([("PATH", "/bin"), ("OUTER", "outside"), ("PASSED", "yes"), ("DB_PASSWORD", "hunter2")]);
    let output =
        Command::new(env!("CARGO_BIN_EXE_fly")).arg("config").current_dir(folder.join(below)).env_clear().envs(variables).output().unwrap();
    let shown = String::from_utf8(if output.status.success() { output.stdout } else { output.stderr }).unwrap();
    format!("exit {}\n{shown}", output.status.code().unwrap())
}

#[test]
fn what_two_cards_take_from_one_place_is_theirs_twice() {
    let anchor = "name: t
x-c: &c {network: lan, ip: 10.0.0.5, mac: \"02:00:00:00:00:01\"}
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: x, nics: {eth0: *c}}
  b: {image: x, nics: {eth0: *c}}
";
    let defaults = "name: t
defaults: {nics: {eth0: {network: lan, ip: 10.0.0.5}}}
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: x}
  b: {image: x}
";
    let merged = "name: t
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: &a {image: x, nics: {eth0: {network: lan, mac: \"02:00:00:00:00:01\"}}}
  b: {<<: *a}
";
    let own = "name: t
x-c: &c {network: lan, ip: 10.0.0.5}
networks: {lan: {parent: eth1, subnet: 10.0.0.0/24}}
machines:
  a: {image: x, nics: {eth0: *c, eth1: *c}}
";
    let all = [("anchor", anchor), ("defaults", defaults), ("merged", merged), ("own", own)];
    insta::assert_snapshot!("one_place", all.map(|(name, text)| said(name, text, &[])).join("\n"));
}

/// The messages alone, without the lines of the file.
fn messages(name: &str, text: &str) -> Vec<String> {
    said(name, text, &[]).lines().filter_map(|line| line.strip_prefix("error: ")).map(str::to_owned).collect()
}

#[test]
fn a_mistake_hides_no_other_on_its_line() {
    let text = "name: t
machines:
  a: {image: x, bogus: 1, nics: {eth0: nosuch}, depends_on: [ghost]}
";
    insta::assert_snapshot!("one_line", said("line", text, &[]));
}

/// What could not be read is not taken for what was not written.
#[test]
fn no_mistake_follows_from_another() {
    let cases = [
        (
            "networks: {lan: {subnet: 10.1.0.0/33, gateway: 10.1.0.1, pool: 10.1.0.2-10.1.0.9, host_ip: 10.1.0.3}}",
            "a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.9}}}",
        ),
        ("networks: {lan: {kind: macvlan, parent: averyveryverylongname}}", "a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.9/24}}}"),
        (
            "networks: {lan: {parent: averyveryverylongname, subnet: 10.1.0.0/24}, l2: {parent: 'a/b', subnet: 10.1.0.0/24}}",
            "a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.9}}}\n  b: {image: x, nics: {eth0: {network: l2, ip: 10.1.0.9}}}",
        ),
        ("networks: {lan: {kind: natt, internal: true}}", "a: {image: x, ports: ['80:80'], nics: {eth0: lan}}"),
        ("networks: {lan: {mtu: big}}", "a: {image: x, nics: {eth0: {network: lan, mtu: 9000}}}"),
        (
            "networks: {lan: {kind: nat, subnet: 10.1.0.0/24, gateway: 10.1.0.x}}",
            "a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.1}}}",
        ),
        ("networks: {lan: {bridge: 'a/b'}}", "a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.1}}}"),
        ("networks: [lan]", "a: {image: x, nics: {eth0: lan}, links: [b]}\n  b: {image: x, nics: {eth0: lan}}"),
        ("networks: {lan: {}}", "a: {image: x, nics: lan, links: [b], ports: ['80:80']}\n  b: {image: x, nics: {eth0: lan}}"),
        ("networks: {lan: {}}", "a: {image: x, nics: {eth0: [lan]}, ports: ['80:80']}"),
        ("networks: {lan: {}}", "a: {image: x, nics: {averyveryverylongname: lan}, links: [b]}\n  b: {image: x, nics: {eth0: lan}}"),
        (
            "networks: {lan: {subnet: 10.1.0.0/24}}",
            "a: {image: x, nics: {eth0: {network: lan, ip: 10.1.0.300, routes: [10.2.0.0/16 via 10.1.0.1]}}}",
        ),
        ("networks: {lan: {subnet: 10.1.0.0/24}}", "n: {image: x, scale: 2, nics: {eth0: lan}}\n  n-1: {image: x, nics: {eth0: lan}}"),
        ("networks: {}", "a: {image: x, network_mode: host, ports: ['80:80']}\n  b: {image: x, ports: ['80:80']}"),
        ("networks: {}", "a: {image: x, scale: many, ports: ['8000-8002:80']}"),
        ("volumes: [data]", "a: {image: x, volumes: ['data:/data']}"),
        ("defaults: {image: 5}", "a: {restart: always}\n  b: {}"),
        ("defaults: {image: x}", "a: {image: }"),
        ("networks: {}", "a: {iamge: x}"),
        ("links: [[a:eth5, b]]", "a: {image: x, nics: {}, links: [b]}\n  b: {image: x, nics: {}}"),
        ("links: [{ends: [{nic: a:eth5, ip: 10.0.0.1, gateway: 10.0.0.2}, b:eth5]}]", "a: {image: x, nics: {}}\n  b: {image: x, nics: {}}"),
        ("networks: {}", "a: {image: x, labels: {fly.x: y}}"),
        ("networks: {}", "a: {image: '${X:?no}', depends_on: [b]}\n  b: {image: x, network_mode: '${Y:?no}', links: [a]}"),
    ];
    let mut out = String::new();
    for (i, (top, machines)) in cases.iter().enumerate() {
        let text = format!("name: t\n{top}\nmachines:\n  {machines}\n");
        let all = messages(&format!("follows-{i}"), &text);
        let _ = writeln!(out, "{top}\n  {machines}");
        for message in all {
            let _ = writeln!(out, "    {message}");
        }
        out.push('\n');
    }
    insta::assert_snapshot!("follows", out);
}

/// What this thread has had of the processor: the clock also counts what others do on a busy machine.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// What is said of the file, and what that costs.
#[expect(clippy::unchecked_time_subtraction, reason = "this thread's time goes forward")]
fn cost(text: &str) -> (Duration, String) {
    let start = busy();
    let (spec, wrong) = fly::spec::read("fly.yml", text, &BTreeMap::new(), &BTreeSet::new());
    let mut mistakes = Mistakes::default();
    mistakes.extend(wrong.finish());
    let context = Context { directory: "/srv/t".into(), ..Context::default() };
    mistakes.extend(fly::desired::resolve(&spec.unwrap(), &context).err().into_iter().flatten());
    let shown = fly::cli::diagnostic::render(&mistakes.finish(), &BTreeMap::from([("fly.yml".into(), text.to_owned())]), false);
    (busy() - start, shown)
}

/// Small files that ask for much are answered at once, and briefly.
#[test]
fn little_text_is_little_work() {
    let machines = |count: usize, each: &str| (0..count).map(|i| format!("  m{i}: {{{each}}}\n")).collect::<String>();
    let cases = [
        (
            "scale",
            format!(
                "defaults: {{image: x, scale: 1000, nics: {{eth0: lan}}}}\nnetworks: {{lan: {{subnet: 10.0.0.0/16}}}}\nmachines:\n{}",
                machines(8, "")
            ),
        ),
        ("misspelt", format!("machines:\n{}", machines(1000, "image: x, depends_on: [misspelt]"))),
        ("ports", format!("machines:\n{}", machines(200, "image: x, ports: ['1-65535:1-65535']"))),
        ("unknown", format!("machines: {{a: {{image: x, depends_on: [{}]}}}}", (0..20_000).map(|i| format!("u{i}, ")).collect::<String>())),
        (
            "variables",
            format!("machines: {{a: {{image: x, environment: [{}]}}}}", (0..15_000).map(|i| format!("u{i}, u{i}=2, ")).collect::<String>()),
        ),
        (
            "wide",
            format!(
                "defaults: {{image: x, environment: {{{}}}}}\nmachines:\n{}",
                (0..1000).map(|i| format!("u{i}: x, ")).collect::<String>(),
                machines(900, "")
            ),
        ),
        (
            "all",
            format!(
                "defaults: {{image: x, depends_on: [{}]}}\nmachines:\n{}",
                (0..900).map(|i| format!("m{i}, ")).collect::<String>(),
                machines(900, "")
            ),
        ),
        (
            "cards",
            format!(
                "defaults: {{image: x, nics: {{{}}}}}\nnetworks: {{lan: {{}}}}\nmachines:\n{}",
                (0..1000).map(|i| format!("e{i}: lan, ")).collect::<String>(),
                machines(900, "")
            ),
        ),
    ];
    for (name, text) in cases {
        let (took, shown) = cost(&text);
        assert!(shown.starts_with("error: "), "{name}: {shown}");
        assert!(shown.len() < 60_000, "{name}: {} bytes of errors", shown.len());
        assert!(shown.matches("\nerror: ").count() < 103, "{name}");
        assert!(took < Duration::from_secs(1), "{name} took {took:?}");
    }
}

/// What is allowed is worked out at once, too.
#[test]
fn a_thousand_machines_are_soon_decided() {
    let machines = (0..999).map(|i| format!("  m{i}: {{image: x, nics: {{eth0: lan}}, depends_on: [db]}}\n")).collect::<String>();
    let text = format!("networks: {{lan: {{subnet: 10.0.0.0/16}}}}\nmachines:\n  db: {{image: x, nics: {{eth0: lan}}}}\n{machines}");
    let (took, shown) = cost(&text);
    assert_eq!(shown, "");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn more_mistakes_than_anybody_reads_are_counted() {
    let machines = (0..300).map(|i| format!("  m{i}: {{bogus: 1, image: x, nics: {{}}, depends_on: [ghost{i}]}}\n")).collect::<String>();
    let shown = cost(&format!("machines:\n{machines}")).1;
    let end = shown.rsplit_once("error: 500 more errors are not shown").unwrap().1;
    assert_eq!(end, "\n\nerror: 600 errors in fly.yml\n");
}

/// As Compose does: the user's environment first, `NAME` alone passes on, escapes come before variables.
#[test]
fn files_of_variables_see_the_environment() {
    let env = "A=${OUTER}/x\nC=a\\nb\nD=\"$C\"\n";
    let own = "PASSED\nREF=${OUTER}\nSECOND=${A}\nTHIRD=${OWN}\nGONE\n";
    let text = "name: t\nmachines: {a: {image: x, env_file: ok.env, environment: {A: $A, D: $D, OWN: own}}}\n";
    let said = said("files", text, &[(".env", env), ("ok.env", own)]);
    let start = said.find("    environment:").unwrap();
    insta::assert_snapshot!("environment", &said[start..start + said[start..].find("    hostname:").unwrap()]);
}

#[test]
fn mistakes_in_files_of_variables_have_their_place_and_show_no_value() {
    let text = "name: t
machines:
  a: {image: x, env_file: [bad.env], bogus: 1, user: \"${BROKEN:?no}\", working_dir: \"${NONE:?no}\"}
  b: {image: x, env_file: bad.env}
";
    insta::assert_snapshot!(
        "variables",
        said("variables", text, &[(".env", "A=1\nBROKEN=\"hunter2\n"), ("bad.env", "A=1\nB C=hunter2\n")])
    );
    let said = said_in("sub/sub", "variables", text, &[("bad.env", "=1\n")]);
    assert!(said.contains("--> ../../bad.env:1:1") && !said.contains("=1"), "{said}");
}

#[test]
fn values_of_variables_are_not_shown() {
    let text = "name: t
networks: {lan: {subnet: 10.1.0.0/24}}
machines:
  a:
    image: x
    working_dir: \"${DB_PASSWORD}\"
    nics: {eth0: \"${DB_PASSWORD}\"}
    depends_on: [\"${DB_PASSWORD}\"]
    volumes: [\"${DB_PASSWORD}:/data\", {type: volume, source: \"${DB_PASSWORD}/\", target: /x}]
    network_mode: \"machine:${DB_PASSWORD}\"
    stop_signal: \"${DB_PASSWORD}\"
    env_file: \"${DB_PASSWORD}\"
    hostname: \"${DB_PASSWORD}..x\"
    labels: [\"${DB_PASSWORD}=x\", \"${DB_PASSWORD}=y\"]
    environment: [\"${DB_PASSWORD} =x\"]
    image_: \"${DB_PASSWORD}\"
  b: {image: \"${DB_PASSWORD}: x\", cpus: \"${DB_PASSWORD}\", links: [\"${DB_PASSWORD}\"]}
links: [[\"${DB_PASSWORD}:eth0\", b:eth1]]
";
    let said = said("secrets", text, &[]);
    assert!(!said.contains("hunter2"), "{said}");
    insta::assert_snapshot!("secrets", said);
}

#[test]
fn what_is_no_text_has_a_place_all_the_same() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mistakes/latin");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("fly.yml"), b"name: t\nmachines: {w\xe9b: {image: x}}\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fly")).arg("config").current_dir(&folder).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(65));
    insta::assert_snapshot!("not_utf8", said);
}

#[test]
fn the_file_can_come_from_the_standard_input() {
    use std::io::Write as _;
    use std::process::Stdio;
    let mut fly = Command::new(env!("CARGO_BIN_EXE_fly"))
        .args(["--file", "-", "config"])
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    fly.stdin.take().unwrap().write_all(b"name: t\nmachines: {a: {image: x}}\n").unwrap();
    let output = fly.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"name: t\n"), "{output:?}");
}

/// On `up`, everything that there is would go: worth a word before that.
#[test]
fn a_file_without_machines_is_worth_a_word() {
    for text in ["name: t\nmachines:\n", "name: t\n"] {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("mistakes/none");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("fly.yml"), text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_fly")).arg("config").current_dir(&folder).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), "warning: fly.yml describes no machine: `fly up` takes away all that there are of `t`\n")
        );
    }
}
