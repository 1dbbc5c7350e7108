//! What fly refuses, with which words and exit code, before anything is touched.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::sample::{SHOP, edited};
use crate::support::{Lab, Project, eventually};

/// `fly plan` and `fly up` end with `code` and say all of `parts`; engine and kernel are only asked.
#[track_caller]
fn refused(lab: &Lab, project: &Project<'_>, file: &str, code: i32, parts: &[&str]) {
    project.write("fly.yml", file);
    let before = lab.canonical();
    for args in [["plan"].as_slice(), &["up", "--yes"]] {
        let (proxy, kernel) = (lab.proxy(), lab.watch_kernel(&[]));
        let output = project.command().via(&proxy).args(args).run();
        output.expect_code(code);
        for part in parts {
            assert!(output.stderr.contains(part), "{part} in {output}");
        }
        assert_eq!(proxy.mutations(), Vec::<String>::new(), "{output}");
        assert_eq!(kernel.stop(), Vec::<String>::new(), "{output}");
    }
    lab.is_as_before(&before);
}

#[test]
fn what_the_host_does_not_have() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let file = |from: &str, to: &str| edited(SHOP, from, to);
    refused(&lab, &shop, &file("parent: eth1", "parent: eth7"), 65, &["`eth7`", "fly.yml:6:17", "^^^^", "`eth1`"]);
    let bridge = file(
        "back: {subnet: [10.10.0.0/24, \"fd00:10::/64\"], host_ip: 10.10.0.1}",
        "back: {subnet: [10.10.0.0/24, \"fd00:10::/64\"], bridge: br7}",
    );
    refused(&lab, &shop, &bridge, 65, &["`br7`", "fly.yml:7:", "^^^", "ip link add br7 type bridge"]);
    refused(&lab, &shop, &bridge.replace("br7", "eth1"), 65, &["`eth1` is not a bridge", "fly.yml:7:"]);
    refused(&lab, &shop, &file("cpus: 1.5", "cpus: 4000"), 65, &["4000 processors", "fly.yml:17:"]);
    refused(&lab, &shop, &file("cpus: 1.5", "cpuset: \"0,999\""), 65, &["999", "fly.yml:17:"]);
    let image = file("    cpus: 1.5\n", "    image: not/here:1\n    pull_policy: never\n");
    refused(&lab, &shop, &image, 65, &["`not/here:1`", "`never`", "fly.yml:17:"]);
    // The engine is too old, and so are its host's cgroups.
    let systemd = file("    cpus: 1.5\n", "    init: systemd\n");
    refused(&lab, &shop, &systemd, 65, &["systemd cannot be the first process of `web`", "this one is", "fly.yml:17:11"]);
    // The kernel takes no card that takes more than its parent.
    let mtu = file("parent: eth1, ", "parent: eth1, mtu: 9000, ");
    refused(&lab, &shop, &mtu, 65, &["`mtu` of 9000", "`eth1`", "1500", "fly.yml:6:28", "ip link set eth1 mtu 9000"]);
    let mtu = file("ip: 192.168.77.10}", "ip: 192.168.77.10, mtu: 1600}");
    refused(&lab, &shop, &mtu, 65, &["`mtu` of 1600", "fly.yml:12:52"]);
    // Everything at once, each with its place.
    let all = edited(&file("parent: eth1", "parent: eth7"), "cpus: 1.5", "cpus: 4000");
    refused(&lab, &shop, &all, 65, &["fly.yml:6:17", "fly.yml:17:"]);
}

#[test]
fn what_the_host_uses_otherwise() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    lab.docker(&["network", "create", "--subnet", "10.30.0.0/16", "wide"]);
    refused(&lab, &shop, SHOP, 65, &["10.30.0.0/24", "`wide`", "fly.yml:8:"]);
    lab.docker(&["network", "rm", "wide"]);
    // The kernel would refuse a card on a port of a bridge, half way through.
    lab.ip(&["link", "add", "br0", "type", "bridge"]);
    lab.ip(&["link", "set", "eth1", "master", "br0"]);
    refused(&lab, &shop, SHOP, 65, &["`eth1` is a port of bridge `br0`", "`bridge: br0` instead of `parent: eth1`", "fly.yml:6:17"]);
    lab.ip(&["link", "set", "eth1", "nomaster"]);
    lab.ip(&["link", "del", "br0"]);
    shop.write("fly.yml", SHOP);
    shop.fly(&["up", "--yes"]).success();
}

