//! One card for each partition: what it runs, its console, its devices with their registers and interrupts.

use partita_model::plan::{Partition, Plan};

use super::canvas::{Canvas, Style};
use super::{FREE, colour};
use crate::report::{console, interrupt, reach, size, streams, watchdog, word};
use crate::session::Session;

const LINE: u32 = 18;
/// From a card's left edge to the values.
const KEYS: u32 = 92;

/// The key of what a trusted device reaches.
const UNGUARDED: &str = "DMA";

/// Draws the cards and returns the height at which the last ends.
pub fn draw(canvas: &mut Canvas, session: &Session, x: u32, y: u32, width: u32) -> u32 {
    canvas.text(x, y, Style::HEADING, "Partitions, devices and interrupts");
    let mut top = y + 14;
    for (index, partition) in session.plan.partitions.iter().enumerate() {
        let lines = lines(&session.plan, partition);
        let height = 30 + 10 + lines.len() as u32 * LINE + 4;
        canvas.rect(x, top, width, height, ("#ffffff", colour(index).1), 5);
        canvas.rect(x, top, width, 28, colour(index), 5);
        canvas.text_in(x + 10, top + 19, width / 2, Style::STRONG, &partition.name);
        let total: u64 = partition.memory.iter().map(|memory| memory.ipa.size).sum();
        let cores = partition.cpus.len();
        let what = format!("{cores} core{}, {}", if cores == 1 { "" } else { "s" }, size(total));
        canvas.text(x + width - 10, top + 19, Style::SCALE, &what);
        let mut line = top + 30 + LINE - 2;
        for (key, value) in lines {
            if key == "device" {
                canvas.line((x + 10, line - LINE + 5), (x + width - 10, line - LINE + 5), FREE.1);
            }
            let (key_style, style) = match key == UNGUARDED {
                true => (Style::DANGER, Style::DANGER),
                false => (Style::QUIET, Style::PLAIN),
            };
            canvas.text(x + 10, line, key_style, key);
            canvas.text_in(x + KEYS, line, width - KEYS - 8, style, &value);
            line += LINE;
        }
        top += height + 14;
    }
    top - 14
}

fn lines(plan: &Plan, partition: &Partition) -> Vec<(&'static str, String)> {
    let load = &partition.load;
    let mut lines = vec![("kernel", format!("{}, entry {}", load.kernel, load.entry))];
    lines.extend(load.initrd.iter().map(|initrd| ("initrd", initrd.clone())));
    if !partition.bootargs.is_empty() {
        lines.push(("bootargs", partition.bootargs.clone()));
    }
    lines.push(("console", console(&partition.console)));
    lines.push(("interrupts", word(&partition.interrupt_path)));
    lines.extend(partition.watchdog.iter().map(|it| ("watchdog", watchdog(it))));
    for device in &partition.devices {
        lines.push(("device", device.path.clone()));
        lines.extend(device.regs.iter().map(|span| ("registers", span.to_string())));
        let spis: Vec<_> = device.spis.iter().map(|spi| interrupt(spi.intid)).collect();
        if !spis.is_empty() {
            lines.push(("interrupt", spis.join(", ")));
        }
        if !device.streams.is_empty() {
            lines.push(("DMA as", streams(&plan.board.smmus, &device.streams)));
        }
        if !device.dma.is_empty() {
            lines.push((UNGUARDED, format!("unguarded, reaches {}", reach(device))));
        }
    }
    for function in partition.functions() {
        lines.push(("device", function.name.clone()));
        lines.extend(function.spi.map(|spi| ("interrupt", interrupt(spi.intid))));
        lines.push(("DMA as", streams(&plan.board.smmus, &function.streams)));
    }
    for window in partition.pci.iter().flat_map(|part| &part.windows) {
        lines.push(("window", window.physical().to_string()));
    }
    if partition.devices.is_empty() && partition.pci.is_empty() {
        lines.push(("devices", "none".to_owned()));
    }
    let stray = partition.spis.iter().filter(|spi| {
        let of_device = partition.devices.iter().any(|device| device.spis.contains(spi));
        !of_device && !partition.functions().any(|function| function.spi.as_ref() == Some(*spi))
    });
    lines.extend(stray.map(|spi| ("interrupt", interrupt(spi.intid))));
    lines
}
