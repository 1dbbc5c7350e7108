//! Whose a link in the host's namespace is.

use std::collections::BTreeSet;

use super::read::RawLink;
use crate::types::{IfName, LINK_GROUP, Mac, Name, Origin, Owner, host_link_name, is_host_link_of};

const PREFIX: &str = "fly";

/// Name and group are what fly gives every link of its own in the creating message, so they are there even if fly was killed
/// right after it. If somebody has set the group since, the alias says as much where it and the name are of one thing.
pub(super) fn has_our_marks(link: &RawLink) -> bool {
    if link.kind == "vlan" {
        return link.group == LINK_GROUP;
    }
    link.name.starts_with(PREFIX) && link.name.len() == IfName::MAX && (link.group == LINK_GROUP || of_alias(link).is_some())
}

/// All marks there are; or name and alias, which only fly makes agree, and one more of the others: that one differs is drift.
pub(super) fn of_host_link(link: &RawLink, project: &Name) -> Owner {
    if link.kind == "vlan" {
        return of_vlan(link, project);
    }
    // A card of the host's that the kernel has put there, because the machine that had it has ended.
    if let Some(origin) = Origin::of(link.alias.as_deref()) {
        return if origin.project == *project { Owner::Ours } else { Owner::Project(origin.project) };
    }
    let (group, mac) = (link.group == LINK_GROUP, link.mac.is_some_and(Mac::is_automatic));
    let named = |name: &Name| if name == project { Owner::Ours } else { Owner::Project(name.clone()) };
    if !(has_our_marks(link) && group && mac) {
        return of_alias(link).filter(|_| group || mac).map_or(Owner::Stranger, |name| named(&name));
    }
    // The alias comes second, so a link without one was left behind half made, or is being made just now: whose it is, is seen
    // by its name alone.
    let Some(alias) = &link.alias else {
        return if is_host_link_of(project, &link.name) { Owner::Ours } else { Owner::Stranger };
    };
    project_in(alias).map_or(Owner::Stranger, |(name, _)| named(&name))
}

/// A VLAN is shared: fly's by its group, and whose by who uses it. One that nobody uses is left behind half made, or half removed.
fn of_vlan(link: &RawLink, project: &Name) -> Owner {
    let mut users = users(link).into_iter().map(|(user, _)| user);
    match (link.group == LINK_GROUP, users.next()) {
        (false, _) => Owner::Stranger,
        (true, None) => Owner::Ours,
        (true, Some(first)) if first == *project || users.any(|user| user == *project) => Owner::Ours,
        (true, Some(first)) => Owner::Project(first),
    }
}

/// The alternative name by which a link says that a network of a project uses it.
pub(super) fn mark(project: &Name, network: &Name) -> String {
    format!("fly:{project}:{network}")
}

/// The projects and networks that use a link without having it for themselves.
pub(super) fn users(link: &RawLink) -> BTreeSet<(Name, Name)> {
    let user = |altname: &String| {
        let (project, network) = altname.strip_prefix("fly:")?.split_once(':')?;
        Some((Name::new(project).ok()?, Name::new(network).ok()?))
    };
    link.altnames.iter().filter_map(user).collect()
}

/// `fly:PROJECT/NETWORK` or `fly:PROJECT/MACHINE/CARD`.
fn project_in(alias: &str) -> Option<(Name, &str)> {
    let (name, rest) = alias.strip_prefix("fly:")?.split_once('/')?;
    Some((Name::new(name).ok()?, rest))
}

/// The project in the alias, if the link's name is the one that fly gives what the alias says.
fn of_alias(link: &RawLink) -> Option<Name> {
    let (project, rest) = project_in(link.alias.as_deref()?)?;
    let named = match rest.split_once('/') {
        Some((machine, card)) => vec![format!("nic/{machine}:{card}")],
        None => vec![format!("network/{rest}"), format!("vxlan/{rest}")],
    };
    named.iter().any(|what| host_link_name(&project, what) == link.name).then_some(project)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Somebody has set one of them.
        for drifted in [RawLink { group: 0, ..ours.clone() }, RawLink { mac: None, ..ours.clone() }] {
            assert_eq!(of_host_link(&drifted, &shop), Owner::Ours, "{drifted:?}");
            assert!(has_our_marks(&drifted));
        }
        let elsewhere = host_link_name(&shop, "network/front");
        for stranger in [
            RawLink { alias: Some("hello".into()), ..ours.clone() },
            RawLink { group: 0, mac: None, ..ours.clone() },
            RawLink { group: 0, alias: None, ..ours.clone() },
            RawLink { group: 0, name: elsewhere.clone(), ..ours.clone() },
            RawLink { mac: None, name: elsewhere, ..ours.clone() },
            RawLink { name: "flyover".into(), ..ours },
        ] {
            assert_eq!(of_host_link(&stranger, &shop), Owner::Stranger, "{stranger:?}");
        }
    }
}