#[test]
fn faults_of_the_file_come_before_the_engine() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    for (from, to, parts) in [
        ("restart: unless", "restrat: unless", ["fly.yml:19:5", "`restart`"]),
        ("ip: 192.168.77.10}", "ip: 192.168.78.10}", ["fly.yml:12:32", "192.168.77.0/24"]),
        ("eth0: back", "eth0: bakc", ["fly.yml:21:18", "`back`"]),
        ("links: [\"db:database\"]", "links: [bd]", ["fly.yml:15:13", "`db`"]),
        ("eth1: back\n", "eth1: back\n      eth1234567890123: back\n", ["fly.yml:14:7", "15"]),
        ("volumes: {data: {}}", "volumes: {data: {}}\nmachines: {}", ["fly.yml:28:1", "machines"]),
    ] {
        let proxy = lab.proxy();
        shop.write("fly.yml", &edited(SHOP, from, to));
        for args in [["plan"].as_slice(), &["up", "--yes"], &["config"]] {
            let output = shop.command().via(&proxy).args(args).run();
            output.expect_code(65);
            assert!(parts.iter().all(|part| output.stderr.contains(part)) && output.stderr.contains('^'), "{parts:?}: {output}");
        }
        assert_eq!(proxy.requests(), Vec::<String>::new());
    }
    // What fly cannot read it can still take away.
    shop.write("fly.yml", SHOP);
    shop.fly(&["up", "--yes"]).success();
    shop.write("fly.yml", &edited(SHOP, "restart: unless", "restrat: unless"));
    shop.fly(&["down", "--volumes", "--yes"]).success();
    assert_eq!(lab.docker(&["ps", "--all", "--quiet"]), "");
}

#[test]
fn the_engine_cannot_be_reached() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    for args in [["plan"].as_slice(), &["up", "--yes"], &["down", "--yes"], &["ps"]] {
        let output = shop.command().env("DOCKER_HOST", "unix:///nonexistent.sock").args(args).run();
        output.expect_code(9);
        assert!(output.stderr.contains("/nonexistent.sock") && output.stderr.contains("hint:"), "{output}");
    }
}

/// The program where another user can run it.
fn as_user<'a>(lab: &'a Lab, shop: &Project<'a>) -> crate::support::FlyCommand {
    let run = lab.dir().join("run-of-user");
    std::fs::create_dir_all(&run).and_then(|()| std::fs::set_permissions(&run, PermissionsExt::from_mode(0o777))).expect("our own folder");
    let run = run.display().to_string();
    shop.command().by(&["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups"]).env("FLY_RUNTIME_DIR", &run).env("HOME", &run)
}

#[test]
fn a_right_is_missing() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    let before = lab.canonical();
    for args in [["plan"].as_slice(), &["up", "--yes"], &["ps"]] {
        let output = as_user(&lab, &shop).args(args).run();
        output.expect_code(9);
        assert!(output.stderr.contains("may not use the container engine") && output.stderr.contains("docker.sock"), "{output}");
    }
    // The engine's socket is open to this user, but the kernel is not; and the engine starts no helper for him.
    std::fs::set_permissions(lab.socket(), PermissionsExt::from_mode(0o666)).expect("our own socket");
    let proxy = lab.proxy();
    std::fs::set_permissions(proxy.socket(), PermissionsExt::from_mode(0o666)).expect("our own socket");
    proxy.refuse("POST /containers/create", 403);
    let output = as_user(&lab, &shop).via(&proxy).args(&["up", "--yes"]).run();
    output.expect_code(9);
    assert!(output.stderr.contains("a helper beside the engine cannot be started") && output.stderr.contains("hint:"), "{output}");
    lab.is_as_before(&before);
    // Root without a right has a helper, too.
    for right in ["net_admin", "sys_admin"] {
        let less = format!("-{right}");
        let by = ["setpriv", "--bounding-set", &less, "--inh-caps", &less];
        shop.command().by(&by).args(&["up", "--yes"]).run().success();
        shop.command().by(&by).args(&["down", "--yes", "--volumes"]).run().success();
        lab.is_as_before(&before);
    }
}

