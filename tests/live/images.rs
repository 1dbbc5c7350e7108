//! Images: pulled from a real registry when they are missing, when the file says so, and with the user's own login.

use std::fs;

use crate::sample::{change, changes};
use crate::support::{LOGIN, Lab, Registry};

fn file(image: &str, more: &str) -> String {
    format!("name: pulled\nmachines:\n  web:\n    image: {image}\n{more}")
}

/// As `docker pull` would have it: the image's id by its reference.
fn id(lab: &Lab, image: &str) -> String {
    lab.docker(&["image", "inspect", "--format", "{{.Id}}", image]).trim().to_owned()
}

#[test]
fn a_missing_image_is_pulled() {
    let lab = Lab::start();
    let registry = Registry::start(&lab, 5000, false);
    lab.image("big:1", &["CMD [\"/bin/stay\"]"]);
    registry.push("big:1", "team/web:1");
    lab.docker(&["rmi", "big:1"]);
    let image = registry.name("team/web:1");
    let project = lab.project("pulled", &file(&image, ""));
    let plan = project.fly(&["plan"]);
    assert!(plan.success().stdout.contains(&format!("image/{image}")), "{plan}");
    let up = project.fly(&["up", "--yes"]);
    up.success();
    assert!(up.stderr.contains(&format!("pull image {image}")) || up.stderr.contains(&format!("pull {image}")), "{up}");
    assert_eq!(lab.inspect("pulled.web")["Config"]["Image"], image.as_str());
    project.fly(&["plan", "--check"]).success();
    // A second machine from it, and the image is there.
    let proxy = lab.proxy();
    project.write("fly.yml", &(file(&image, "") + &format!("  two: {{image: '{image}'}}\n")));
    project.command().via(&proxy).args(&["up", "--yes"]).run().success();
    assert!(!proxy.mutations().iter().any(|it| it.contains("/images/create")), "{:?}", proxy.mutations());
    // The image is the user's, like any that he has pulled: `down` leaves it.
    project.fly(&["down", "--yes"]).success();
    id(&lab, &image);
}

#[test]
fn on_a_terminal_a_pull_shows_how_far_it_is() {
    let lab = Lab::start();
    let registry = Registry::start(&lab, 5000, false);
    lab.image("big:1", &["CMD [\"/bin/stay\"]"]);
    registry.push("big:1", "web:1");
    lab.docker(&["rmi", "big:1"]);
    let project = lab.project("pulled", &file(&registry.name("web:1"), ""));
    let up = project.command().args(&["up"]).on_terminal("").run();
    up.success();
    assert!(up.stdout.contains("pull") && up.stdout.contains("/1") && up.stdout.contains("up: "), "{up}");
}

