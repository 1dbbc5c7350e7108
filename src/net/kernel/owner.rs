//! Whose a link in the host's namespace is.

use super::read::RawLink;
use crate::types::{IfName, LINK_GROUP, Mac, Name, Owner, is_host_link_of};

const PREFIX: &str = "fly";

/// Name and group are what fly gives every link of its own in the creating message, so they are there even if fly was killed
/// right after it.
pub(super) fn has_our_marks(link: &RawLink) -> bool {
    link.name.starts_with(PREFIX) && link.name.len() == IfName::MAX && link.group == LINK_GROUP
}

pub(super) fn of_host_link(link: &RawLink, project: &Name) -> Owner {
    if !has_our_marks(link) || !link.mac.is_some_and(Mac::is_automatic) {
        return Owner::Stranger;
    }
    // The alias comes second, so a link without one was left behind half made, or is being made just now: whose it is, is seen
    // by its name alone.
    let Some(alias) = &link.alias else {
        return if is_host_link_of(project, &link.name) { Owner::Ours } else { Owner::Stranger };
    };
    let named = alias.strip_prefix("fly:").and_then(|rest| rest.split_once('/')).and_then(|(name, _)| Name::new(name).ok());
    match named {
        Some(named) if named == *project => Owner::Ours,
        Some(named) => Owner::Project(named),
        None => Owner::Stranger,
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
            group: LINK_GROUP,
            mac: Some(Mac::automatic("back")),
            alias: Some("fly:shop/back".into()),
            ..RawLink::default()
        };
        assert_eq!(of_host_link(&ours, &shop), Owner::Ours);
        assert_eq!(of_host_link(&RawLink { alias: None, ..ours.clone() }, &shop), Owner::Ours);
        // Half made, by somebody else who is at it at this moment.
        let others = host_link_name(&Name::new("other").unwrap(), "network/back");
        assert_eq!(of_host_link(&RawLink { alias: None, name: others, ..ours.clone() }, &shop), Owner::Stranger);
        let other = RawLink { alias: Some("fly:other/back".into()), ..ours.clone() };
        assert_eq!(of_host_link(&other, &shop), Owner::Project(Name::new("other").unwrap()));
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
