//! Routes, gateways and policy rules, each as `ip route` and `ip rule` write them, or with keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::model::{Gateway, RouteSpec, RuleSpec};
use super::node::{Body, Node, Part};
use super::reader::{Form, Key, Reader, key};
use super::scalars::{self, ADDRESS, BOOL};
use super::schema;
use crate::diag::{At, Diagnostic};
use crate::types::{FwMark, RouteKind, Scope, Table};

pub(super) const GATEWAYS: Form<Vec<At<Option<Gateway>>>> = Form {
    schema: || {
        let short =
            schema::described(schema::matching("none|[0-9a-fA-F.:]+( +metric +[0-9]+)?"), "As in `10.0.0.1`, or `10.0.0.1 metric 100`");
        schema::one_or_more(schema::any(vec![short, schema::object(&[GATEWAY_KEYS], &["via"])]))
    },
    read: |r, node| {
        let gateways = match &node.body {
            Body::Map(_) => Some(vec![gateway(r, node)?]),
            _ => r.one_or_more(node, ADDRESS, gateway),
        }?;
        if gateways.len() > 1
            && let Some(none) = gateways.iter().find(|gateway| gateway.value.is_none())
        {
            let error = Diagnostic::invalid("`none` cannot stand beside an address").at(&none.place);
            r.push(error.hint("`gateway: none`, or addresses alone"));
            return None;
        }
        Some(gateways)
    },
};

#[derive(Default)]
struct GatewayDraft {
    via: Option<At<IpAddr>>,
    metric: Option<At<u32>>,
}

const GATEWAY_KEYS: &[Key<GatewayDraft>] = &[
    key!(via: scalars::IP, "The router's address"),
    key!(metric: METRIC, "Of several the one with the lowest is taken. Default: 0, and with IPv6 1024"),
];

fn gateway(r: &mut Reader, node: &Node) -> Option<At<Option<Gateway>>> {
    let mut draft = GatewayDraft::default();
    if let Body::Map(entries) = &node.body {
        r.keys(node, "a gateway", &[GATEWAY_KEYS], &mut draft);
        if !entries.iter().any(|(key, _)| key.value == "via") {
            r.missing(&node.place, "a gateway", "via");
        }
        let via = draft.via?;
        return Some(At::new(Some(Gateway { via: via.value, metric: draft.metric.map(|metric| metric.value) }), via.place));
    }
    let part = r.words(node, ADDRESS)?;
    if part.text == "none" {
        return Some(part.at(None));
    }
    match part.words().as_slice() {
        [via, word, metric] if word.text == "metric" => {
            let (via, metric) = (scalars::address(r, via)?, self::metric(r, metric)?);
            Some(part.at(Some(Gateway { via: via.value, metric: Some(metric.value) })))
        }
        _ => scalars::address(r, &part).map(|via| via.map(|via| Some(Gateway { via, metric: None }))),
    }
}

/// A route before it is known whether its parts fit together.
#[derive(Default)]
struct Draft {
    to: Option<At<Option<IpNet>>>,
    via: Option<At<IpAddr>>,
    metric: Option<At<u32>>,
    table: Option<At<Table>>,
    src: Option<At<IpAddr>>,
    scope: Option<At<Scope>>,
    onlink: Option<At<bool>>,
    kind: Option<At<RouteKind>>,
}

const ROUTE_KEYS: &[Key<Draft>] = &[
    key!(to: DESTINATION, "Where to: a subnet, an address, or `default`"),
    key!(via: scalars::IP, "The next hop. Without one, the destination is on the link itself"),
    key!(metric: METRIC, "Of two routes to one destination the one with the lower metric is taken"),
    key!(table: TABLE, "Its routing table, which a rule sends packets to. Default: `main`"),
    key!(src: scalars::IP, "The address that packets get which the machine itself sends by it"),
    key!(scope: SCOPE, "IPv4 only: `global` or `link`. Default: `link` without a next hop, otherwise `global`"),
    key!(onlink: BOOL, "The next hop is on this link, whatever the card's addresses say"),
    Key {
        name: "type",
        doc: "`blackhole`, `unreachable` or `prohibit`: it leads nowhere",
        schema: KIND.schema,
        read: |r, node, into| into.kind = (KIND.read)(r, node),
    },
];

