//! Who waits for whom, and until when: going up, coming down, and in a namespace that is shared.

use std::time::Duration;

use jiff::Timestamp;

use crate::sample::{change, changes, edited};
use crate::support::{Lab, Project, eventually};

const CHAIN: &str = r#"
name: order
defaults: {image: "fly/busybox:test"}
networks: {back: {subnet: 10.10.0.0/24}}
machines:
  last:
    depends_on: {warm: {condition: healthy}, job: {condition: completed}, plain: {condition: started}}
    volumes: ["out:/out:ro"]
    nics: {eth0: back}
  warm:
    command: [sh, -c, "sleep 1; touch /tmp/warm; exec /bin/stay"]
    healthcheck: {test: "test -e /tmp/warm", interval: 200ms, retries: 50}
    nics: {eth0: back}
  job:
    command: [sh, -c, "ip addr show eth0 > /out/seen; sleep 1; echo done > /out/file"]
    volumes: ["out:/out"]
    depends_on: [plain]
    nics: {eth0: back}
  plain: {nics: {eth0: back}}
volumes: {out: {}}
"#;

fn time(lab: &Lab, container: &str, field: &str) -> Timestamp {
    let state = lab.inspect(container)["State"].take();
    let text = state[field].as_str().unwrap_or_default();
    text.parse().unwrap_or_else(|error| panic!("{container}: {field}: {error}: {state}"))
}

