//! A first process over the lives of its machine: what it waits for and how long, and how the engine brings it back.

use std::time::Duration;

use crate::ssh_client::{Client, make_keys};
use crate::support::{Lab, eventually};

const LIMIT: Duration = Duration::from_secs(60);

const FILE: &str = "
name: vm
networks: {back: {subnet: [10.20.0.0/24, 'fd00:20::/64'], host_ip: [10.20.0.1, 'fd00:20::1']}}
machines:
  web:
    image: fly/busybox:test
    sshd: true
    restart: always
    command: [sh, -c, 'echo $$$$ > /program; exec sleep 100000']
    nics: {eth0: {network: back, ip: [10.20.0.5, 'fd00:20::5']}, eth1: {network: back, ip: [10.20.0.6]}}
";

fn log(lab: &Lab) -> String {
    lab.try_docker(&["logs", "vm.web"]).stderr
}

/// How often the engine has started it again; nothing while it is about to.
fn lives(lab: &Lab) -> Option<u64> {
    let inspect = lab.inspect("vm.web");
    inspect["RestartCount"].as_u64().filter(|_| inspect["State"]["Running"] == true && inspect["State"]["Restarting"] == false)
}

/// By each of its addresses, of both families and on both cards, with the keys that whoever runs fly has at home: nobody has named them.
#[test]
fn every_address_leads_in_with_ones_own_keys() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    make_keys(&project, &lab, &["id", "second"]);
    let home = project.dir().join("home");
    std::fs::create_dir_all(home.join(".ssh")).unwrap();
    std::fs::copy(project.dir().join("id.pub"), home.join(".ssh/id_ed25519.pub")).unwrap();
    std::fs::write(home.join(".ssh/id_rsa.pub"), "").unwrap();
    project.command().env("HOME", &home.display().to_string()).args(&["up", "--yes"]).run().success();
    for address in ["10.20.0.5", "fd00:20::5", "10.20.0.6"] {
        let client = Client::new(&lab, &project, address);
        assert_eq!(client.ssh("id -u").success().stdout, "0\n", "{address}");
        client.host_key_is_what_fly_says(&project, "web");
        Client { key: "second", ..client }.ssh("true").expect_code(255);
    }
}

#[test]
fn the_engine_brings_it_back_and_its_patience_ends() {
    let lab = Lab::start();
    let project = lab.project("vm", FILE);
    project.fly(&["up", "--yes"]).success();
    let key = project.fly(&["ssh", "--host-key", "web"]).success().stdout.clone();
    let pid = || lab.docker(&["exec", "vm.web", "sh", "-c", "cat /program 2>/dev/null || true"]);
    eventually("the program", LIMIT, || if pid().is_empty() { Err(log(&lab)) } else { Ok(()) });
    // The program ends, and so does the machine: the restart is the engine's.
    let end = |lab: &Lab| lab.docker(&["exec", "vm.web", "sh", "-c", "kill -9 $(cat /program); rm /program"]);
    end(&lab);
    eventually("a new life", LIMIT, || if lives(&lab) == Some(1) { Ok(()) } else { Err(log(&lab)) });
    // Its cards went with the old life. Until they are back its program waits, and one can look at it all the same.
    assert_eq!(project.fly(&["ssh", "web", "cat /program 2>/dev/null; ip -o link | grep -c eth; true"]).success().stdout, "0\n");
    project.fly(&["up", "--yes"]).success();
    eventually("the program", LIMIT, || if pid().is_empty() { Err(log(&lab)) } else { Ok(()) });
    assert!(!log(&lab).contains("starts all the same"), "{}", log(&lab));

    // Half a minute is too long for a test: it is told another time, as fly would tell it.
    let config = lab.docker(&["exec", "vm.web", "cat", "/.fly/machine/config.json"]);
    let told = config.replace("\"patience\":30000000000", "\"patience\":1000000000");
    assert_ne!(told, config);
    lab.docker(&["exec", "vm.web", "sh", "-c", &format!("echo '{told}' > /.fly/machine/config.json")]);
    end(&lab);
    eventually(
        "the program without its cards",
        LIMIT,
        || if lives(&lab) == Some(2) && !pid().is_empty() { Ok(()) } else { Err(log(&lab)) },
    );
    let log = log(&lab);
    assert!(log.contains("after 1 s the program starts all the same, although there is no eth0, there is no eth1"), "{log}");
    let plan = project.fly(&["plan"]);
    assert!(plan.success().stdout.contains("nic/web:eth0"), "{plan}");
    project.fly(&["up", "--yes"]).success();
    project.fly(&["plan", "--check"]).success();
    assert_eq!(project.fly(&["ssh", "--host-key", "web"]).success().stdout, key);
}
