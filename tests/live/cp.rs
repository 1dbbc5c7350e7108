//! `fly cp`: files to machines and back, byte for byte, and as `docker cp` has it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{Lab, Project, eventually, user};

const SHOP: &str = "name: shop
machines:
  web: {image: 'fly/busybox:test', volumes: ['./ro:/ro:ro']}
  db: {image: 'fly/busybox:test'}
";

fn running(lab: &Lab) -> Project<'_> {
    let shop = lab.project("shop", SHOP);
    fs::create_dir_all(shop.dir().join("ro")).unwrap();
    shop.fly(&["up", "--yes"]).success();
    shop
}

/// Names, kinds, modes, owners, times, links and contents.
fn listing(top: &Path) -> Vec<String> {
    fn walk(top: &Path, at: &Path, all: &mut Vec<String>) {
        let metadata = fs::symlink_metadata(at).unwrap();
        let content = if metadata.is_symlink() {
            fs::read_link(at).unwrap().as_os_str().as_bytes().escape_ascii().to_string()
        } else if metadata.is_file() {
            format!("{} {} {:?}", metadata.nlink(), metadata.len(), fs::read(at).unwrap().iter().take(100).collect::<Vec<_>>())
        } else {
            String::new()
        };
        let name = at.strip_prefix(top).unwrap().as_os_str().as_bytes().escape_ascii();
        all.push(format!("{name} {:o} {}:{} {} {content}", metadata.mode(), metadata.uid(), metadata.gid(), metadata.mtime()));
        if metadata.is_dir() {
            let mut children: Vec<PathBuf> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
            children.sort();
            for child in &children {
                walk(top, child, all);
            }
        }
    }
    let mut all = vec![];
    walk(top, top, &mut all);
    all
}

/// All that a name and a file can be.
fn tree(top: &Path) {
    fs::create_dir_all(top.join("sub/empty")).unwrap();
    fs::write(top.join("zero"), "").unwrap();
    fs::write(top.join("one"), "1").unwrap();
    fs::write(top.join("sub/line\nfeed"), "odd").unwrap();
    fs::write(top.join(OsStr::from_bytes(b"sub/\xff\xfe not text")), "odder").unwrap();
    fs::write(top.join("sub/ü and 'quotes' \"and\" \\ $x"), "x").unwrap();
    let long = top.join("d".repeat(200));
    fs::create_dir(&long).unwrap();
    fs::write(long.join("f".repeat(255)), vec![7; 100_000]).unwrap();
    symlink("../one", top.join("sub/link")).unwrap();
    symlink("/no//such/../place", top.join("broken")).unwrap();
    symlink("t".repeat(300), top.join("long link")).unwrap();
    fs::hard_link(top.join("one"), top.join("sub/same")).unwrap();
    fs::set_permissions(top.join("one"), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(top.join("one"), Some(1234), Some(4321)).unwrap();
    fs::set_permissions(top.join("sub/empty"), fs::Permissions::from_mode(0o555)).unwrap();
    for (file, time) in [("zero", 1_000_000_000), ("sub", 1_100_000_000)] {
        let times = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + Duration::from_secs(time));
        fs::File::open(top.join(file)).unwrap().set_times(times).unwrap();
    }
}

