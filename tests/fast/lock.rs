//! One run at a time for a project on an engine.

use std::path::{Path, PathBuf};

use fly::lock::{Holder, Lock, LockError, Patience, path};
use fly::types::Name;

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("fly-lock-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn a_second_run_is_told_who_holds_it_and_comes_in_when_that_ends() {
    let directory = directory("second");
    let path = path(&directory, &Name::new("shop").unwrap(), "unix:///var/run/docker.sock");
    let holder = Holder { pid: 4711, command: "fly up".into() };
    let first = Lock::acquire(&path, &holder, Patience::Refuse).unwrap();
    match Lock::acquire(&path, &holder, Patience::Refuse) {
        Err(LockError::Held(Some(found))) => assert_eq!(found, holder),
        other => panic!("{other:?}"),
    }
    let waiting = std::thread::spawn({
        let (path, holder) = (path.clone(), holder.clone());
        move || Lock::acquire(&path, &holder, Patience::Wait).map(drop)
    });
    drop(first);
    waiting.join().unwrap().unwrap();
    assert!(Lock::acquire(&path, &holder, Patience::Refuse).is_ok());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn projects_and_engines_have_their_own() {
    let name = |text| Name::new(text).unwrap();
    let one = path(Path::new("/run/fly"), &name("shop"), "a");
    assert_ne!(one, path(Path::new("/run/fly"), &name("shop"), "b"));
    assert_ne!(one, path(Path::new("/run/fly"), &name("shop2"), "a"));
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    let directory = directory("link");
    std::fs::create_dir_all(&directory).unwrap();
    let target = directory.join("target");
    std::fs::write(&target, "precious").unwrap();
    let path = directory.join("a.lock");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let holder = Holder { pid: 1, command: "fly up".into() };
    assert!(matches!(Lock::acquire(&path, &holder, Patience::Refuse), Err(LockError::Io { .. })));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
    std::fs::remove_dir_all(directory).unwrap();
}
