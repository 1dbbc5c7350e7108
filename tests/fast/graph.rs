//! Pictures: what stands in them, and that nothing in the drawing of our own lies over something else.

use std::collections::BTreeMap;

use fly::desired::{self, Context, Desired};
use fly::graph::Graph;
use fly::spec;

fn resolved(text: &str) -> Desired {
    let spec = spec::parse("fly.yml", text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{errors:#?}"));
    desired::resolve(&spec, &Context { directory: "/srv/shop".into(), ..Context::default() }).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

const SHOP: &str = r#"
name: shop
defaults: {image: "debian:12"}
networks:
  lan: {parent: eth1, subnet: 192.168.77.0/24, host_ip: 192.168.77.99, pool: 192.168.77.100-192.168.77.199}
  back: {subnet: [10.10.0.0/24, "fd00:10::/64"]}
  out: {kind: nat, subnet: 10.30.0.0/24}
machines:
  web: {nics: {eth0: {network: lan, ip: 192.168.77.10}, eth1: {network: back, ip: [10.10.0.5, "fd00:10::5"]}, eth2: {network: out, ip: 10.30.0.9}}}
  db: {nics: {"eth<\"&0": {network: back, ip: [10.10.0.6, "fd00:10::6"]}}}
  on-host: {network_mode: host}
links:
  - ends: [{nic: "web:eth5", ip: 10.99.0.1/30}, {nic: "db:eth5", ip: 10.99.0.2/30}]
"#;

#[test]
fn mermaid() {
    insta::assert_snapshot!(Graph::of(&resolved(SHOP)).mermaid(), @r##"
    flowchart LR
      n0(["back<br/>bridge<br/>10.10.0.0/24<br/>fd00:10::/64"])
      n1(["lan<br/>macvlan on eth1<br/>192.168.77.0/24<br/>host 192.168.77.99"])
      n2(["out<br/>nat<br/>10.30.0.0/24"])
      m0["db<br/>debian:12"]
      m1["on-host<br/>debian:12<br/>network_mode host"]
      m2["web<br/>debian:12"]
      m0 ---|"eth#60;#34;#38;0<br/>10.10.0.6/24<br/>fd00:10::6/64"| n0
      m2 ---|"eth0<br/>192.168.77.10/24"| n1
      m2 ---|"eth1<br/>10.10.0.5/24<br/>fd00:10::5/64"| n0
      m2 ---|"eth2<br/>10.30.0.9/24"| n2
      m0 ===|"eth5 10.99.0.2/30<br/>eth5 10.99.0.1/30"| m2
    "##);
}

#[test]
fn dot() {
    insta::assert_snapshot!(Graph::of(&resolved(SHOP)).dot(), @r##"
    graph "shop" {
      graph [rankdir=LR, splines=true];
      node [fontname="sans-serif", fontsize=11];
      edge [fontname="sans-serif", fontsize=9];
      "network/back" [shape=ellipse, label="back\nbridge\n10.10.0.0/24\nfd00:10::/64"];
      "network/lan" [shape=ellipse, label="lan\nmacvlan on eth1\n192.168.77.0/24\nhost 192.168.77.99"];
      "network/out" [shape=ellipse, label="out\nnat\n10.30.0.0/24"];
      "machine/db" [shape=box, label="db\ndebian:12"];
      "machine/on-host" [shape=box, label="on-host\ndebian:12\nnetwork_mode host"];
      "machine/web" [shape=box, label="web\ndebian:12"];
      "machine/db" -- "network/back" [label="eth<\"&amp;0\n10.10.0.6/24\nfd00:10::6/64"];
      "machine/web" -- "network/lan" [label="eth0\n192.168.77.10/24"];
      "machine/web" -- "network/back" [label="eth1\n10.10.0.5/24\nfd00:10::5/64"];
      "machine/web" -- "network/out" [label="eth2\n10.30.0.9/24"];
      "machine/db" -- "machine/web" [style=bold, label="eth5 10.99.0.2/30\neth5 10.99.0.1/30"];
    }
    "##);
}

/// Left, top, right, bottom.
type Area = [f64; 4];

/// The value of an attribute of an element that stands on a line of its own.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(&format!(" {name}=\""))?.1.split('"').next()
}

fn number(line: &str, name: &str) -> f64 {
    attribute(line, name).unwrap_or_else(|| panic!("{name} in {line}")).parse().unwrap()
}

/// What a browser covers with a text of 12 pixels in a font whose characters are 0.6 wide, as monospaced ones are.
fn text_area(line: &str) -> Area {
    let text = line.split_once('>').unwrap().1.trim_end_matches("</text>");
    let text = text.replace("&lt;", "<").replace("&quot;", "\"").replace("&amp;", "&");
    let width = f64::from(u32::try_from(text.chars().count()).unwrap()) * 12.0 * 0.61;
    let (x, y) = (number(line, "x"), number(line, "y"));
    let left = if attribute(line, "text-anchor") == Some("middle") { x - width / 2.0 } else { x };
    [left, y - 10.0, left + width, y + 3.0]
}

/// Straight lines and the pieces of paths.
fn strokes(svg: &str) -> Vec<Area> {
    let mut found: Vec<Area> = svg
        .lines()
        .filter(|line| line.starts_with("<line "))
        .map(|line| [number(line, "x1"), number(line, "y1"), number(line, "x2"), number(line, "y2")])
        .collect();
    for line in svg.lines().filter(|line| line.starts_with("<path ")) {
        let (mut x, mut y) = (0.0, 0.0);
        let words: Vec<&str> = attribute(line, "d").unwrap().split(' ').collect();
        for (at, word) in words.iter().enumerate() {
            let value = |text: &str| text.trim_start_matches(char::is_alphabetic).parse::<f64>().unwrap();
            let (from_x, from_y) = (x, y);
            match &word[..1] {
                "M" => (x, y) = (value(word), value(words[at + 1])),
                "V" => y = value(word),
                "H" => x = value(word),
                _ => continue,
            }
            if &word[..1] != "M" {
                found.push([f64::min(from_x, x), f64::min(from_y, y), f64::max(from_x, x), f64::max(from_y, y)]);
            }
        }
    }
    found
}

fn meet(a: &Area, b: &Area) -> bool {
    a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]
}

/// No text lies over another, or is crossed by a line, and all are within the picture.
fn is_tidy(svg: &str) {
    let texts: Vec<(&str, Area)> = svg.lines().filter(|line| line.starts_with("<text ")).map(|line| (line, text_area(line))).collect();
    let frame = svg.lines().next().unwrap();
    let (width, height) = (number(frame, "width"), number(frame, "height"));
    for (at, (line, area)) in texts.iter().enumerate() {
        assert!(area[0] >= 0.0 && area[1] >= 0.0 && area[2] <= width && area[3] <= height, "{line}");
        for (other, its) in &texts[at + 1..] {
            assert!(!meet(area, its), "{line}\n{other}");
        }
        for stroke in strokes(svg) {
            let thick = [stroke[0] - 3.0, stroke[1] - 3.0, stroke[2] + 3.0, stroke[3] + 3.0];
            assert!(!meet(area, &thick), "{line} is crossed by {stroke:?}");
        }
    }
}

#[test]
fn the_drawing_is_tidy_whatever_is_drawn() {
    let svg = Graph::of(&resolved(SHOP)).svg();
    is_tidy(&svg);
    for text in
        ["web", "macvlan on eth1", "host 192.168.77.99", "fd00:10::5/64", "db:eth5-web:eth5", "eth&lt;&quot;&amp;0", "network_mode host"]
    {
        assert!(svg.contains(&format!(">{text}</text>")), "{text} in {svg}");
    }
    // Three lines go down to networks from `web`, and one from `db`; the cable is one.
    assert_eq!((svg.matches("<circle ").count(), svg.matches("<path ").count()), (4, 1));
    let head = "name: many\ndefaults: {image: a}\nnetworks: {a: {subnet: 10.0.0.0/16}, b: {}, c: {}}\nmachines:\n";
    let machines: String = (0..40).map(|n| format!("  machine-{n}: {{nics: {{eth0: a, eth1: b, eth2: c}}}}\n")).collect();
    let cables: String = (0..40).map(|n| format!("  - [machine-{n}:up, machine-{}:down]\n", (n + 7) % 40)).collect();
    is_tidy(&Graph::of(&resolved(&format!("{head}{machines}links:\n{cables}"))).svg());
    is_tidy(&Graph::of(&resolved("name: nothing\n")).svg());
}
