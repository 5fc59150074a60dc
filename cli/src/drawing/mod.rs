//! The plan as a drawing that a person can read: which core, which memory and which devices are whose. One SVG file
//! that needs nothing else: no fonts, no scripts, no links.

mod canvas;
mod cards;
mod map;

use canvas::{Canvas, Style};

use crate::session::Session;

/// The page's width; its height follows from what is on it.
const WIDTH: u32 = 1040;
const MARGIN: u32 = 32;

/// Fill and line for each partition, in turn: told apart by most colour-blind readers, and dark text stands out.
const COLOURS: [(&str, &str); 8] = [
    ("#a6cee8", "#2b6f9e"),
    ("#fdcf94", "#b8660b"),
    ("#b5dda0", "#3f7f2a"),
    ("#e6b8d3", "#9a3f78"),
    ("#f1e38b", "#8a7a12"),
    ("#c9c0e8", "#5b4b9e"),
    ("#a5ddd5", "#1f7f74"),
    ("#f4b3a8", "#ad3b2a"),
];
const FREE: (&str, &str) = ("#ffffff", "#b5b5b5");
const DANGER: (&str, &str) = ("#b3001b", "#b3001b");
const KEPT: (&str, &str) = ("url(#kept)", "#777777");

fn colour(partition: usize) -> (&'static str, &'static str) {
    COLOURS[partition % COLOURS.len()]
}

/// Draws a plan.
pub fn svg(session: &Session) -> String {
    let plan = &session.plan;
    let mut canvas = Canvas::new();
    let name = session.source.path.file_name().map(|name| name.to_string_lossy().into_owned());
    canvas.text(MARGIN, 44, Style::TITLE, &name.unwrap_or_default());
    let partitions = match plan.partitions.len() {
        1 => "1 partition".to_owned(),
        count => format!("{count} partitions"),
    };
    let ram: u64 = plan.board.ram.iter().map(|span| span.size).sum();
    let cores = plan.board.cpus.len();
    let line = format!("{partitions} on a board with {cores} cores and {} of RAM", crate::report::size(ram));
    canvas.text(MARGIN, 64, Style::QUIET, &line);

    let y = warnings(&mut canvas, session, 64);
    let y = legend(&mut canvas, session, y + 18);
    let y = self::cores(&mut canvas, session, y + 34);
    let left = map::draw(&mut canvas, plan, MARGIN, y + 34);
    let right = cards::draw(&mut canvas, session, MARGIN + 540, y + 34, WIDTH - 2 * MARGIN - 540);
    canvas.finish(WIDTH, left.max(right) + MARGIN)
}

/// A line for each partition that no SMMU keeps within its memory.
fn warnings(canvas: &mut Canvas, session: &Session, mut y: u32) -> u32 {
    for partition in &session.plan.partitions {
        let trusted: Vec<_> = partition.devices.iter().filter(|device| !device.dma.is_empty()).collect();
        if let Some(first) = trusted.first() {
            let more = if trusted.len() > 1 { " and others" } else { "" };
            let line = format!(
                "{} can read and write others' memory through {}{more}: DMA that no SMMU guards",
                partition.name, first.path
            );
            y += 20;
            canvas.text_in(MARGIN, y, WIDTH - 2 * MARGIN, Style::DANGER, &line);
        }
    }
    y
}

fn legend(canvas: &mut Canvas, session: &Session, y: u32) -> u32 {
    let partitions = session.plan.partitions.iter().enumerate();
    let mut entries: Vec<_> = partitions.map(|(index, p)| (colour(index), p.name.clone())).collect();
    entries.push((FREE, "free".to_owned()));
    entries.push((KEPT, "kept: hypervisor, bundle, reserved".to_owned()));
    if session.plan.partitions.iter().any(|p| p.devices.iter().any(|device| !device.dma.is_empty())) {
        entries.push((DANGER, "within reach of another's unguarded DMA".to_owned()));
    }
    let (mut x, mut y) = (MARGIN, y);
    for (fill, name) in entries {
        let width = 22 + Canvas::width_of(&name) + 24;
        if x + width > WIDTH - MARGIN && x > MARGIN {
            (x, y) = (MARGIN, y + 22);
        }
        canvas.rect(x, y, 16, 12, fill, 2);
        canvas.text(x + 22, y + 11, Style::PLAIN, &name);
        x += width;
    }
    y + 12
}

fn cores(canvas: &mut Canvas, session: &Session, y: u32) -> u32 {
    const HEIGHT: u32 = 58;
    let plan = &session.plan;
    canvas.text(MARGIN, y, Style::HEADING, "Cores");
    let count = plan.board.cpus.len().max(1) as u32;
    let per_row = count.min(8);
    let room = (WIDTH - 2 * MARGIN + 8) / per_row - 8;
    let width = room.min(170);
    for (index, cpu) in plan.board.cpus.iter().enumerate() {
        let (column, row) = (index as u32 % per_row, index as u32 / per_row);
        let (x, top) = (MARGIN + column * (width + 8), y + 12 + row * (HEIGHT + 8));
        let owner =
            cpu.owner.and_then(|(p, number)| Some((p, plan.partitions.get(p)?.name.as_str(), number)));
        canvas.rect(x, top, width, HEIGHT, owner.map_or(FREE, |(p, ..)| colour(p)), 5);
        canvas.hint(&cpu.path);
        let core = format!("core {:#x}", cpu.mpidr);
        canvas.text_in(x + 9, top + 18, width - 16, Style::QUIET, &core);
        let (name, seen) = match owner {
            Some((_, name, number)) => (name, format!("its cpu {number}")),
            None => ("free", String::new()),
        };
        canvas.text_in(x + 9, top + 35, width - 16, Style::STRONG, name);
        canvas.text_in(x + 9, top + 50, width - 16, Style::QUIET, &seen);
    }
    y + 12 + count.div_ceil(per_row) * (HEIGHT + 8) - 8
}
