//! Mounts: volumes of somebody else's, labels of `SELinux`, and how mounts below a mount travel.

use crate::sample::changes;
use crate::support::{Lab, Project};

fn up<'a>(lab: &'a Lab, file: &str) -> Project<'a> {
    let project = lab.project("mounts", file);
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    project
}

fn inside(lab: &Lab, script: &str) -> String {
    lab.docker(&["exec", "mounts.a", "sh", "-c", script])
}

#[test]
fn external_volumes_are_used_and_never_deleted() {
    let lab = Lab::start();
    let file = "name: mounts\nmachines:\n  a:\n    image: fly/busybox:test\n\
         \x20   volumes: [\"theirs:/theirs\", \"short:/short:ro\", \"long:/long\"]\n\
         volumes:\n  theirs: {external: true}\n  short: {external: the-short-one}\n  long: {external: true, name: the.long-one}\n";
    let names = ["the-short-one", "the.long-one", "theirs"];
    // Nothing is made for somebody else.
    let project = lab.project("mounts", file);
    let refused = project.fly(&["up", "--yes"]);
    refused.expect_code(65);
    assert!(names.iter().all(|name| refused.stderr.contains(&format!("docker volume create {name}"))), "{refused}");
    assert_eq!(lab.docker(&["volume", "ls", "--quiet"]), "");

    for name in names {
        lab.docker(&["volume", "create", "--label", "owner=ada", name]);
        lab.docker(&[
            "run",
            "--rm",
            "--network=none",
            "-v",
            &format!("{name}:/v"),
            "fly/busybox:test",
            "sh",
            "-c",
            "echo precious > /v/file",
        ]);
    }
    let before = lab.canonical();
    let project = up(&lab, file);
    assert_eq!(inside(&lab, "cat /theirs/file /short/file /long/file"), "precious\nprecious\nprecious\n");
    assert_eq!(inside(&lab, "touch /short/x 2>/dev/null || echo refused"), "refused\n");
    let mounts = lab.inspect("mounts.a")["Mounts"].take();
    let mut used: Vec<&str> = mounts.as_array().into_iter().flatten().filter_map(|mount| mount["Name"].as_str()).collect();
    used.retain(|name| !name.starts_with("fly-guest-") && *name != "mounts.a.guest");
    used.sort_unstable();
    assert_eq!(used, names);
    project.fly(&["down", "--volumes", "--yes"]).success();
    lab.is_as_before(&before);
}

/// Nothing is labelled on a host without `SELinux`; the engine is told all the same, and shows no difference.
#[test]
fn private_labels_are_asked_for() {
    let lab = Lab::start();
    let project = up(
        &lab,
        "name: mounts\nmachines:\n  a:\n    image: fly/busybox:test\n    volumes:\n\
         \x20     - ./one:/one:Z\n      - ./one:/read:ro,Z\n      - data:/data:Z\n\
         \x20     - {type: bind, source: ./one, target: /long, bind: {selinux: Z}}\nvolumes: {data: {}}\n",
    );
    let inspect = lab.inspect("mounts.a");
    let binds: Vec<&str> = inspect["HostConfig"]["Binds"].as_array().into_iter().flatten().filter_map(|bind| bind.as_str()).collect();
    let one = project.dir().join("one");
    let bind = |place: &str, options: &str| format!("{}:{place}:{options}", one.display());
    for wanted in [bind("/one", "Z"), bind("/read", "ro,Z"), bind("/long", "Z"), "mounts.data:/data:Z".to_owned()] {
        assert!(binds.contains(&wanted.as_str()), "{wanted} in {binds:?}");
    }
    assert_eq!(inside(&lab, "touch /one/x && ls /long"), "x\n");
}

/// What the kernel says of a mount: `shared:7`, `master:7`, nothing.
fn propagation(lab: &Lab, place: &str) -> (bool, bool) {
    let line = inside(lab, &format!("grep ' {place} ' /proc/self/mountinfo"));
    let optional: Vec<&str> = line.split(" - ").next().unwrap_or_default().split(' ').skip(6).collect();
    let has = |kind: &str| optional.iter().any(|field| field.starts_with(kind));
    (has("shared:"), has("master:"))
}