#[test]
fn there_and_back_it_is_the_same() {
    let lab = Lab::start();
    let shop = running(&lab);
    let dir = shop.dir();
    tree(&dir.join("top"));
    let docker = |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| arg.replace("DIR", &dir.display().to_string())).collect();
        lab.docker(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let said = shop.fly(&["cp", "top", "web:/srv/new"]);
    assert_eq!(said.success().stdout, "");
    assert!(said.stderr.starts_with("copied 10 files, ") && said.stderr.ends_with(" to web:/srv/new\n"), "{said}");
    docker(&["cp", "DIR/top", "shop.db:/srv/new"]);
    let seen = |machine: &str| {
        lab.docker(&[
            "exec",
            machine,
            "sh",
            "-c",
            "cd /srv/new && find . -print0 | sort -z | xargs -0 stat -c '%N %a %u:%g %Y %h %s %F' && cat one zero sub/line*",
        ])
    };
    assert_eq!(seen("shop.web"), seen("shop.db"), "the machine sees what docker would have made");

    shop.fly(&["cp", "--quiet", "web:/srv/new", "back"]).success();
    docker(&["cp", "shop.db:/srv/new", "DIR/docker"]);
    // Whoever's who copies; the tree is his, but for one file of somebody else's where root is who copies.
    let own = format!("{0}:{0}", user());
    let without_owner = |path: &str| {
        let lines = listing(&dir.join(path)).into_iter();
        lines.map(|line| line.replace("1234:4321", "0:0").replace(&own, "0:0")).collect::<Vec<_>>()
    };
    assert_eq!(without_owner("back"), without_owner("top"));
    assert_eq!(without_owner("back"), without_owner("docker"));
    assert_eq!(fs::metadata(dir.join("back/one")).unwrap().uid(), user());
    shop.fly(&["cp", "-qa", "web:/srv/new", "owned"]).success();
    assert_eq!(listing(&dir.join("owned")), listing(&dir.join("top")));
    // Again, over what is there.
    shop.fly(&["cp", "-qa", "web:/srv/new/.", "owned"]).success();
    assert_eq!(listing(&dir.join("owned"))[1..], listing(&dir.join("top"))[1..]);

    // From one machine to another, and as a stream.
    shop.fly(&["cp", "web:/srv/new", "db:/srv/across"]).success();
    shop.fly(&["cp", "-qa", "db:/srv/across", "across"]).success();
    assert_eq!(listing(&dir.join("across")), listing(&dir.join("top")));
    let script = "mkdir out && \"$@\" | tar -xpf - -C out";
    shop.command().by(&["sh", "-c", script, "sh"]).args(&["cp", "web:/srv/new", "-"]).run().success();
    assert_eq!(listing(&dir.join("out/new")), listing(&dir.join("top")));
    let script = "tar -cf - top | \"$@\"";
    shop.command().by(&["sh", "-c", script, "sh"]).args(&["cp", "-", "web:/var"]).run().success();
    shop.fly(&["cp", "-qa", "web:/var/top", "stream"]).success();
    assert_eq!(listing(&dir.join("stream")), listing(&dir.join("top")));
    // A machine that does not run has its files all the same.
    lab.docker(&["stop", "--time=1", "shop.db"]);
    shop.fly(&["cp", "-q", "db:/srv/across/one", "stopped"]).success();
    assert_eq!(fs::read_to_string(dir.join("stopped")).unwrap(), "1");
}

/// A small tree of all that a path can lead to, and through.
const SEED: &str = "mkdir -p d/sub there && printf in > d/sub/f && printf f > f && printf old > old && ln -s d dl && ln -s f fl && \
    ln -s there tl && ln -s nowhere nl";

