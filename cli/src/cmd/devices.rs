//! `partita devices`: what can be given to a partition, and what must go with what.

use std::collections::HashMap;

use partita_model::addr::PaSpan;
use partita_model::dt;
use partita_model::plan::devices::{Offer, list};
use partita_model::plan::pci::{self, BridgeOffer};
use partita_model::plan::{Board as PlanBoard, ErrorKind, Smmu};
use serde_json::{Value, json};

use super::print;
use crate::args::Devices;
use crate::board::Board;
use crate::failure::{Failure, Outcome};
use crate::machine::Options;
use crate::report::{interrupt, ranges, spis_json, streams as words, streams_json};
use crate::table::Table;
use crate::ui::Ui;

/// Prints the board's devices.
pub fn devices(args: &Devices, ui: Ui) -> Outcome<()> {
    let board = Board::find(&args.board, None, &Options::default(), ui)?;
    let tree = dt::parse(&board.tree)
        .map_err(|error| Failure::input(format!("the board's tree is no flattened device tree: {error}")))?;
    let facts =
        PlanBoard::new(&tree, &board.stated_ram, &[]).map_err(|error| Failure::input(error.to_string()))?;
    let offers = list(&tree, &facts);
    let bridges = pci::list(&tree, &facts);
    let smmus = facts.smmus;
    if args.json {
        let devices: Vec<_> = offers.iter().map(|offer| to_json(offer, &smmus)).collect();
        let bridges: Vec<_> = bridges.iter().map(bridge_json).collect();
        let all = json!({ "schema": 1, "devices": devices, "pci": bridges });
        return print(format!("{all:#}\n").as_bytes());
    }
    print((text(&offers, &smmus) + &bridges.iter().map(bridge_text).collect::<String>()).as_bytes())
}

fn bridge_json(bridge: &BridgeOffer) -> Value {
    let lines = bridge.lines.iter().map(
        |line| json!({ "interrupts": spis_json(line.spi.as_slice()), "devices": line.devices.as_slice() }),
    );
    json!({
        "path": bridge.path,
        "bus": bridge.bus,
        "guarded": bridge.guarded,
        "lines": lines.collect::<Vec<_>>(),
    })
}

/// What holds for the functions of a bridge, which are not in the tree.
fn bridge_text(bridge: &BridgeOffer) -> String {
    let BridgeOffer { path, bus, .. } = bridge;
    if !bridge.guarded {
        return format!(
            "\nNone of the PCI functions of {path} can be given by itself: no SMMU stands before them.\n"
        );
    }
    let mut table = Table::new(&["interrupt", "PCI devices of one set"]);
    for line in &bridge.lines {
        let numbers: Vec<_> = line.devices.iter().map(|device| format!("{bus:02x}:{device:02x}")).collect();
        let spi = line.spi.map_or("-".to_owned(), |spi| interrupt(spi.intid));
        table.row([spi, numbers.join(", ")]);
    }
    format!(
        "\nPCI functions of {path} can be given by the numbers that lspci prints, such as \"{path}/{bus:02x}:02.0\". Those \
         of one set go to the same partition:\n{}",
        table.text(2)
    )
}

fn to_json(offer: &Offer, smmus: &[Smmu]) -> Value {
    json!({
        "path": offer.path,
        "registers": ranges(&offer.regs),
        "interrupts": spis_json(&offer.spis),
        "page-mates": offer.page_mates,
        "interrupt-mates": offer.interrupt_mates,
        "dma": offer.dma,
        "dma-reach": ranges(&offer.reach),
        "streams": streams_json(smmus, &offer.streams),
        "disabled": offer.disabled,
        "why-not": offer.why_not,
    })
}

