//! Limits and signals: quantities that the engine would refuse are refused here.

use super::work::Errors;
use crate::diag::{At, Diagnostic};
use crate::spec;
use crate::types::{Bytes, Limits};

/// The engine's own minimum: below, nothing starts.
const MIN_MEMORY: Bytes = Bytes(6 << 20);

/// The kernel's numbers on all architectures that fly runs on.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
    "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

pub(super) fn resolve(machine: &spec::Machine, errors: &mut Errors) -> Limits {
    if let Some(cpus) = machine.cpus.as_ref().filter(|cpus| cpus.value.0 == 0) {
        errors.push(Diagnostic::invalid("`cpus` is more than 0").at(&cpus.place).hint("`cpus: 0.5`, or no `cpus` for no limit"));
    }
    if let Some(memory) = machine.memory.as_ref().filter(|memory| memory.value < MIN_MEMORY) {
        let message = format!("`memory` is at least {MIN_MEMORY}, below which the engine starts nothing, not {}", memory.value);
        errors.push(Diagnostic::invalid(message).at(&memory.place).hint("memory: 64M"));
    }
    if let Some(cpuset) = &machine.cpuset {
        check_cpuset(cpuset, errors);
    }
    if let Some(size) = machine.shm_size.as_ref().filter(|size| size.value.0 == 0) {
        errors.push(Diagnostic::invalid("`shm_size` is more than 0").at(&size.place).hint("shm_size: 64M"));
    }
    for (name, ulimit) in machine.ulimits.iter().flat_map(|entries| &entries.0) {
        let (soft, hard) = (ulimit.soft, ulimit.hard);
        let above = hard != -1 && (soft == -1 || soft > hard);
        if above || soft < -1 || hard < -1 {
            let message = format!("the soft limit of `{}` is at most the hard one: {soft} and {hard}", name.value);
            errors.push(Diagnostic::invalid(message).at(&ulimit.place).hint("`-1` is without limit"));
        }
    }
    Limits {
        cpus: machine.cpus.as_ref().map(|cpus| cpus.value),
        cpuset: machine.cpuset.as_ref().map(|cpuset| cpuset.value.clone()),
        memory: machine.memory.as_ref().map(|memory| memory.value),
        // The engine takes 0 for unlimited, too.
        pids: machine.pids_limit.as_ref().and_then(|pids| pids.value).filter(|pids| *pids > 0),
    }
}

fn check_cpuset(cpuset: &At<String>, errors: &mut Errors) {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let part = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    };
    if !cpuset.value.split(',').all(part) {
        let message = format!("`{}` is not a set of processors", cpuset.value);
        errors.push(Diagnostic::invalid(message).at(&cpuset.place).hint("cpuset: \"0-3,5\""));
    }
}

/// `TERM`, `sigterm` or `15` as `SIGTERM`.
pub(super) fn signal(text: &At<String>, errors: &mut Errors) -> Option<String> {
    let found = named(&text.value);
    if found.is_none() {
        let upper = text.value.trim().to_ascii_uppercase();
        let near = crate::diag::similar(upper.strip_prefix("SIG").unwrap_or(&upper), SIGNALS);
        let hint = format!("stop_signal: SIG{}", near.unwrap_or("TERM"));
        errors.push(Diagnostic::invalid(format!("`{}` is not a signal", text.value)).at(&text.place).hint(hint));
    }
    found
}

fn named(text: &str) -> Option<String> {
    let upper = text.trim().to_ascii_uppercase();
    if let Ok(number) = upper.parse::<u8>() {
        return match number {
            1..=31 => Some(format!("SIG{}", SIGNALS[usize::from(number) - 1])),
            RTMIN => Some("SIGRTMIN".to_owned()),
            RTMAX => Some("SIGRTMAX".to_owned()),
            35..RTMAX => Some(format!("SIGRTMIN+{}", number - RTMIN)),
            _ => None,
        };
    }
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |text: &str| text.parse::<u8>().is_ok_and(|n| (1..=RTMAX - RTMIN).contains(&n));
    let real_time = matches!(name, "RTMIN" | "RTMAX")
        || name.strip_prefix("RTMIN+").is_some_and(offset)
        || name.strip_prefix("RTMAX-").is_some_and(offset);
    (real_time || SIGNALS.contains(&name)).then(|| format!("SIG{name}"))
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn signals_have_one_form() {
        for (text, signal) in
            [("TERM", "SIGTERM"), ("sigint", "SIGINT"), ("15", "SIGTERM"), ("37", "SIGRTMIN+3"), ("RTMIN+3", "SIGRTMIN+3")]
        {
            assert_eq!(named(text).as_deref(), Some(signal), "{text}");
        }
        for text in ["", "SIG", "0", "32", "65", "TREM", "RTMIN+99"] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