/// Every form of both paths, with `fly cp` on one machine and `docker cp` on another: what comes out is the same, and so is whether.
#[test]
fn slashes_and_dots_mean_what_they_mean_to_docker() {
    let lab = Lab::start();
    let shop = running(&lab);
    let dir = shop.dir();
    let sources = ["d", "d/", "d/.", "f", "f/", "dl", "dl/", "dl/.", "fl", "nl", "gone", "d/../f"];
    let dests = ["there", "there/", "there/.", "new", "new/", "old", "old/", "tl", "tl/", "nl", "gone/new"];
    let mut cases: Vec<(&str, &str, bool)> = vec![];
    for source in sources {
        cases.extend(dests.iter().map(|dest| (source, *dest, false)));
        if source.contains('l') {
            cases.extend(dests.iter().map(|dest| (source, *dest, true)));
        }
    }
    // With a slash behind a link to a directory, docker finds a directory for `d` and then none for `d/.`: for us it is one.
    cases.retain(|(source, dest, _)| !(source.ends_with("/.") && *dest == "tl/"));
    // A tree of its own for each case, here and in both machines.
    let seed = format!("n=0; while [ $n -lt {} ]; do mkdir -p $n && (cd $n && {SEED}); n=$((n+1)); done", cases.len());
    for machine in ["shop.web", "shop.db"] {
        lab.docker(&["exec", machine, "sh", "-c", &format!("mkdir /w /seed; cd /seed; {SEED}; cd /w; {seed}")]);
    }
    for side in ["ours", "theirs"] {
        lab.machine().ok(&["sh", "-c", &format!("mkdir {0}/{side} && cd {0}/{side} && {seed}", dir.display())]);
    }
    lab.machine().ok(&["sh", "-c", &format!("mkdir {0}/seed && cd {0}/seed && {SEED}", dir.display())]);
    let mut wrong = vec![];
    for (number, (source, dest, follow)) in cases.iter().enumerate() {
        let flags: &[&str] = if *follow { &["-L"] } else { &[] };
        let pairs = [
            (
                format!("web:/seed/{source}"),
                format!("ours/{number}/{dest}"),
                format!("shop.db:/seed/{source}"),
                format!("{}/theirs/{number}/{dest}", dir.display()),
            ),
            (
                format!("seed/{source}"),
                format!("web:/w/{number}/{dest}"),
                format!("{}/seed/{source}", dir.display()),
                format!("shop.db:/w/{number}/{dest}"),
            ),
        ];
        for (source, dest, their_source, their_dest) in pairs {
            let fly = shop.fly(&[&["cp"], flags, &[&source, &dest]].concat());
            let docker = lab.try_docker(&[&["cp"], flags, &[&their_source, &their_dest]].concat());
            if (fly.code == 0) != (docker.code == 0) {
                wrong.push(format!("{flags:?} {source} {dest}: {} {}; docker: {} {}", fly.code, fly.stderr, docker.code, docker.stderr));
            }
        }
    }
    let list = "find . | sort | xargs stat -c '%N %a %F'; find . -type f | sort | xargs grep -H .";
    let listed = |machine: &str| lab.docker(&["exec", machine, "sh", "-c", &format!("cd /w && {list}")]);
    let here = |side: &str| lab.machine().ok(&["sh", "-c", &format!("cd {}/{side} && {list}", dir.display())]);
    for (what, ours, theirs) in [("up", listed("shop.web"), listed("shop.db")), ("down", here("ours"), here("theirs"))] {
        if ours != theirs {
            let diff = similar::TextDiff::from_lines(&theirs, &ours);
            wrong.push(format!("{what}:\n{}", diff.unified_diff().context_radius(0)));
        }
    }
    let names: String = cases.iter().enumerate().map(|(number, case)| format!("{number}: {case:?}\n")).collect();
    assert!(wrong.is_empty(), "{names}{}", wrong.join("\n"));
}

#[test]
fn large_and_many() {
    let lab = Lab::start();
    let shop = running(&lab);
    let dir = shop.dir();
    let sum = |text: &str| text.split(' ').next().unwrap_or_default().to_owned();
    let timed = |what: &str, run: &dyn Fn()| {
        let began = Instant::now();
        run();
        eprintln!("{what}: {:.1} s", began.elapsed().as_secs_f64());
    };
    let at = |name: &str| dir.join(name).display().to_string();
    lab.machine().ok(&["sh", "-c", &format!("head -c 1073741824 /dev/urandom > {}", at("big"))]);
    let original = sum(&lab.machine().ok(&["sha256sum", &at("big")]));
    // In 64 MiB, whatever passes.
    let little = |args: &[&str]| shop.command().by(&["prlimit", "--data=67108864"]).args(args).run();
    timed("fly cp 1 GiB up", &|| _ = little(&["cp", "big", "web:/big"]).success());
    assert_eq!(sum(&lab.docker(&["exec", "shop.web", "sha256sum", "/big"])), original);
    timed("docker cp 1 GiB up", &|| _ = lab.docker(&["cp", &at("big"), "shop.db:/big"]));
    timed("fly cp 1 GiB down", &|| _ = little(&["cp", "web:/big", "big2"]).success());
    assert_eq!(sum(&lab.machine().ok(&["sha256sum", &at("big2")])), original);
    timed("docker cp 1 GiB down", &|| _ = lab.docker(&["cp", "shop.db:/big", &at("big3")]));
    for file in ["big", "big2", "big3"] {
        fs::remove_file(dir.join(file)).unwrap();
    }
    lab.docker(&["exec", "shop.web", "rm", "/big"]);
    lab.docker(&["exec", "shop.db", "rm", "/big"]);

    for number in 0..10_000_u32 {
        let folder = dir.join(format!("many/{:02}", number % 100));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(number.to_string()), number.to_be_bytes().repeat(1 + number as usize % 500)).unwrap();
    }
    timed("fly cp 10,000 files up", &|| _ = shop.fly(&["cp", "many", "web:/many"]).success());
    timed("docker cp 10,000 files up", &|| _ = lab.docker(&["cp", &at("many"), "shop.db:/many"]));
    timed("fly cp 10,000 files down", &|| _ = shop.fly(&["cp", "web:/many", "many2"]).success());
    timed("docker cp 10,000 files down", &|| _ = lab.docker(&["cp", "shop.db:/many", &at("many3")]));
    lab.machine().ok(&["diff", "-r", &at("many"), &at("many2")]);
    lab.machine().ok(&["diff", "-r", &at("many"), &at("many3")]);
    assert_eq!(listing(&dir.join("many")), listing(&dir.join("many2")));
}

