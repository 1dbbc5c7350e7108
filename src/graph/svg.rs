//! A drawing of our own: machines side by side, below them each network as a bar across and each cable as a line, all on rows of
//! their own. Text stands only in machines and in the margin on the left, and lines only go where no text is.

use std::fmt::Write as _;

use super::{Card, Graph, Machine, To};

/// A character is given more than any usual monospaced font takes, since nobody knows which one it will be.
const CHARACTER: usize = 8;
const FONT: usize = 12;
const LINE: usize = 16;
const PAD: usize = 8;
/// Between machines, and between rows.
const GAP: usize = 24;
/// Legible on white, and apart for most eyes.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7a5195", "#b8860b", "#56708a", "#a0522d"];

/// A machine's box, and the middle of each card's cell.
struct Placed {
    x: usize,
    width: usize,
    cards: Vec<usize>,
}

struct Layout {
    margin: usize,
    machines: Vec<Placed>,
    /// Where boxes end.
    bottom: usize,
    /// Where the cards' cells begin.
    cells: usize,
    /// The middle of each network's row.
    networks: Vec<usize>,
    cables: Vec<usize>,
    width: usize,
    height: usize,
}

pub(super) fn draw(graph: &Graph) -> String {
    let layout = Layout::of(graph);
    let (width, height) = (layout.width, layout.height);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"{FONT}\">\n<title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(&graph.project)
    );
    for (at, network) in graph.networks.iter().enumerate() {
        let (y, colour) = (layout.networks[at], colour(at));
        let _ = writeln!(
            out,
            "<line x1=\"{}\" y1=\"{y}\" x2=\"{}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"6\" stroke-linecap=\"round\"/>",
            layout.margin,
            width - PAD
        );
        let lines: Vec<&str> = [&network.name].into_iter().chain(&network.notes).map(String::as_str).collect();
        let top = y - lines.len() * LINE / 2;
        texts(&mut out, PAD, top, "start", &lines, true);
    }
    for (at, cable) in graph.cables.iter().enumerate() {
        let y = layout.cables[at];
        let [one, other] = cable.ends.map(|(machine, card)| layout.machines[machine].cards[card]);
        let _ = writeln!(
            out,
            "<path d=\"M{one} {} V{y} H{other} V{}\" fill=\"none\" stroke=\"#444444\" stroke-width=\"2\"/>",
            layout.bottom, layout.bottom
        );
        texts(&mut out, PAD, y - LINE / 2, "start", &[cable.name.as_str()], false);
    }
    for (machine, placed) in graph.machines.iter().zip(&layout.machines) {
        draw_machine(&mut out, machine, placed, &layout);
    }
    out.push_str("</svg>\n");
    out
}

fn draw_machine(out: &mut String, machine: &Machine, placed: &Placed, layout: &Layout) {
    for (card, x) in machine.cards.iter().zip(&placed.cards) {
        if let To::Network(network) = card.to {
            let (y, colour) = (layout.networks[network], colour(network));
            let _ =
                writeln!(out, "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2\"/>", layout.bottom);
            let _ = writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"5\" fill=\"{colour}\"/>");
        }
    }
    let _ = writeln!(
        out,
        "<rect x=\"{}\" y=\"{PAD}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"#f4f6f8\" stroke=\"#444444\"/>",
        placed.x,
        placed.width,
        layout.bottom - PAD
    );
    let head: Vec<&str> = [&machine.name].into_iter().chain(&machine.notes).map(String::as_str).collect();
    texts(out, placed.x + placed.width / 2, 2 * PAD, "middle", &head, true);
    for (card, x) in machine.cards.iter().zip(&placed.cards) {
        texts(out, *x, layout.cells, "middle", &card.lines(), false);
    }
}

impl Layout {
    fn of(graph: &Graph) -> Self {
        let names = graph.cables.iter().map(|cable| width_of(&cable.name));
        let labels = graph.networks.iter().flat_map(|network| [&network.name].into_iter().chain(&network.notes)).map(|text| width_of(text));
        let margin = labels.chain(names).max().unwrap_or(0) + 3 * PAD;
        let most = |lines: &dyn Fn(&Machine) -> usize| graph.machines.iter().map(lines).max().unwrap_or(0);
        let cells = 3 * PAD + most(&|machine| 1 + machine.notes.len()) * LINE;
        let bottom = cells + most(&|machine| machine.cards.iter().map(|card| card.lines().len()).max().unwrap_or(0)) * LINE + PAD;
        let mut x = margin + GAP;
        let machines: Vec<Placed> = graph
            .machines
            .iter()
            .map(|machine| {
                let placed = Placed::of(machine, x);
                x += placed.width + GAP;
                placed
            })
            .collect();
        let mut y = bottom + GAP;
        let mut row = |height: usize| {
            let middle = y + height / 2;
            y += height + GAP / 2;
            middle
        };
        let networks = graph.networks.iter().map(|network| row((1 + network.notes.len()) * LINE)).collect();
        let cables = graph.cables.iter().map(|_| row(LINE)).collect();
        Self { margin, machines, bottom, cells, networks, cables, width: x, height: y + PAD }
    }
}

impl Placed {
    fn of(machine: &Machine, x: usize) -> Self {
        let cell = |card: &Card| card.lines().into_iter().map(width_of).max().unwrap_or(0) + 2 * PAD;
        let all: usize = machine.cards.iter().map(cell).sum();
        let head = [&machine.name].into_iter().chain(&machine.notes).map(|text| width_of(text)).max().unwrap_or(0) + 2 * PAD;
        let width = all.max(head);
        // Where the head is wider, the cells stand in its middle.
        let mut left = x + (width - all) / 2;
        let cards = machine.cards.iter().map(|card| {
            let middle = left + cell(card) / 2;
            left += cell(card);
            middle
        });
        Self { x, width, cards: cards.collect() }
    }
}

/// Characters beyond Latin may take two places.
fn width_of(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() { CHARACTER } else { 2 * CHARACTER }).sum()
}

fn colour(at: usize) -> &'static str {
    COLOURS[at % COLOURS.len()]
}

/// Lines below each other, the first one's upper edge at `top`.
fn texts(out: &mut String, x: usize, top: usize, anchor: &str, lines: &[&str], is_headed: bool) {
    for (at, line) in lines.iter().enumerate() {
        let weight = if is_headed && at == 0 { " font-weight=\"bold\"" } else { "" };
        let y = top + at * LINE + FONT;
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\"{weight} fill=\"#111111\">{}</text>", escaped(line));
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no way to write these.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
        out
    })
}
