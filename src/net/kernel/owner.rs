//! Whose a link in the host's namespace is.

use super::read::RawLink;
use crate::types::{IfName, Mac, Name, Owner, is_link_group, link_group};

const PREFIX: &str = "fly";

/// Name and group are what fly gives every link of its own in the creating message, so they are there even if fly was killed
/// right after it.
pub(super) fn has_our_marks(link: &RawLink) -> bool {
    link.name.starts_with(PREFIX) && link.name.len() == IfName::MAX && is_link_group(link.group)
}

pub(super) fn of_host_link(link: &RawLink, project: &Name) -> Owner {
    if !has_our_marks(link) || !link.mac.is_some_and(Mac::is_automatic) {
        return Owner::Stranger;
    }
    let named = |alias: &str| alias.strip_prefix("fly:").and_then(|rest| rest.split_once('/')).and_then(|(name, _)| Name::new(name).ok());
    let is_ours = link.group == link_group(project);
    match link.alias.as_deref().map(named) {
        // The alias comes second, so a link without one was left behind half made, or is just being made.
        None if is_ours => Owner::Ours,
        Some(Some(named)) if is_ours && named == *project => Owner::Ours,
        Some(Some(named)) if named != *project => Owner::Project(named),
        _ => Owner::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::host_link_name;

    #[test]
    fn all_marks_or_a_stranger() {
        let shop = Name::new("shop").unwrap();
        let ours = RawLink {
            name: host_link_name(&shop, "network/back"),
            group: link_group(&shop),
            mac: Some(Mac::automatic("back")),
            alias: Some("fly:shop/back".into()),
            ..RawLink::default()
        };
        assert_eq!(of_host_link(&ours, &shop), Owner::Ours);
        assert_eq!(of_host_link(&RawLink { alias: None, ..ours.clone() }, &shop), Owner::Ours);
        let other = Name::new("other").unwrap();
        let theirs = RawLink { group: link_group(&other), alias: Some("fly:other/back".into()), ..ours.clone() };
        assert_eq!(of_host_link(&theirs, &shop), Owner::Project(other));
        // Just being made: not ours to clear away.
        assert_eq!(of_host_link(&RawLink { alias: None, ..theirs }, &shop), Owner::Stranger);
        for stranger in [
            RawLink { alias: Some("hello".into()), ..ours.clone() },
            RawLink { group: 0, ..ours.clone() },
            RawLink { name: "flyover".into(), ..ours.clone() },
            RawLink { mac: None, ..ours },
        ] {
            assert_eq!(of_host_link(&stranger, &shop), Owner::Stranger, "{stranger:?}");
        }
    }
}
