//! Pictures, as other programs take them: Graphviz, and a reader of XML.

use crate::sample::SHOP;
use crate::support::{Lab, Place};

#[test]
fn graphviz_and_xml_readers_take_them() {
    let lab = Lab::start();
    let shop = lab.project("shop", SHOP);
    // No engine is asked.
    let draw = |format: &str| {
        let picture = shop.command().env("DOCKER_HOST", "unix:///nowhere.sock").args(&["graph", "--format", format]).run();
        shop.write(&format!("picture.{format}"), &picture.success().stdout);
        shop.dir().join(format!("picture.{format}")).display().to_string()
    };
    let (dot, svg, mermaid) = (draw("dot"), draw("svg"), draw("mermaid"));
    let here = Place::outside();
    let drawn = here.run(&["dot", "-Tsvg", &dot]);
    assert_eq!(drawn.success().stderr, "", "not even a warning");
    for text in ["lan", "192.168.77.10/24", "10.99.0.1/30", "host 192.168.77.99"] {
        assert!(drawn.stdout.contains(text), "{text} in {drawn}");
    }
    // Three machines and three networks; as many joins as there are cards on networks, and the cable.
    let plain = here.ok(&["dot", "-Tplain", &dot]);
    let count = |word: &str| plain.lines().filter(|line| line.starts_with(word)).count();
    assert_eq!((count("node "), count("edge ")), (6, 7), "{plain}");
    let count = "import sys, xml.etree.ElementTree as e\nfor k in 'text', 'line', 'path': print(len(e.parse(sys.argv[1]).findall('.//{http://www.w3.org/2000/svg}' + k)))";
    let read = here.ok(&["python3", "-c", count, &svg]);
    let numbers: Vec<usize> = read.lines().map(|line| line.parse().unwrap()).collect();
    assert!(numbers[0] > 20, "{read}");
    assert_eq!(numbers[1..], [9, 1], "three bars, six cards on them, one cable");
    assert!(std::fs::read_to_string(mermaid).unwrap().starts_with("flowchart LR\n"));
}
