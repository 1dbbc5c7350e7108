//! Alpine's kind of image: musl, busybox' shell and nothing of glibc.
//!
//! It is not Alpine: no Alpine image can be had where these tests run. It has what matters to the guest of Alpine's layout, in Alpine's
//! words: passwd with `/bin/ash`, `/etc/alpine-release`, musl's loader, and as its program one that is linked to musl and has no other
//! library. The busybox in it is Debian's, which is static. What it cannot show is Alpine's own busybox, its sshd and its package manager.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::ssh_client::{Client, make_keys};
use crate::support::Lab;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/ash\nbin:x:1:1:bin:/bin:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n\
                      ada:x:1000:1000:Linux User,,,:/home/ada:/bin/ash\n";
const PROGRAM: &str = "#include <stdio.h>\n#include <unistd.h>\nint main(void) { FILE *f = fopen(\"/run/said\", \"w\"); \
                       fprintf(f, \"%d\\n\", getpid()); fclose(f); for (;;) pause(); }\n";

/// `fly/musl:test`.
fn make_image(lab: &Lab) {
    let root = lab.dir().join("musl");
    for folder in ["bin", "sbin", "lib", "etc/profile.d", "root", "home/ada", "proc", "sys", "dev", "run", "tmp", "usr/bin", "var"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
    let applets = Command::new("/bin/busybox").arg("--list").output().unwrap().stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|it| *it != "busybox") {
        symlink("/bin/busybox", root.join("bin").join(applet)).unwrap();
    }
    let loader = format!("ld-musl-{}.so.1", std::env::consts::ARCH);
    fs::copy(fs::canonicalize(Path::new("/lib").join(&loader)).unwrap(), root.join("lib").join(&loader)).unwrap();
    let source = lab.dir().join("program.c");
    fs::write(&source, PROGRAM).unwrap();
    let built = Command::new("musl-gcc").arg("-o").arg(root.join("usr/bin/program")).arg(&source).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let needs = Command::new("readelf").arg("-ld").arg(root.join("usr/bin/program")).output().unwrap().stdout;
    let needs = String::from_utf8_lossy(&needs);
    assert!(needs.contains(&format!("/lib/{loader}")) && !needs.contains("libc.so.6"), "{needs}");
    for (file, text) in [
        ("etc/passwd", PASSWD),
        ("etc/group", "root:x:0:root\nwheel:x:10:root,ada\nada:x:1000:\n"),
        ("etc/alpine-release", "3.20.0\n"),
        ("etc/os-release", "NAME=\"Alpine Linux\"\nID=alpine\n"),
        ("etc/motd", "Welcome to Alpine!\n"),
        (
            "etc/profile",
            "export PAGER=less\numask 022\nfor script in /etc/profile.d/*.sh; do [ ! -r \"$script\" ] || . \"$script\"; done\n",
        ),
        ("etc/profile.d/own.sh", "export OWN=profile\n"),
    ] {
        fs::write(root.join(file), text).unwrap();
    }
    fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    std::os::unix::fs::chown(root.join("home/ada"), Some(1000), Some(1000)).unwrap();
    let (tar, folder) = (lab.dir().join("musl.tar").display().to_string(), root.display().to_string());
    lab.machine().ok(&["tar", "--create", "--numeric-owner", "--file", &tar, "-C", &folder, "."]);
    lab.docker(&["import", "--change", "CMD [\"/usr/bin/program\"]", &tar, "fly/musl:test"]);
}

const FILE: &str = "
name: vm
networks: {back: {subnet: 10.20.0.0/24, host_ip: 10.20.0.1}}
machines:
  alp: {image: 'fly/musl:test', sshd: {authorized_keys: [./id.pub], users: [root, ada]}, nics: {eth0: {network: back, ip: 10.20.0.5}}}
";

#[test]
fn a_musl_image_in_alpines_layout_can_be_logged_into() {
    let lab = Lab::start();
    make_image(&lab);
    let project = lab.project("vm", FILE);
    make_keys(&project, &lab, &["id"]);
    project.fly(&["up", "--yes"]).success();
    // Its own program runs, as a child of the guest's.
    let own = lab.docker(&["exec", "vm.alp", "cat", "/run/said"]);
    assert_eq!(lab.docker(&["exec", "vm.alp", "cat", &format!("/proc/{}/comm", own.trim())]), "program\n");

    let root = Client::new(&lab, &project, "10.20.0.5");
    assert_eq!(root.ssh("id -un; echo $SHELL $0; cat /etc/alpine-release; exit 3").expect_code(3).stdout, "root\n/bin/ash ash\n3.20.0\n");
    root.has_a_terminal();
    root.host_key_is_what_fly_says(&project, "alp");
    root.files_arrive("/root/", false);
    let ada = Client { user: "ada", ..Client::new(&lab, &project, "10.20.0.5") };
    assert_eq!(ada.ssh("id -un; pwd; id -Gn").success().stdout, "ada\n/home/ada\nada wheel\n");
    ada.files_arrive("/home/ada/", false);
    // A login reads what a login reads.
    let greeted = ada.run("ssh", &["-tt", "-o", "SetEnv=TERM=dumb", &ada.host(), "ash -lc 'echo $OWN $PAGER'"]);
    assert_eq!(greeted.success().stdout, "profile less\r\n");
    Client { user: "nobody", ..Client::new(&lab, &project, "10.20.0.5") }.ssh("true").expect_code(255);
    assert_eq!(project.fly(&["ssh", "alp", "uname -s"]).success().stdout, "Linux\n");
    project.fly(&["plan", "--check"]).success();
}