pub(super) const ROUTES: Form<Vec<At<RouteSpec>>> = Form {
    schema: || {
        let short = schema::matching(r"((unicast|blackhole|unreachable|prohibit) +)?\S+( +(via|metric|table|src|scope) +\S+| +onlink)*");
        schema::list(schema::any(vec![
            schema::described(short, "As in `10.30.0.0/16 via 10.10.0.1`, or `blackhole 10.66.0.0/16`"),
            schema::object(&[ROUTE_KEYS], &["to"]),
        ]))
    },
    read: |r, node| r.list(node, "a list of routes, as `[10.30.0.0/16 via 10.10.0.1]`", route),
};

const DESTINATION: Form<At<Option<IpNet>>> = Form {
    schema: || schema::matching("default|[0-9a-fA-F.:]+(/[0-9]{1,3})?"),
    read: |r, node| {
        let part = r.words(node, "a destination, as `10.30.0.0/16` or `default`")?;
        destination(r, &part)
    },
};

const METRIC: Form<At<u32>> = Form {
    schema: || schema::integer(0, u32::MAX.into()),
    read: |r, node| {
        let part = r.scalar(node, "a metric")?;
        metric(r, &part)
    },
};

fn metric(r: &mut Reader, part: &Part<'_>) -> Option<At<u32>> {
    r.number(part, (0, u32::MAX.into()), "a metric")
}

const TABLE: Form<At<Table>> = Form {
    schema: || schema::any(vec![schema::integer(1, u32::MAX.into()), schema::matching("main|default|local|[0-9]+")]),
    read: |r, node| {
        let part = r.scalar(node, "a routing table, as `100`")?;
        table(r, &part)
    },
};

fn table(r: &mut Reader, part: &Part<'_>) -> Option<At<Table>> {
    r.parse(part, "a routing table, as `100`", "its number, from 1 on, or `main`")
}

/// A route of scope `host` is for the machine's own addresses, which are `ip`'s to say.
const SCOPES: &[(&str, Scope)] = &[("global", Scope::Global), ("link", Scope::Link)];

const SCOPE: Form<At<Scope>> = Form {
    schema: || schema::matching("global|link"),
    read: |r, node| {
        let part = r.words(node, "a scope, as `link`")?;
        r.one_of(&part, SCOPES, "a scope")
    },
};

const KIND: Form<At<RouteKind>> = Form {
    schema: || schema::matching("unicast|blackhole|unreachable|prohibit"),
    read: |r, node| {
        let part = r.words(node, "a type of routes, as `blackhole`")?;
        r.one_of(&part, RouteKind::ALL, "a type of routes")
    },
};

fn destination(r: &mut Reader, part: &Part<'_>) -> Option<At<Option<IpNet>>> {
    if part.text == "default" {
        return Some(part.at(None));
    }
    if let Ok(ip) = part.text.parse::<IpAddr>() {
        return Some(part.at(Some(IpNet::from(ip))));
    }
    scalars::net(r, part).map(|net| net.map(Some))
}

fn route(r: &mut Reader, node: &Node) -> Option<At<RouteSpec>> {
    let mut draft = Draft::default();
    if let Body::Map(entries) = &node.body {
        r.keys(node, "a route", &[ROUTE_KEYS], &mut draft);
        if !entries.iter().any(|(key, _)| key.value == "to") {
            r.missing(&node.place, "a route", "to");
        }
    } else {
        let part = r.words(node, "a route, as `10.30.0.0/16 via 10.10.0.1`")?;
        short_route(r, &part, &mut draft)?;
    }
    whole_route(r, node, draft)
}

