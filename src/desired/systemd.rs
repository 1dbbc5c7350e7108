//! `init: systemd`: what a container needs for systemd to be its first process. Whether the engine can give it is asked later.

use super::work::{Errors, Group};
use crate::diag::Diagnostic;
use crate::spec::Init;
use crate::types::Container;

/// systemd wants these in memory, and empty at every start. The engine's own way would be open to everybody, and without programs.
const TMPFS: [(&str, &str); 3] = [("/run", "mode=755"), ("/run/lock", ""), ("/tmp", "exec,mode=1777")];
const PROGRAM: &str = "/sbin/init";
/// By which systemd is asked to halt.
const STOP_SIGNAL: &str = "SIGRTMIN+3";
/// It makes cgroups of its own, in its own part of the tree.
const WRITABLE_CGROUPS: &str = "writable-cgroups=true";
/// As another user it takes itself for that user's own manager.
const ROOT: &str = "0";

pub(super) fn is_wanted(group: &Group) -> bool {
    group.spec.init.as_ref().is_some_and(|init| init.value == Init::Systemd)
}

/// What the file says itself stays as it is.
pub(super) fn prepare(group: &Group, container: &mut Container, errors: &mut Errors) {
    let Some(init) = group.spec.init.as_ref().filter(|_| is_wanted(group)) else { return };
    let is_root = |user: &str| matches!(user.split(':').next(), Some("root" | "0"));
    if let Some(user) = group.spec.user.as_ref().filter(|user| !is_root(&user.value)) {
        let error = Diagnostic::invalid(format!("systemd, as the first process, is root, and `user` is `{}`", user.value)).at(&user.place);
        errors.push(error.also(&init.place, "`init` is set here").hint("`User=` in a unit says who runs a service"));
    }
    container.user.get_or_insert_with(|| ROOT.to_owned());
    if container.command.is_none() && container.entrypoint.is_none() {
        (container.entrypoint, container.command) = (Some(vec![]), Some(vec![PROGRAM.to_owned()]));
    }
    for (place, options) in TMPFS {
        if !container.mounts.contains_key(place) {
            container.tmpfs.entry(place.to_owned()).or_insert_with(|| options.to_owned());
        }
    }
    container.environment.entry("container".to_owned()).or_insert_with(|| "docker".to_owned());
    container.stop_signal.get_or_insert_with(|| STOP_SIGNAL.to_owned());
    let said = |option: &String| option.split(['=', ':']).next() == WRITABLE_CGROUPS.split('=').next();
    if !container.security_opt.iter().any(said) {
        container.security_opt.insert(WRITABLE_CGROUPS.to_owned());
    }
}
