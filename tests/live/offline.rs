//! Plans without the machines, of machines that there are.

use crate::support::Lab;

const FILE: &str = "\
name: shop
networks: {back: {subnet: 10.99.0.0/24}, out: {kind: nat}}
machines:
  web:
    image: fly/busybox:test
    sshd: true
    command: [/bin/sh, -c, 'echo ${WORD} >/word; exec sleep 9999']
    environment: {PASSWORD: '${PASSWORD}', MODE: dev}
    labels: {note: 'x-${WORD}'}
    memory: 64M
    nics: {eth0: {network: back, ip: 10.99.0.5}, eth1: out}
    volumes: ['data:/data']
  db: {image: fly/busybox:test, nics: {eth0: back}, depends_on: [web]}
links: [[web:eth7, db:eth7]]
volumes: {data: {}}
";

#[test]
fn a_recorded_world_gives_the_plan_that_the_live_one_gives() {
    let lab = Lab::start();
    let project = lab.project("shop", FILE);
    project.write(".env", "PASSWORD=canary-7f3a\nWORD=canary-0b1c\n");
    project.fly(&["up", "--yes"]).success();
    let plans = |what: &str| {
        let record = project.dir().join("world.json").display().to_string();
        project.fly(&["snapshot", "-o", &record]).success();
        let text = std::fs::read_to_string(&record).unwrap();
        assert!(!text.contains("canary"), "{what}: {text}");
        assert!(!project.fly(&["snapshot"]).success().stdout.contains("canary"), "{what}");
        let (live, recorded) = (project.fly(&["plan"]), project.fly(&["plan", "--world", &record]));
        assert_eq!(recorded.success().stdout, live.success().stdout, "{what}");
        live.stdout.clone()
    };
    assert!(plans("after up").contains("nothing to do"));
    lab.docker(&["update", "--memory", "128m", "--memory-swap", "128m", "shop.web"]);
    lab.docker(&["stop", "-t", "0", "shop.db"]);
    assert!(plans("drift").contains("128 MiB -> 64 MiB"));
    project.write("fly.yml", &FILE.replace("10.99.0.5", "10.99.0.6").replace("MODE: dev", "MODE: live").replace("  db: {", "  more: {"));
    // What the environment was before, a record does not say; all the rest is as it is.
    let record = project.dir().join("world.json").display().to_string();
    project.fly(&["snapshot", "-o", &record]).success();
    let recorded = project.fly(&["plan", "--world", &record]);
    let live = project.fly(&["plan"]).success().stdout.replace("environment.MODE: dev ->", "environment.MODE: (not in the record) ->");
    let lines = |text: &str| text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>();
    assert_eq!(lines(&recorded.success().stdout), lines(&live));
    assert!(live.contains("environment.MODE"), "{live}");
}