#[test]
fn one_run_at_a_time() {
    let lab = Lab::start();
    let file = "name: slow\nmachines:\n  job: {image: 'fly/busybox:test', command: [sleep, '4']}\n\
                \x20 web: {image: 'fly/busybox:test', depends_on: {job: {condition: completed}}}\n";
    let project = lab.project("slow", file);
    let first = project.command().args(&["up", "--yes"]).start();
    eventually("the job", Duration::from_secs(30), || {
        let names = lab.docker(&["ps", "--format", "{{.Names}}"]);
        if names.contains("slow.job") { Ok(()) } else { Err(names) }
    });
    let second = project.fly(&["up", "--yes"]);
    second.expect_code(5);
    assert!(second.stderr.contains("process ") || second.stderr.contains("pid"), "{second}");
    assert!(second.stderr.contains("--wait-lock"), "{second}");
    project.fly(&["down", "--yes"]).expect_code(5);
    // The same engine by another path.
    let other = lab.dir().join("other.sock");
    std::os::unix::fs::symlink(lab.socket(), &other).unwrap();
    let host = format!("unix://{}", other.display());
    project.command().env("DOCKER_HOST", &host).args(&["down", "--yes"]).run().expect_code(5);
    // Looking takes no lock, and another project has its own.
    project.fly(&["plan"]).success();
    lab.project("quick", "name: quick\nmachines: {web: {image: 'fly/busybox:test'}}\n").fly(&["up", "--yes"]).success();
    let third = project.command().args(&["up", "--yes", "--wait-lock"]).run();
    third.success();
    assert!(third.stderr.contains("waiting: "), "{third}");
    first.wait().success();
    // The lock goes with its holder, however that ends.
    let killed = project.command().args(&["down", "--yes"]).start();
    killed.kill();
    project.fly(&["up", "--yes"]).success();
}

#[test]
fn usage() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    for args in [["nonsense"].as_slice(), &["plan", "--bogus"], &["up", "--parallel", "0"], &["plan", "--format", "xml"], &[]] {
        let output = shop.fly(args);
        output.expect_code(64);
        assert!(output.stderr.contains("Usage: fly") || output.stderr.contains("error:"), "{output}");
    }
    let empty = lab.project("empty", SHOP);
    std::fs::remove_file(empty.dir().join("fly.yml")).expect("our own file");
    empty.fly(&["plan"]).expect_code(64);
    shop.fly(&["--file", "missing.yml", "plan"]).expect_code(64);
}

#[test]
fn a_plan_says_by_its_code_what_it_costs() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    shop.fly(&["plan", "--check"]).expect_code(2);
    shop.fly(&["up", "--yes"]).success();
    shop.fly(&["plan", "--check"]).success();
    for (from, to, code) in [
        ("cpus: 1.5", "cpus: 1", 2),
        ("eth0: back}\n    volumes", "eth0: back, eth1: lan}\n    volumes", 2),
        ("8080:80", "8081:80", 3),
        ("  spare:\n    nics: {eth0: lan, eth1: {network: back, ip: [10.10.0.50, \"fd00:10::50\"]}}\n", "", 3),
    ] {
        shop.write("fly.yml", &edited(SHOP, from, to));
        let output = shop.fly(&["plan", "--check"]);
        output.expect_code(code);
        assert!(output.stdout.contains("fly.yml:") || code == 3, "{output}");
    }
}

#[test]
fn it_asks_before_something_is_lost() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    // Nothing to lose: not asked.
    shop.fly(&["up"]).success();
    let id = |name: &str| lab.inspect(name)["Id"].clone();
    let web = id("shop.web");
    shop.write("fly.yml", &edited(SHOP, "8080:80", "8081:80"));
    let refused = shop.fly(&["up"]);
    refused.expect_code(1);
    assert!(refused.stderr.contains("replaces 1 machine") && refused.stderr.contains("--yes"), "{refused}");
    for typed in ["n\n", "\n", "perhaps\n"] {
        let output = shop.command().args(&["up"]).on_terminal(typed).run();
        output.expect_code(1);
        assert!(output.stdout.contains("Go ahead? [y/N]") && output.stdout.contains("nothing was changed"), "{output}");
        assert_eq!(id("shop.web"), web);
    }
    let output = shop.command().args(&["up"]).on_terminal("y\n").run();
    output.success();
    assert_ne!(id("shop.web"), web);
    // Data is asked about also by `down`.
    let refused = shop.fly(&["down", "--volumes"]);
    refused.expect_code(1);
    assert!(refused.stderr.contains("deletes 1 volume with all data"), "{refused}");
    assert!(shop.command().args(&["down", "--volumes"]).on_terminal("n\n").run().stdout.contains("nothing was changed"));
    lab.docker(&["volume", "inspect", "shop.data"]);
    shop.command().args(&["down", "--volumes"]).on_terminal("yes\n").run().success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]), "");
}