#[test]
fn what_goes_wrong_is_told_and_leaves_nothing_half() {
    let lab = Lab::start();
    let shop = running(&lab);
    let dir = shop.dir();
    fs::write(dir.join("file"), "new").unwrap();
    fs::create_dir(dir.join("d")).unwrap();
    let says = |args: &[&str], code: i32, text: &str| {
        let said = shop.fly(args);
        said.expect_code(code);
        assert!(said.stderr.contains(text), "{text}: {said}");
    };
    says(&["cp", "file", "other"], 64, "neither side is a machine's");
    says(&["cp", "file", "wbe:/"], 64, "did you mean `web`?");
    says(&["cp", "file", "web:"], 64, "names no path");
    says(&["cp", "nofile", "web:/"], 1, "cannot read `nofile`");
    says(&["cp", "web:/no/such", "."], 1, "there is no `web:/no/such`");
    says(&["cp", "file", "web:/no/such"], 1, "fly exec web mkdir -p /no");
    says(&["cp", "file", "web:/srv/no/"], 1, "there is no directory");
    says(&["cp", "d", "web:/etc/passwd"], 1, "a directory cannot become `web:/etc/passwd`");
    says(&["cp", "file", "web:/ro/file"], 1, "read-only");
    says(&["cp", "web:/etc", "no/such"], 1, "cannot write to `no`");
    says(&["cp", "web:/etc/passwd", "/dev/null"], 1, "neither a file nor a directory");
    lab.machine().ok(&["sh", "-c", &format!("head -c 200000000 /dev/zero > {}/large", dir.display())]);
    says(&["cp", "large", "web:/ro/large"], 1, "read-only");
    // A file that nobody may read is told; the rest is there.
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("d/socket")).unwrap();
    fs::write(dir.join("d/file"), "x").unwrap();
    says(&["cp", "d", "web:/srv/d"], 0, "warning: d/socket: a socket, left out");
    assert_eq!(lab.docker(&["exec", "shop.web", "ls", "/srv/d"]), "file\n");

    // Broken off by somebody, while it comes.
    lab.docker(&["exec", "shop.web", "sh", "-c", "head -c 1500000000 /dev/zero > /large"]);
    fs::write(dir.join("got"), "old").unwrap();
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let copy = shop.command().args(&["cp", "web:/large", "got"]).start();
        eventually("its beginning", Duration::from_secs(30), || {
            let names: Vec<String> = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
            if names.iter().any(|name| name.starts_with(".fly-cp-")) { Ok(()) } else { Err(format!("{names:?}")) }
        });
        copy.signal(signal);
        let said = copy.wait();
        said.expect_code(130);
        assert!(said.stderr.contains("interrupted"), "{said}");
        assert_eq!(fs::read_to_string(dir.join("got")).unwrap(), "old");
        let left = fs::read_dir(dir).unwrap().any(|it| it.unwrap().file_name().to_string_lossy().starts_with(".fly-cp-"));
        assert!(!left, "nothing is left");
    }
    // On a terminal there is a bar.
    let said = shop.command().env("TERM", "xterm").args(&["cp", "web:/large", "got"]).on_terminal("").run();
    assert!(said.success().stdout.contains("GiB/s") || said.stdout.contains("MiB/s"), "{said}");
}