#[test]
fn a_tag_that_moved_is_pulled_when_the_file_asks_for_it() {
    let lab = Lab::start();
    let registry = Registry::start(&lab, 5000, false);
    registry.push("fly/busybox:test", "web:stable");
    let image = registry.name("web:stable");
    let always = file(&image, "    pull_policy: always\n");
    let project = lab.project("pulled", &always);
    project.fly(&["up", "--yes"]).success();
    let first = id(&lab, &image);
    // The registry has nothing newer: nothing to do, and nothing is pulled.
    project.fly(&["plan", "--check"]).success();
    registry.push("fly/busybox:next", "web:stable");
    lab.docker(&["tag", &first, &image]);
    // Whoever does not ask for the newest keeps what is there.
    project.write("fly.yml", &file(&image, "    pull_policy: missing\n"));
    project.fly(&["plan", "--check"]).success();
    project.write("fly.yml", &file(&image, "    pull_policy: missing\n    labels: {round: '1'}\n"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(id(&lab, &image), first, "also where a machine is made anew");
    let pid = lab.pid_and_start("pulled.web");
    project.write("fly.yml", &always);
    let plan = project.fly(&["plan", "--check"]);
    plan.expect_code(3);
    assert!(plan.stdout.contains("the registry has a newer one") && plan.stdout.contains("(newer: "), "{plan}");
    assert_eq!((id(&lab, &image), lab.pid_and_start("pulled.web")), (first.clone(), pid.clone()), "a plan pulls nothing");
    project.fly(&["up", "--yes"]).success();
    assert_ne!(id(&lab, &image), first);
    assert_ne!(lab.pid_and_start("pulled.web"), pid);
    assert_eq!(lab.inspect("pulled.web")["Image"], id(&lab, &image).as_str());
    assert_eq!(lab.docker(&["exec", "pulled.web", "cat", "/etc/release"]), "next\n");
    project.fly(&["plan", "--check"]).success();
    assert_eq!(changes(&project), vec![]);
    // Nobody knows whether there is a newer one.
    drop(registry);
    let plan = project.fly(&["plan"]);
    plan.expect_code(1);
    assert!(plan.stderr.contains("does not say whether it has a newer image") && plan.stderr.contains("fly.yml:5"), "{plan}");
}

#[test]
fn another_image_under_the_same_name_replaces() {
    let lab = Lab::start();
    lab.docker(&["tag", "fly/busybox:test", "local/web:1"]);
    let project = lab.project("pulled", &file("local/web:1", "    pull_policy: never\n"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    lab.docker(&["tag", "fly/busybox:next", "local/web:1"]);
    let found = changes(&project);
    assert!(found.contains(&change("machine/web", "replace", &["image"])), "{found:?}");
    project.fly(&["plan", "--check"]).expect_code(3);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(lab.docker(&["exec", "pulled.web", "cat", "/etc/release"]), "next\n");
    assert_eq!(changes(&project), vec![]);
}

#[test]
fn a_pull_takes_along_who_runs_the_same_image() {
    let lab = Lab::start();
    let registry = Registry::start(&lab, 5000, false);
    let image = registry.name("web:2");
    let release = |machine: &str| lab.try_docker(&["exec", machine, "cat", "/etc/release"]).stdout;
    // Its name is taken away from the engine, and another machine needs it; or the other one is to have the newest.
    for (two, untagged) in [("", true), (", pull_policy: always", false)] {
        registry.push("fly/busybox:test", "web:2");
        let project = lab.project("pulled", &file(&image, ""));
        project.fly(&["up", "--yes"]).success();
        let here = id(&lab, &image);
        registry.push("fly/busybox:next", "web:2");
        if untagged {
            lab.try_docker(&["rmi", "--force", "--no-prune", &image]);
        } else {
            lab.docker(&["tag", &here, &image]);
        }
        project.write("fly.yml", &(file(&image, "") + &format!("  two: {{image: '{image}'{two}}}\n")));
        let plan = project.fly(&["plan", "--check"]);
        plan.expect_code(3);
        assert!(plan.stdout.contains("machine/web") && plan.stdout.contains("is pulled for another machine"), "{plan}");
        project.fly(&["up", "--yes"]).success();
        assert_eq!((release("pulled.web"), release("pulled.two")), ("next\n".to_owned(), "next\n".to_owned()));
        assert_eq!(changes(&project), vec![]);
        project.fly(&["down", "--yes"]).success();
        lab.docker(&["rmi", "--no-prune", &image]);
    }
}

/// `docker build` takes a slash at the end of a place, and the engine mounts it without.
#[test]
fn an_image_may_write_the_places_of_its_volumes_as_it_likes() {
    let lab = Lab::start();
    lab.image("vol:1", &["VOLUME /data/", "VOLUME /var//more/../lib/", "CMD [\"/bin/stay\"]"]);
    let project = lab.project("pulled", &file("vol:1", ""));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    lab.docker(&["exec", "pulled.web", "sh", "-c", "echo kept > /data/file"]);
    // What is in them goes over into a replacement.
    project.write("fly.yml", &file("vol:1", "    environment: {MODE: two}\n"));
    project.fly(&["up", "--yes"]).success();
    assert_eq!(lab.docker(&["exec", "pulled.web", "cat", "/data/file"]), "kept\n");
    assert_eq!(changes(&project), vec![]);
    project.fly(&["down", "--yes"]).success();
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]), "");
}

#[test]
fn the_users_login_is_used() {
    let lab = Lab::start();
    let registry = Registry::start(&lab, 5001, true);
    registry.push("fly/busybox:test", "secret/web:1");
    let image = registry.name("secret/web:1");
    let project = lab.project("pulled", &file(&image, ""));
    let before = lab.canonical();
    let denied = project.fly(&["up", "--yes"]);
    denied.expect_code(6);
    assert!(denied.stderr.contains(&image) && denied.stderr.contains("no basic auth credentials"), "{denied}");
    assert_eq!(lab.docker(&["ps", "--all", "--quiet", "--filter=label=fly.machine"]), "");

    let docker = lab.dir().join("home/.docker");
    fs::create_dir_all(&docker).expect("a folder in our own folder");
    let write = |auth: &str| {
        let text = format!("{{\"auths\": {{\"127.0.0.1:5001\": {{\"auth\": \"{auth}\"}}}}}}");
        fs::write(docker.join("config.json"), text).expect("a file in our own folder");
    };
    // user:wrong
    write("dXNlcjp3cm9uZw==");
    let denied = project.fly(&["up", "--yes"]);
    assert!(matches!(denied.code, 1 | 6), "{denied}");
    write(LOGIN);
    let up = project.command().args(&["-vv", "up", "--yes"]).run();
    up.success();
    assert!(!up.stderr.contains("secret\"") && !up.stderr.contains(LOGIN), "{up}");
    assert_eq!(changes(&project), vec![]);
    project.fly(&["down", "--yes"]).success();
    lab.is_as_before(&before);
}

#[test]
fn an_unknown_image_holds_up_only_who_needs_it() {
    let lab = Lab::start();
    let registry = Registry::start(&lab, 5000, false);
    let image = registry.name("not/there:7");
    let project = lab.project("pulled", &(file(&image, "") + "  free: {image: 'fly/busybox:test'}\n"));
    let up = project.fly(&["up", "--yes"]);
    up.expect_code(6);
    assert!(up.stderr.contains(&image) && (up.stderr.contains("not found") || up.stderr.contains("unknown")), "{up}");
    lab.pid_and_start("pulled.free");
    // It comes to be there, and running again is enough.
    registry.push("fly/busybox:test", "not/there:7");
    project.fly(&["up", "--yes"]).success();
    lab.pid_and_start("pulled.web");
    assert_eq!(changes(&project), vec![]);
    // What is called nearly so is named.
    project.write("fly.yml", &file(&registry.name("not/their:7"), ""));
    let up = project.fly(&["up", "--yes"]);
    assert!(matches!(up.code, 1 | 6) && up.stderr.contains(&format!("did you mean `{image}`, which the engine has?")), "{up}");
    // A registry that is not there at all.
    drop(registry);
    project.write("fly.yml", &file("127.0.0.1:5000/gone:1", ""));
    let free = lab.pid_and_start("pulled.web");
    let up = project.fly(&["up", "--yes"]);
    assert!(matches!(up.code, 1 | 6) && up.stderr.contains("127.0.0.1:5000"), "{up}");
    // What it was to take the place of is untouched.
    assert_eq!(lab.pid_and_start("pulled.web"), free);
}