fn text(offers: &[Offer], smmus: &[Smmu]) -> String {
    let sets = sets(offers);
    let mut table = Table::new(&["device", "registers", "interrupts", "set", "dma", "can be given"]);
    let mut set_seen = false;
    for offer in offers {
        let set = sets.get(offer.path.as_str());
        set_seen |= set.is_some();
        let regs: Vec<_> = offer.regs.iter().map(ToString::to_string).collect();
        let spis: Vec<_> = offer.spis.iter().map(|spi| interrupt(spi.intid)).collect();
        let verdict = match (&offer.why_not, offer.disabled) {
            (_, true) => "no: disabled in the board's tree".to_owned(),
            (Some(why), _) if *why == ErrorKind::Dma(offer.path.clone()).to_string() => {
                "if dma-trusted".to_owned()
            }
            (Some(why), _) => format!("no: {}", in_a_table(why, &offer.path)),
            (None, _) => "yes".to_owned(),
        };
        let dash = |words: Vec<String>| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
        table.row([
            offer.path.clone(),
            dash(regs),
            dash(spis),
            set.map_or("-".to_owned(), ToString::to_string),
            match (offer.dma, offer.streams.as_slice()) {
                (false, _) => "-".to_owned(),
                (true, []) => reach(&offer.reach),
                (true, streams) => words(smmus, streams),
            },
            verdict,
        ]);
    }
    let mut text = table.text(0);
    if set_seen {
        text.push_str(
            "\nDevices of one set share a page or an interrupt, so they go to the same partition; the registers of a \
             disabled one in the page come along.\n",
        );
    }
    if offers.iter().any(|offer| offer.dma && offer.streams.is_empty()) {
        text.push_str(
            "\nWhat can do DMA, or is not known to be unable to, reads and writes the RAM in its column, whoever owns \
             that: no SMMU that Partita drives stands before it.\n",
        );
    }
    if offers.iter().any(|offer| !offer.streams.is_empty()) {
        text.push_str(
            "\nWhat an SMMU knows by a stream does DMA to the memory of its own partition only. Devices with a stream in \
             common go to the same partition.\n",
        );
    }
    text
}

/// The RAM that a device reaches, in a column's words.
fn reach(spans: &[PaSpan]) -> String {
    match spans {
        [] => "no RAM".to_owned(),
        spans => spans.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A reason as the plan's errors word it, without the path, which stands in the first column, and the cure, which is
/// for a plan that names the device.
fn in_a_table<'a>(why: &'a str, path: &str) -> &'a str {
    let why = why.strip_prefix(path).unwrap_or(why).trim_start();
    let why = why.strip_prefix("cannot be given away: ").unwrap_or(why);
    why.split_once("; remove it").map_or(why, |(reason, _)| reason)
}

/// Numbers the sets of devices that must stay together; a device that shares nothing is in none.
fn sets(offers: &[Offer]) -> HashMap<&str, usize> {
    let by_path: HashMap<_, _> = offers.iter().map(|offer| (offer.path.as_str(), offer)).collect();
    let mut sets = HashMap::new();
    let mut count = 0;
    for offer in offers {
        if sets.contains_key(offer.path.as_str())
            || (offer.page_mates.is_empty() && offer.interrupt_mates.is_empty())
        {
            continue;
        }
        count += 1;
        let mut open = vec![offer];
        while let Some(next) = open.pop() {
            if sets.insert(next.path.as_str(), count).is_none() {
                let mates = next.page_mates.iter().chain(&next.interrupt_mates);
                open.extend(mates.filter_map(|mate| by_path.get(mate.as_str()).copied()));
            }
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(path: &str, page: &[&str], interrupt: &[&str]) -> Offer {
        let paths = |paths: &[&str]| paths.iter().map(|&path| path.to_owned()).collect();
        Offer {
            path: path.to_owned(),
            regs: Vec::new(),
            spis: Vec::new(),
            page_mates: paths(page),
            interrupt_mates: paths(interrupt),
            dma: false,
            reach: Vec::new(),
            streams: Vec::new(),
            disabled: false,
            why_not: None,
        }
    }

    #[test]
    fn sets_are_closed_over_pages_and_interrupts() {
        let offers = [
            offer("/a", &["/b"], &[]),
            offer("/b", &["/a"], &["/c"]),
            offer("/c", &[], &["/b"]),
            offer("/d", &[], &[]),
        ];
        let sets = sets(&offers);
        assert_eq!(sets.get("/a"), Some(&1));
        assert_eq!(sets.get("/c"), Some(&1));
        assert_eq!(sets.get("/d"), None);
    }
}