#[test]
fn machines_start_when_what_they_need_is_there() {
    let lab = Lab::start();
    let project = lab.project("order", CHAIN);
    project.fly(&["up", "--yes"]).success();
    let started = |name: &str| time(&lab, name, "StartedAt");
    assert!(started("order.plain") <= started("order.job"));
    assert!(time(&lab, "order.job", "FinishedAt") <= started("order.last"));
    assert_eq!(lab.inspect("order.job")["State"]["ExitCode"], 0);
    let health = lab.inspect("order.warm")["State"]["Health"].take();
    let probe = health["Log"].as_array().into_iter().flatten().find(|probe| probe["ExitCode"] == 0).cloned();
    let healthy: Timestamp = probe.as_ref().and_then(|it| it["End"].as_str()?.parse().ok()).unwrap_or_else(|| panic!("{health}"));
    assert!(healthy <= started("order.last"), "{healthy} {health}");

    // The job has done its work: it is neither wrong that it ended, nor is it done again.
    let job = (started("order.job"), time(&lab, "order.job", "FinishedAt"));
    project.fly(&["plan", "--check"]).success();
    project.fly(&["up", "--yes"]).success();
    assert_eq!((started("order.job"), time(&lab, "order.job", "FinishedAt")), job);
    // Others change around it.
    project.write("fly.yml", &edited(CHAIN, "plain: {nics: {eth0: back}}", "plain: {nics: {eth0: back}, cpus: 0.5}"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!((started("order.job"), time(&lab, "order.job", "FinishedAt")), job);
    // A job that is to do something else is done again.
    project.write("fly.yml", &edited(CHAIN, "echo done", "echo twice"));
    project.fly(&["up", "--yes"]).success();
    assert!(started("order.job") > job.0);
    // Who was there before does not wait for it again.
    eventually("the end of the job", Duration::from_secs(10), || {
        let text = lab.docker(&["exec", "order.last", "cat", "/out/file"]);
        if text == "twice\n" { Ok(()) } else { Err(text) }
    });
    assert_eq!(changes(&project), vec![]);
}

/// Compose's own words for the same, and one that may be missing.
#[test]
fn composes_conditions_mean_the_same() {
    let lab = Lab::start();
    let words = [
        ("{condition: healthy}", "{condition: service_healthy}"),
        ("{condition: completed}", "{condition: service_completed_successfully}"),
        ("{condition: started}", "{condition: service_started}, elsewhere: {condition: service_healthy, required: false}"),
    ];
    let file = words.iter().fold(CHAIN.to_owned(), |file, (ours, theirs)| edited(&file, ours, theirs));
    let project = lab.project("order", &file);
    project.fly(&["up", "--yes"]).success();
    let started = |name: &str| time(&lab, name, "StartedAt");
    assert!(started("order.plain") <= started("order.last"));
    assert!(time(&lab, "order.job", "FinishedAt") <= started("order.last"));
    let log = lab.inspect("order.warm")["State"]["Health"]["Log"].take();
    let healthy = log.as_array().into_iter().flatten().find(|probe| probe["ExitCode"] == 0);
    let healthy: Timestamp = healthy.and_then(|it| it["End"].as_str()?.parse().ok()).unwrap_or_else(|| panic!("{log}"));
    assert!(healthy <= started("order.last"), "{log}");
    assert_eq!(changes(&project), vec![]);
    // It is another word, not another machine.
    project.write("fly.yml", CHAIN);
    assert_eq!(changes(&project), vec![]);
    // One that has to be there is an error.
    project.write("fly.yml", &edited(&file, ", required: false", ""));
    let refused = project.fly(&["plan"]);
    refused.expect_code(65);
    assert!(refused.stderr.contains("elsewhere"), "{refused}");
}

#[test]
fn a_job_that_fails_holds_up_only_who_needs_it() {
    let lab = Lab::start();
    let file = edited(CHAIN, "echo done > /out/file", "echo no such table >&2; exit 7");
    let project = lab.project("order", &file);
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(6);
    assert!(up.stderr.contains("order.job") && up.stderr.contains("code 7") && up.stderr.contains("no such table"), "{up}");
    assert!(up.stderr.contains("not begun for it: start container order.last"), "{up}");
    lab.pid_and_start("order.plain");
    lab.pid_and_start("order.warm");
    assert_ne!(lab.inspect("order.last")["State"]["Running"], true);
    // It is tried again, and when it works everything is there.
    project.write("fly.yml", CHAIN);
    project.fly(&["up", "--yes"]).success();
    lab.pid_and_start("order.last");
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn an_unhealthy_machine_holds_up_only_who_needs_it() {
    let lab = Lab::start();
    let project = lab.project(
        "order",
        "name: order\ndefaults: {image: 'fly/busybox:test'}\nmachines:\n\
         \x20 sick: {healthcheck: {test: 'test -e /tmp/well || { echo no route to the world; exit 1; }', interval: 100ms, retries: 2}}\n\
         \x20 needs: {depends_on: {sick: {condition: healthy}}}\n\
         \x20 free: {}\n",
    );
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(6);
    assert!(up.stderr.contains("order.sick: it is unhealthy") || up.stderr.contains("unhealthy: no route to the world"), "{up}");
    assert!(up.stderr.contains("machine/needs") && up.stderr.contains("start container order.needs"), "{up}");
    lab.pid_and_start("order.free");
    // Somebody puts it right.
    lab.docker(&["exec", "order.sick", "touch", "/tmp/well"]);
    eventually("health", Duration::from_secs(20), || {
        let health = lab.inspect("order.sick")["State"]["Health"]["Status"].take();
        if health == "healthy" { Ok(()) } else { Err(health.to_string()) }
    });
    let sick = lab.pid_and_start("order.sick");
    project.fly(&["up", "--yes"]).success();
    lab.pid_and_start("order.needs");
    assert_eq!(lab.pid_and_start("order.sick"), sick);
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn who_needs_another_stops_first() {
    let lab = Lab::start();
    let slow = |needs: &str| format!("{{command: [sh, -c, \"trap 'sleep 1; exit 0' TERM; sleep 1000 & wait\"], depends_on: [{needs}]}}");
    let file = format!(
        "name: order\ndefaults: {{image: 'fly/busybox:test'}}\nmachines:\n  web: {}\n  app: {}\n  db: {}\n",
        slow("app"),
        slow("db"),
        slow("")
    );
    let project = lab.project("order", &file);
    project.fly(&["up", "--yes"]).success();
    let since = lab.docker(&["info", "--format", "{{.SystemTime}}"]).trim().to_owned();
    project.fly(&["down", "--yes"]).success();
    let until = lab.docker(&["info", "--format", "{{.SystemTime}}"]).trim().to_owned();
    let format = "{{.Action}} {{.Actor.Attributes.name}}";
    let events = lab.docker(&["events", "--since", &since, "--until", &until, "--filter", "label=fly.machine", "--format", format]);
    let mut events: Vec<&str> = events.lines().filter(|line| line.starts_with("kill ") || line.starts_with("die ")).collect();
    // A shell that has not come to its `trap` yet is asked once more.
    events.dedup();
    // Nobody is asked to end before who needs it has ended.
    assert_eq!(events, ["kill order.web", "die order.web", "kill order.app", "die order.app", "kill order.db", "die order.db"]);
}

const SHARED: &str = r#"
name: pod
defaults: {image: "fly/busybox:test"}
networks:
  back: {subnet: 10.10.0.0/24}
  out: {kind: nat, subnet: 10.30.0.0/24}
  lan: {parent: eth1, subnet: 192.168.77.0/24, pool: 192.168.77.100-192.168.77.109}
machines:
  owner: {nics: {eth0: back, eth1: out, eth2: lan}, labels: {version: "1"}}
  member: {network_mode: "machine:owner"}
  peer: {nics: {eth0: {network: back, ip: 10.10.0.9}}}
"#;

fn share_one_namespace(lab: &Lab, project: &Project<'_>) {
    assert_eq!(changes(project), vec![]);
    let netns = |name: &str| lab.machine().ok(&["readlink", &format!("/proc/{}/ns/net", lab.pid_and_start(name).0)]);
    assert_eq!(netns("pod.member"), netns("pod.owner"));
    lab.docker(&["exec", "pod.member", "ping", "-c1", "-W2", "10.10.0.9"]);
    lab.docker(&["exec", "pod.peer", "ping", "-c1", "-W2", "member"]);
    let links = lab.docker(&["exec", "pod.member", "ls", "/sys/class/net"]);
    assert_eq!(links, "eth0\neth1\neth2\nlo\n");
}

#[test]
fn a_shared_namespace_survives_restarts_and_replacements() {
    let lab = Lab::start();
    let before = lab.canonical();
    let project = lab.project("pod", SHARED);
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);
    let peer = lab.pid_and_start("pod.peer");

    // By hand: the owner gets a new namespace, the member keeps a dead one.
    lab.docker(&["restart", "pod.owner"]);
    let found = changes(&project);
    assert!(found.contains(&change("machine/member", "restart", &[])), "{found:?}");
    project.fly(&["plan", "--check"]).expect_code(3);
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);

    // A restart of the member alone costs nobody anything.
    lab.docker(&["restart", "pod.member"]);
    let owner = lab.pid_and_start("pod.owner");
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);
    assert_eq!(lab.pid_and_start("pod.owner"), owner);

    // By fly: the owner is made anew.
    project.write("fly.yml", &edited(SHARED, "version: \"1\"", "version: \"2\""));
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);

    // Stopped, and killed.
    lab.docker(&["stop", "pod.owner"]);
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);
    lab.docker(&["kill", "pod.owner", "pod.member"]);
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);
    lab.docker(&["rm", "--force", "pod.owner"]);
    project.fly(&["up", "--yes"]).success();
    share_one_namespace(&lab, &project);

    assert_eq!(lab.pid_and_start("pod.peer"), peer);
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn who_lives_in_the_namespace_of_a_strangers_container_follows_it() {
    let lab = Lab::start();
    lab.docker(&["run", "--detach", "--name", "vpn", "--network", "none", "fly/busybox:test"]);
    let file = |lender: &str| format!("name: pod\nmachines:\n  app: {{image: 'fly/busybox:test', network_mode: 'container:{lender}'}}\n");
    let project = lab.project("pod", &file("vpn"));
    project.fly(&["up", "--yes"]).success();
    let netns = |name: &str| lab.machine().ok(&["readlink", &format!("/proc/{}/ns/net", lab.pid_and_start(name).0)]);
    assert_eq!(changes(&project), vec![]);
    lab.docker(&["restart", "vpn"]);
    assert_ne!(netns("pod.app"), netns("vpn"));
    let plan = project.fly(&["plan", "--check"]);
    plan.expect_code(3);
    assert!(plan.stdout.contains("it lives in a namespace that container vpn has left"), "{plan}");
    project.fly(&["up", "--yes"]).success();
    assert_eq!(netns("pod.app"), netns("vpn"));
    assert_eq!(changes(&project), vec![]);
    // Made again: another container.
    lab.docker(&["rm", "--force", "vpn"]);
    lab.docker(&["run", "--detach", "--name", "vpn", "--network", "none", "fly/busybox:test"]);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(netns("pod.app"), netns("vpn"));
    // By its id it is the same one.
    let id = lab.inspect("vpn")["Id"].as_str().unwrap().to_owned();
    for id in [&id, &id[..12]] {
        project.write("fly.yml", &file(id));
        assert_eq!(changes(&project), vec![]);
    }
    // A machine of the file is named as one.
    project.write("fly.yml", &(file("pod.other") + "  other: {image: 'fly/busybox:test'}\n"));
    let refused = project.fly(&["plan"]);
    refused.expect_code(65);
    assert!(refused.stderr.contains("network_mode: machine:other"), "{refused}");
}
