//! What a client that is logged in can make the server hold, and what it keeps when everybody has gone.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use super::abuse::resident;
use super::lab::{Guest, noise, run_with};
use super::raw::{log_in, n, open_session, s};

/// The pages that are the server's own, in kB: those of the program's file come and go.
fn own(guest: &Guest) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", guest.server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_a_transfer_has_needed_is_given_back() {
    let guest = Guest::start();
    assert!(guest.ssh(&[], "true").status.success());
    // It looks every two seconds whether everybody has gone.
    std::thread::sleep(Duration::from_secs(3));
    let before = own(&guest);
    let sent = noise(20_000_000);
    assert_eq!(run_with(guest.ssh_with("id", &[]).arg("cat").stderr(Stdio::null()), &sent).stdout.len(), sent.len());
    guest.until(&format!("no more than the {before} kB of before"), || own(&guest) < before + 1024);
}

/// A window bounds bytes, not packets: each of them is held with what belongs to it.
#[test]
fn a_byte_at_a_time_costs_no_more_than_many() {
    let guest = Guest::start();
    let (mut to, mut from) = log_in(&guest);
    let channel = n(open_session(&mut to, &mut from));
    to.say(&[&[98][..], &channel, &s("exec"), &[0], &s("sleep 100")].concat()).unwrap();
    std::thread::spawn(move || while from.hear().is_ok() {});
    let before = resident(&guest);
    to.patience(Duration::from_secs(2));
    let byte = [&[94][..], &channel, &s("x")].concat();
    let said = (0..500_000).take_while(|_| to.say(&byte).is_ok()).count();
    let after = resident(&guest);
    assert!(after < before + 12 * 1024, "{before} kB before, {after} kB after {said} packets");
    assert!(guest.ssh(&[], "true").status.success());
}