fn short_route(r: &mut Reader, part: &Part<'_>, draft: &mut Draft) -> Option<()> {
    const WHAT: &str = "a route, as `10.30.0.0/16 via 10.10.0.1`";
    const KNOWN: &str = "`via`, `src`, `metric`, `table` and `scope`, each with a value, and `onlink` are";
    let words = part.words();
    let mut words = words.iter().peekable();
    if let Some(word) = words.next_if(|word| RouteKind::ALL.iter().any(|(name, _)| *name == word.text)) {
        draft.kind = r.one_of(word, RouteKind::ALL, "a type of routes");
    }
    let Some(to) = words.next() else { return r.bad(part, WHAT) };
    draft.to = destination(r, to);
    while let Some(word) = words.next() {
        if word.text == "onlink" {
            draft.onlink = Some(word.at(true));
            continue;
        }
        if !matches!(word.text, "via" | "metric" | "table" | "src" | "scope") {
            return r.bad_near(word, "part of a route", &["via", "src", "metric", "table", "scope", "onlink"], KNOWN);
        }
        let Some(value) = words.next() else { return r.bad(part, WHAT) };
        match word.text {
            "via" => draft.via = Some(scalars::address(r, value)?),
            "src" => draft.src = Some(scalars::address(r, value)?),
            "metric" => draft.metric = Some(metric(r, value)?),
            "table" => draft.table = Some(table(r, value)?),
            _ => draft.scope = Some(r.one_of(value, SCOPES, "a scope")?),
        }
    }
    Some(())
}

fn whole_route(r: &mut Reader, node: &Node, draft: Draft) -> Option<At<RouteSpec>> {
    let (to, via) = (draft.to?, draft.via);
    let mut one_family = |with: &At<IpAddr>, what: &str, label: &str, key: &str| {
        let same = to.value.is_none_or(|net| net.addr().is_ipv4() == with.value.is_ipv4());
        if !same {
            let error = Diagnostic::invalid(format!("a route and {what} must be of one family")).at(&with.place);
            r.push(error.label(label).also(&to.place, "the destination").hint(format!("`to` and `{key}` both IPv4, or both IPv6")));
        }
        same
    };
    if !via.as_ref().is_none_or(|via| one_family(via, "its next hop", "the next hop", "via")) {
        return None;
    }
    if !draft.src.as_ref().is_none_or(|src| one_family(src, "its source address", "the source address", "src")) {
        return None;
    }
    let via = via.map(|via| via.value);
    // A default route without a next hop stays without a family.
    let default =
        via.map(|via| IpNet::new_assert(if via.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }, 0));
    let route = RouteSpec {
        to: to.value.or(default),
        via,
        metric: draft.metric.map(|m| m.value),
        table: draft.table.map(|table| table.value),
        src: draft.src.map(|src| src.value),
        scope: draft.scope.map(|scope| scope.value),
        onlink: draft.onlink.is_some_and(|onlink| onlink.value),
        kind: draft.kind.map(|kind| kind.value).unwrap_or_default(),
    };
    Some(At::new(route, node.place.clone()))
}

#[derive(Default)]
struct RuleDraft {
    from: Option<At<Option<IpNet>>>,
    to: Option<At<Option<IpNet>>>,
    fwmark: Option<At<FwMark>>,
    iif: Option<At<String>>,
    table: Option<At<Table>>,
    priority: Option<At<u32>>,
}

const RULE_KEYS: &[Key<RuleDraft>] = &[
    key!(from: SELECTOR, "Packets from here: a subnet, an address, or `all`"),
    key!(to: SELECTOR, "Packets to here"),
    key!(fwmark: MARK, "Packets with this mark of a firewall's, as in `0x10` or `0x10/0xff`"),
    key!(iif: IIF, "Packets that came in by this card; `lo` for the machine's own"),
    key!(table: TABLE, "The routing table that they are looked up in"),
    key!(priority: PRIORITY, "Rules with lower ones are asked first. Default: 32765, just before the main table"),
];

pub(super) const RULES: Form<Vec<At<RuleSpec>>> = Form {
    schema: || {
        let short = schema::matching(r"(from|to|fwmark|iif|table|priority) +\S+( +(from|to|fwmark|iif|table|priority) +\S+)*");
        schema::list(schema::any(vec![
            schema::described(short, "As in `from 10.1.0.5 table 100`"),
            schema::object(&[RULE_KEYS], &["table"]),
        ]))
    },
    read: |r, node| r.list(node, "a list of rules, as `[from 10.1.0.5 table 100]`", rule),
};

const SELECTOR: Form<At<Option<IpNet>>> = Form {
    schema: || schema::matching("all|[0-9a-fA-F.:]+(/[0-9]{1,3})?"),
    read: |r, node| {
        let part = r.words(node, "addresses, as `10.1.0.0/24` or `all`")?;
        selector(r, &part)
    },
};

