//! From a file to machines and back: up, up again, down, and a host that is as before.

use crate::sample::{self, SHOP, changes};
use crate::support::Lab;

const MACHINES: [&str; 3] = ["shop.web", "shop.db", "shop.spare"];

#[test]
fn up_makes_what_the_file_says() {
    let lab = Lab::start();
    let _shop = sample::running(&lab);

    // The kernel's view of each machine.
    let web = lab.in_machine("shop.web", &["ip", "-d", "addr"]);
    for part in ["192.168.77.10/24", "10.30.0.", "10.99.0.1/30", "macvlan mode bridge", "fd00:10::"] {
        assert!(web.contains(part), "{part} in {web}");
    }
    assert!(lab.in_machine("shop.spare", &["ip", "addr", "show", "eth1"]).contains("10.10.0.50/24"));
    assert!(lab.in_machine("shop.spare", &["ip", "addr", "show", "eth1"]).contains("fd00:10::50/64"));
    assert!(lab.in_machine("shop.web", &["ip", "route"]).contains("default via 10.30.0.1 dev eth2"));

    // The way from everywhere to everywhere.
    lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.10"]);
    lab.in_machine("shop.web", &["ping", "-c1", "-W2", "192.168.77.2"]);
    lab.in_machine("shop.web", &["ping", "-c1", "-W2", "10.99.0.2"]);
    lab.in_machine("shop.web", &["ping", "-c1", "-W2", "10.10.0.50"]);
    lab.in_machine("shop.web", &["ping", "-c1", "-W2", "fd00:10::50"]);
    lab.machine().ok(&["ping", "-c1", "-W2", "192.168.77.10"]);
    lab.machine().ok(&["ping", "-c1", "-W2", "10.10.0.50"]);

    // The engine's view.
    let web = lab.inspect("shop.web");
    assert_eq!(web["HostConfig"]["NanoCpus"], 1_500_000_000_u64);
    assert_eq!(web["HostConfig"]["Memory"], 64 << 20);
    assert_eq!(web["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(web["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"], "8080");
    assert_eq!(web["Config"]["Hostname"], "web");
    let mounts = lab.inspect("shop.db")["Mounts"].take();
    assert!(mounts.as_array().unwrap().iter().any(|mount| mount["Name"] == "shop.data"), "{mounts}");
}

#[test]
fn a_second_up_touches_nothing() {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    shop.fly(&["plan", "--check"]).success();

    let (proxy, kernel) = (lab.proxy(), lab.watch_kernel(&MACHINES));
    let before = lab.canonical();
    let output = shop.command().via(&proxy).args(&["up", "--yes"]).run();
    output.success();
    assert_eq!(proxy.mutations(), Vec::<String>::new(), "{output}");
    assert_eq!(kernel.stop(), Vec::<String>::new(), "{output}");
    lab.is_as_before(&before);
    assert!(output.stdout.contains("nothing to do") || output.stderr.contains("nothing to do"), "{output}");
}

#[test]
fn plan_only_asks() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let (proxy, kernel) = (lab.proxy(), lab.watch_kernel(&[]));
    let before = lab.canonical();
    shop.command().via(&proxy).args(&["plan"]).run().success();
    shop.command().via(&proxy).args(&["plan", "--check"]).run().expect_code(2);
    assert_eq!(proxy.mutations(), Vec::<String>::new());
    assert_eq!(kernel.stop(), Vec::<String>::new());
    lab.is_as_before(&before);
}

#[test]
fn down_leaves_the_host_as_it_was() {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = sample::running(&lab);
    assert_ne!(lab.canonical(), before);
    shop.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
    // And again: nothing to take away.
    shop.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn down_keeps_the_data() {
    let lab = Lab::start();
    let shop = sample::running(&lab);
    lab.docker(&["exec", "shop.db", "sh", "-c", "echo precious > /var/lib/data/file"]);
    shop.fly(&["down", "--yes"]).success();
    assert_eq!(lab.docker(&["ps", "--all", "--quiet"]), "");
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]), "shop.data\n");
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(lab.docker(&["exec", "shop.db", "cat", "/var/lib/data/file"]), "precious\n");
    assert_eq!(changes(&shop), vec![]);
}

#[test]
fn an_image_that_says_much_shows_no_difference() {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = lab.project(
        "shop",
        "name: shop\nmachines:\n  web: {image: 'fly/defaults:test', environment: {MODE: file}, labels: {tier: front}}\n  plain: {image: 'fly/defaults:test'}\n",
    );
    shop.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&shop), vec![]);
    let env = lab.inspect("shop.web")["Config"]["Env"].to_string();
    assert!(env.contains("MODE=file") && env.contains("FROM_IMAGE=yes"), "{env}");
    // The anonymous volume of the image goes with its machine.
    shop.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}
