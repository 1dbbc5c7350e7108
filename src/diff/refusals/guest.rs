//! Guests that could not become root, which they are to be where a machine's own program is somebody else.

use std::collections::BTreeSet;

use crate::actual::Actual;
use crate::desired::Machine;
use crate::diag::Diagnostic;
use crate::engine::InRegistry;
use crate::types::{Name, is_no_new_privileges};

/// Without it, whoever starts the ssh server cannot make it root's. What SETGID is needed for depends on the user's groups.
const RIGHT: &str = "SETUID";

pub(super) fn refusal(actual: &Actual, name: &Name, machine: &Machine) -> Option<Diagnostic> {
    let (guest, container) = (machine.guest.as_ref()?, &machine.container);
    let image = actual.engine.images.get(&container.image).filter(|image| !matches!(image.registry, Some(InRegistry::Other(_))));
    let of_image = image.and_then(|image| image.defaults.user.as_deref());
    let user = container.user.as_deref().or(of_image).filter(|user| !is_root(user))?;
    let (key, message, way) = if container.security_opt.iter().any(|option| is_no_new_privileges(option)) {
        let message = format!("`{name}` is to have fly's guest, which `no-new-privileges` keeps from becoming root");
        ("security_opt", message, "leave `no-new-privileges` out")
    } else {
        let has = |set: &BTreeSet<String>, word: &str| set.contains(word);
        let (add, drop) = (&container.cap_add, &container.cap_drop);
        let is_kept = has(add, RIGHT) || has(add, "ALL") && !has(drop, RIGHT) || !has(drop, RIGHT) && !has(drop, "ALL");
        guest.config.sshd.as_ref().filter(|_| !container.privileged && !is_kept)?;
        let message = format!("the ssh server of `{name}` is to be root's, and `cap_drop` takes {RIGHT} from this machine");
        ("cap_drop", message, "`cap_add: [SETUID, SETGID]` gives them back")
    };
    let mut error = Diagnostic::invalid(message).at_some(machine.places.of(key));
    let is_in_file = container.user.is_some();
    if let Some(place) = machine.places.of("user").filter(|_| is_in_file) {
        error = error.also(place, "the machine's program, and so its first process, is not root");
    }
    let whose = if is_in_file { "`user`".to_owned() } else { format!("image `{}`", container.image) };
    let error = error.cause(format!("{whose} says that the machine's program runs as `{user}`, and so the guest starts as that user"));
    Some(error.hint(way).hint("`guest: false`, without `sshd`, leaves the image alone"))
}

fn is_root(user: &str) -> bool {
    matches!(user.split(':').next(), Some("root" | "0" | ""))
}
