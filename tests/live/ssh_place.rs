//! What is in the way of fly's own place in a machine, `/.fly`, and of its binary.

use crate::support::{Lab, Output, Project};

const FILE: &str = "name: vm\nmachines: {web: {image: 'way:1', sshd: true}}\n";

fn up(project: &Project<'_>) -> Output {
    project.fly(&["up", "--yes"])
}

#[test]
fn an_image_with_something_in_the_guests_place_says_so() {
    let lab = Lab::start();
    lab.docker(&["create", "--name", "made", "--network=none", "fly/busybox:test"]);
    let file = lab.dir().join("way");
    std::fs::write(&file, "mine").unwrap();
    lab.docker(&["cp", &file.display().to_string(), "made:/.fly"]);
    lab.docker(&["commit", "made", "way:1"]);
    lab.docker(&["rm", "made"]);
    let before = lab.canonical();
    let project = lab.project("vm", FILE);
    let failed = up(&project);
    failed.expect_code(6);
    assert!(failed.stderr.contains("start container vm.web: its image has a file `/.fly`, where fly's guest is to lie"), "{failed}");
    assert!(failed.stderr.contains("`guest: false`, without `sshd`, leaves the image alone") && !failed.stderr.contains("OCI"), "{failed}");
    // Nothing hangs on it: it can be looked at, taken away, and put right.
    assert!(project.fly(&["plan"]).success().stdout.contains("machine/web"));
    project.write("fly.yml", &FILE.replace("sshd: true", "guest: false"));
    up(&project).success();
    assert_eq!(lab.docker(&["exec", "vm.web", "cat", "/.fly"]), "mine");
    project.fly(&["down", "--yes", "--volumes"]).success();
    lab.is_as_before(&before);

    // A folder is no trouble, nor is a volume of the image's own.
    lab.image("way:2", &["CMD [\"/bin/stay\"]", "VOLUME /.fly", "VOLUME /.fly/machine"]);
    project.write("fly.yml", &FILE.replace("way:1", "way:2"));
    up(&project).success();
    assert_eq!(project.fly(&["ssh", "web", "id -u"]).success().stdout, "0\n");
    project.fly(&["plan", "--check"]).success();
    project.fly(&["down", "--yes", "--volumes"]).success();

    // What the file itself puts there is an error in the file.
    for key in ["tmpfs: [/.fly]", "tmpfs: ['/.fly/bin:noexec']", "volumes: ['./src:/.fly/machine']"] {
        project.write("fly.yml", &FILE.replace("sshd: true", &format!("sshd: true, {key}")));
        let plan = project.fly(&["plan"]);
        assert!(plan.expect_code(65).stderr.contains("fly's own guest lies under `/.fly`"), "{plan}");
    }
}

/// A hardened host has its engine's files on a file system from which nothing may be run. Images run all the same, and so does the guest.
#[test]
fn an_engine_on_a_noexec_file_system_runs_the_guest() {
    let lab = Lab::start();
    let project = lab.project("vm", &FILE.replace("way:1", "fly/busybox:test"));
    let docker = lab.dir().join("docker").display().to_string();
    lab.machine().ok(&["mount", "-o", "remount,noexec", &docker]);
    let program = format!("{docker}/program");
    lab.machine().ok(&["cp", "/bin/true", &program]);
    lab.machine().run(&["sh", "-c", &program]).expect_code(126);
    up(&project).success();
    assert_eq!(project.fly(&["ssh", "web", "id -u"]).success().stdout, "0\n");
    project.fly(&["plan", "--check"]).success();
}
