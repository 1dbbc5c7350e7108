//! What a machine still lacks before its program may start.

use super::addresses;
use super::settings::Settings;

/// In words; empty: everything is there.
pub(super) fn missing(settings: &Settings) -> Vec<String> {
    let Some(config) = &settings.config else {
        return if settings.are_awaited() { vec!["fly has not said which cards there are to be".to_owned()] } else { vec![] };
    };
    if config.nics.is_empty() {
        return vec![];
    }
    let there = match addresses::all() {
        Ok(there) => there,
        Err(error) => return vec![format!("the kernel does not say which addresses there are: {error}")],
    };
    let mut missing = vec![];
    for (name, wanted) in &config.nics {
        let Some(found) = addresses::index(name.as_str()) else {
            missing.push(format!("there is no {name}"));
            continue;
        };
        missing.extend(wanted.iter().filter(|net| !there.contains(&(found, **net))).map(|net| format!("{name} has no {net}")));
    }
    missing
}