fn selector(r: &mut Reader, part: &Part<'_>) -> Option<At<Option<IpNet>>> {
    if part.text == "all" {
        return Some(part.at(None));
    }
    match part.text.parse::<IpAddr>() {
        Ok(ip) => Some(part.at(Some(IpNet::from(ip)))),
        Err(_) => scalars::net(r, part).map(|net| net.map(Some)),
    }
}

const MARK: Form<At<FwMark>> = Form {
    schema: || {
        schema::any(vec![schema::integer(0, u32::MAX.into()), schema::matching("(0x[0-9a-fA-F]+|[0-9]+)(/(0x[0-9a-fA-F]+|[0-9]+))?")])
    },
    read: |r, node| {
        let part = r.scalar(node, "a firewall mark, as `0x10`")?;
        mark(r, &part)
    },
};

fn mark(r: &mut Reader, part: &Part<'_>) -> Option<At<FwMark>> {
    r.parse(part, "a firewall mark, as `0x10`", "a number, or a number and the mask that it counts under: `0x10/0xff`")
}

const IIF: Form<At<String>> = Form {
    schema: || schema::matching(super::nic::IFNAME_PATTERN),
    read: |r, node| {
        let part = r.words(node, "the name of a network card")?;
        scalars::ifname(r, &part, "the name of a network card")
    },
};

const PRIORITY: Form<At<u32>> = Form {
    schema: || schema::integer(1, u32::MAX.into()),
    read: |r, node| {
        let part = r.scalar(node, "a priority")?;
        priority(r, &part)
    },
};

fn priority(r: &mut Reader, part: &Part<'_>) -> Option<At<u32>> {
    r.number(part, (1, u32::MAX.into()), "a priority")
}

fn rule(r: &mut Reader, node: &Node) -> Option<At<RuleSpec>> {
    let mut draft = RuleDraft::default();
    let lost = r.lost;
    if let Body::Map(_) = &node.body {
        r.keys(node, "a rule", &[RULE_KEYS], &mut draft);
    } else {
        let part = r.words(node, "a rule, as `from 10.1.0.5 table 100`")?;
        short_rule(r, &part, &mut draft)?;
    }
    if r.lost != lost {
        return None;
    }
    if draft.table.is_none() {
        r.missing(&node.place, "a rule", "table");
        return None;
    }
    let (from, to) = (draft.from.and_then(|from| from.value), draft.to.and_then(|to| to.value));
    if let (Some(from), Some(to)) = (from, to)
        && from.addr().is_ipv4() != to.addr().is_ipv4()
    {
        let error = Diagnostic::invalid("`from` and `to` of a rule must be of one family").at(&node.place);
        r.push(error.hint("both IPv4, or both IPv6: a rule for each"));
        return None;
    }
    let rule = RuleSpec {
        from,
        to,
        fwmark: draft.fwmark.map(|mark| mark.value),
        iif: draft.iif.map(|iif| iif.value),
        table: draft.table.map(|table| table.value),
        priority: draft.priority.map(|priority| priority.value),
    };
    Some(At::new(rule, node.place.clone()))
}

fn short_rule(r: &mut Reader, part: &Part<'_>, draft: &mut RuleDraft) -> Option<()> {
    let words = part.words();
    for pair in words.chunks(2) {
        let [word, value] = pair else { return r.bad(part, "a rule, as `from 10.1.0.5 table 100`") };
        match word.text {
            "from" => draft.from = Some(selector(r, value)?),
            "to" => draft.to = Some(selector(r, value)?),
            "fwmark" => draft.fwmark = Some(mark(r, value)?),
            "iif" => draft.iif = Some(scalars::ifname(r, value, "the name of a network card")?),
            "table" | "lookup" => draft.table = Some(table(r, value)?),
            "priority" | "pref" => draft.priority = Some(priority(r, value)?),
            _ => {
                return r.bad_near(
                    word,
                    "part of a rule",
                    &["from", "fwmark", "iif", "table", "priority"],
                    "`from`, `to`, `fwmark`, `iif`, `table` and `priority` are, each with a value",
                );
            }
        }
    }
    if words.is_empty() { r.bad(part, "a rule, as `from 10.1.0.5 table 100`") } else { Some(()) }
}