#[test]
fn mounts_below_a_mount_travel_as_they_are_told() {
    let lab = Lab::start();
    let source = lab.dir().join("travels");
    std::fs::create_dir_all(source.join("sub")).expect("a folder in our own folder");
    let source = source.display().to_string();
    for args in [["mount", "--bind", &source, &source].as_slice(), &["mount", "--make-rshared", &source]] {
        lab.machine().ok(args);
    }
    let kinds = [
        ("rshared", (true, false)),
        ("shared", (true, false)),
        ("rslave", (false, true)),
        ("slave", (false, true)),
        ("rprivate", (false, false)),
        ("private", (false, false)),
    ];
    let short = kinds.map(|(kind, _)| format!("      - {source}:/{kind}:{kind}\n")).concat();
    let long = kinds
        .map(|(kind, _)| format!("      - {{type: bind, source: {source}, target: /long-{kind}, bind: {{propagation: {kind}}}}}\n"))
        .concat();
    let project = up(
        &lab,
        &format!("name: mounts\nmachines:\n  a:\n    image: fly/busybox:test\n    volumes:\n{short}{long}      - {source}:/plain\n"),
    );
    for (kind, wanted) in kinds {
        assert_eq!((propagation(&lab, &format!("/{kind}")), propagation(&lab, &format!("/long-{kind}"))), (wanted, wanted), "{kind}");
    }
    assert_eq!(propagation(&lab, "/plain"), (false, false));

    // A file system that the host mounts later is seen by those that listen.
    lab.machine().ok(&["mount", "-t", "tmpfs", "tmpfs", &format!("{source}/sub")]);
    lab.machine().ok(&["touch", &format!("{source}/sub/later")]);
    for (kind, seen) in [("rslave", true), ("rshared", true), ("rprivate", false)] {
        assert_eq!(inside(&lab, &format!("ls /{kind}/sub")), if seen { "later\n" } else { "" }, "{kind}");
    }
    lab.machine().ok(&["umount", &format!("{source}/sub")]);
    project.fly(&["down", "--yes"]).success();
    lab.machine().ok(&["umount", &source]);
}

/// A folder of the host that is missing is made, unless the file says that it has to be there.
#[test]
fn folders_of_the_host_are_made_or_have_to_be_there() {
    let lab = Lab::start();
    let long = |create: &str| {
        format!(
            "name: mounts\nmachines:\n  a:\n    image: fly/busybox:test\n    volumes:\n\
             \x20     - {{type: bind, source: ./made, target: /made}}\n\
             \x20     - {{type: bind, source: ./there, target: /there, read_only: true, bind: {{create_host_path: {create}, propagation: rprivate}}}}\n"
        )
    };
    let project = lab.project("mounts", &long("false"));
    let refused = project.fly(&["up", "--yes"]);
    refused.expect_code(6);
    assert!(refused.stderr.contains("bind source path does not exist"), "{refused}");
    assert!(!project.dir().join("there").exists());
    std::fs::create_dir(project.dir().join("there")).expect("a folder in our own folder");
    project.write("there/file", "x\n");
    project.fly(&["up", "--yes"]).success();
    assert_eq!(changes(&project), vec![]);
    assert!(project.dir().join("made").is_dir());
    assert_eq!(inside(&lab, "cat /there/file; touch /there/x 2>/dev/null || echo refused"), "x\nrefused\n");
    let mounts = lab.inspect("mounts.a")["HostConfig"]["Mounts"].take();
    let binds = mounts.as_array().map(|mounts| mounts.iter().filter(|mount| mount["Type"] == "bind").count());
    assert_eq!(binds, Some(1), "{mounts}");
    // Once it is mounted, how it came to be is no difference.
    for create in ["true", "false"] {
        project.write("fly.yml", &long(create));
        assert_eq!(changes(&project), vec![], "{create}");
    }
}

/// What the image has at a place goes into a new volume, or does not.
#[test]
fn a_new_volume_is_filled_or_not() {
    let lab = Lab::start();
    let project = up(
        &lab,
        "name: mounts\nmachines:\n  a:\n    image: fly/busybox:test\n    volumes:\n      - full:/bin\n      - \"bare:/sbin:nocopy\"\n\
         \x20     - {type: volume, source: long, target: /etc/init.d, volume: {nocopy: true}, consistency: cached}\n\
         \x20     - {type: volume, target: /nameless, volume: {nocopy: true}}\nvolumes: {full: {}, bare: {}, long: {}}\n",
    );
    let entries = |volume: &str| -> usize {
        let count = lab.docker(&[
            "run",
            "--rm",
            "--network=none",
            "-v",
            &format!("mounts.{volume}:/v:nocopy"),
            "fly/busybox:test",
            "sh",
            "-c",
            "ls /v | wc -l",
        ]);
        count.trim().parse().unwrap_or_else(|_| panic!("{count}"))
    };
    assert!(entries("full") > 0);
    assert_eq!((entries("bare"), entries("long")), (0, 0));
    let binds = lab.inspect("mounts.a")["HostConfig"]["Binds"].take();
    assert!(binds.as_array().is_some_and(|binds| binds.iter().any(|bind| bind == "mounts.bare:/sbin:nocopy")), "{binds}");
    project.write("fly.yml", "name: mounts\nmachines: {a: {image: 'fly/busybox:test', volumes: ['full:/bin', 'bare:/sbin', '/nameless']}}\nvolumes: {full: {}, bare: {}}\n");
    let found = changes(&project);
    let fields = found.iter().find(|(addr, ..)| addr == "machine/a").map(|(.., fields)| fields.clone()).unwrap_or_default();
    assert_eq!(fields, ["volumes./etc/init.d", "volumes./nameless", "volumes./sbin"]);
}
