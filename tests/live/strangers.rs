//! What is not ours: a name that somebody else holds is said and left alone, marks that somebody copied prove nothing, and another
//! project beside notices nothing.

use crate::sample::{SHOP, changes, edited};
use crate::support::{Lab, Project};

/// `up` and `down` with something of a stranger's in the way: refused with 7, naming it, with nothing touched.
fn refused(lab: &Lab, project: &Project<'_>, named: &str) {
    let before = lab.canonical();
    for args in [["plan"].as_slice(), &["up", "--yes"]] {
        let (proxy, kernel) = (lab.proxy(), lab.watch_kernel(&[]));
        let output = project.command().via(&proxy).args(args).run();
        output.expect_code(7);
        assert!(output.stderr.contains(&format!("`{named}` is taken")) && output.stderr.contains("fly.yml:"), "{output}");
        assert_eq!(proxy.mutations(), Vec::<String>::new(), "{output}");
        assert_eq!(kernel.stop(), Vec::<String>::new(), "{output}");
    }
    lab.is_as_before(&before);
    // Nothing of the project is there: nothing is taken away.
    project.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn a_container_has_the_name() {
    let lab = Lab::start();
    lab.docker(&["run", "--detach", "--name", "shop.web", "--network", "none", "fly/busybox:test"]);
    refused(&lab, &lab.project("shop", SHOP), "shop.web");
}

#[test]
fn a_docker_network_has_the_name() {
    let lab = Lab::start();
    lab.docker(&["network", "create", "--subnet", "10.77.0.0/24", "shop.out"]);
    refused(&lab, &lab.project("shop", SHOP), "shop.out");
}

#[test]
fn a_volume_has_the_name() {
    let lab = Lab::start();
    lab.docker(&["volume", "create", "shop.data"]);
    refused(&lab, &lab.project("shop", SHOP), "shop.data");
}

/// The links that a project makes on the host, by letting it do so once.
fn host_links(lab: &Lab, project: &Project<'_>) -> Vec<String> {
    let names = || -> Vec<String> {
        let text = lab.ip(&["-o", "link"]);
        let name = |line: &str| line.split(": ").nth(1).map(|it| it.split('@').next().unwrap_or(it).to_owned());
        text.lines().filter_map(name).collect()
    };
    let before = names();
    project.fly(&["up", "--yes"]).success();
    let links = names().into_iter().filter(|name| !before.contains(name)).collect();
    project.fly(&["down", "--volumes", "--yes"]).success();
    links
}

#[test]
fn a_link_has_the_name() {
    let lab = Lab::start();
    let project = lab.project("shop", SHOP);
    let links = host_links(&lab, &project);
    // Two bridges (one of them the engine's), a shim, and the host's ends of five cards: all but the engine's own veth.
    let ours: Vec<&String> = links.iter().filter(|name| !name.starts_with("veth")).collect();
    assert!(ours.len() >= 6, "{links:?}");
    for name in ours {
        lab.ip(&["link", "add", name, "type", "bridge"]);
        refused(&lab, &project, name);
        lab.ip(&["link", "del", name]);
    }
    project.fly(&["up", "--yes"]).success();
}

#[test]
fn marks_of_an_image_prove_nothing() {
    let lab = Lab::start();
    let labels = ["LABEL fly.project=shop", "LABEL fly.machine=web", "LABEL fly.resource=web", "CMD [\"/bin/stay\"]"];
    lab.image("evil:1", &labels);
    lab.docker(&["run", "--detach", "--name", "shop.web", "--network", "none", "evil:1"]);
    lab.docker(&["run", "--detach", "--name", "shop.old", "--network", "none", "evil:1"]);
    let project = lab.project("shop", SHOP);
    refused(&lab, &project, "shop.web");
    lab.docker(&["rm", "--force", "shop.web"]);
    // What fly makes of that very image could not be told from that: it says so at once.
    project.write("fly.yml", &edited(SHOP, "  web:\n    nics:", "  web:\n    image: evil:1\n    nics:"));
    let before = lab.canonical();
    let refused = project.fly(&["up", "--yes"]);
    refused.expect_code(65);
    assert!(refused.stderr.contains("`evil:1` bears the labels") && refused.stderr.contains("fly.yml:11:"), "{refused}");
    lab.is_as_before(&before);
    // Under another machine's name they are no more than labels.
    project.write("fly.yml", &edited(SHOP, "  db:\n    nics:", "  db:\n    image: evil:1\n    nics:"));
    let stranger = lab.pid_and_start("shop.old");
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    project.fly(&["down", "--volumes", "--yes"]).success();
    assert_eq!(lab.pid_and_start("shop.old"), stranger);
    assert_eq!(lab.docker(&["ps", "--all", "--format", "{{.Names}}"]), "shop.old\n");
}

#[test]
fn marks_under_another_name_prove_nothing() {
    let lab = Lab::start();
    let marks = ["--label", "fly.project=shop", "--label", "fly.machine=web", "--label", "fly.resource=out"];
    let with = |first: &[&str], last: &[&str]| lab.docker(&[first, &marks, last].concat());
    with(&["run", "--detach", "--name", "mine", "--network", "none"], &["fly/busybox:test"]);
    with(&["network", "create", "--subnet", "10.77.0.0/24"], &["mine"]);
    with(&["volume", "create"], &["mine"]);
    // Links with our group, our alias and our MAC prefix, under names of their own.
    lab.ip(&["link", "add", "mine0", "type", "bridge"]);
    let project = lab.project("shop", SHOP);
    project.fly(&["up", "--yes"]).success();
    let ours = lab.ip(&["-d", "-o", "link", "show", "type", "bridge"]);
    let group = ours.split(" group ").skip(1).filter_map(|rest| rest.split(' ').next()).find(|group| *group != "default");
    let group = group.unwrap_or_else(|| panic!("fly's links have a group: {ours}"));
    project.fly(&["down", "--volumes", "--yes"]).success();
    lab.ip(&["link", "set", "mine0", "group", group, "alias", "fly:shop/back", "address", "02:f1:79:00:00:01"]);
    let (before, stranger) = (lab.canonical(), lab.pid_and_start("mine"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    project.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
    assert_eq!(lab.pid_and_start("mine"), stranger);
}

#[test]
fn another_project_beside_notices_nothing() {
    let lab = Lab::start();
    // On the same parent and subnet, with machines, volumes and networks of the same names.
    let other = edited(SHOP, "name: shop", "name: other");
    let other = edited(&other, "192.168.77.100-192.168.77.199, host_ip: 192.168.77.99", "192.168.77.200-192.168.77.249");
    let other = edited(&other, "192.168.77.10}", "192.168.77.210}");
    let other =
        edited(&other, "[10.10.0.0/24, \"fd00:10::/64\"], host_ip: 10.10.0.1", "[10.11.0.0/24, \"fd00:11::/64\"], host_ip: 10.11.0.1");
    let other = edited(&other, "[10.10.0.50, \"fd00:10::50\"]", "[10.11.0.50, \"fd00:11::50\"]");
    let other = edited(&other, "10.30.0.0/24", "10.31.0.0/24");
    let other = edited(&other, "8080:80", "8081:80");
    let other = lab.project("other", &other);
    other.fly(&["up", "--yes"]).success();
    let machines = ["other.web", "other.db", "other.spare"];
    let pids = machines.map(|name| lab.pid_and_start(name));
    // The kernel gives a card its own address once its other end is there, and checks it for a while.
    std::thread::sleep(std::time::Duration::from_secs(2));
    drop(lab.watch_kernel(&[]).stop());
    let before = lab.canonical();

    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    lab.docker(&["exec", "shop.web", "ping", "-c1", "-W2", "192.168.77.210"]);
    assert_eq!((changes(&shop), changes(&other)), (vec![], vec![]));
    shop.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
    assert_eq!(machines.map(|name| lab.pid_and_start(name)), pids);
    assert_eq!(changes(&other), vec![]);
    lab.neighbour(&["ping", "-c1", "-W2", "192.168.77.210"]);
}

/// Its labels still say which machine it is: nothing is made beside it, and nothing of it is left behind.
#[test]
fn a_machine_that_somebody_has_renamed() {
    let lab = Lab::start();
    let before = lab.canonical();
    let shop = lab.project("shop", SHOP);
    shop.fly(&["up", "--yes"]).success();
    lab.docker(&["rename", "shop.web", "foo"]);
    let renamed = lab.canonical();
    for args in [["plan"].as_slice(), &["up", "--yes"], &["down", "--yes"]] {
        let output = shop.fly(args);
        output.expect_code(7);
        assert!(output.stderr.contains("`foo`") && output.stderr.contains("docker rename foo shop.web"), "{output}");
    }
    lab.is_as_before(&renamed);
    lab.docker(&["rename", "foo", "shop.web"]);
    assert_eq!(changes(&shop), vec![]);
    shop.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
}
