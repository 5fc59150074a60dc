//! Shapes and text as SVG. Text is cut to the room it has: a drawing with words over words is no drawing.

use std::fmt::Write;

/// Width of a character of 12 px in the widest of the usual monospaced fonts, in tenths of a pixel.
const CHARACTER: u32 = 73;

/// How a text looks: size in px, colour, weight, whether monospaced.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    size: u32,
    colour: &'static str,
    bold: bool,
    mono: bool,
    right: bool,
}

impl Style {
    /// The drawing's title.
    pub const TITLE: Self = Self { size: 22, colour: "#222222", bold: true, mono: false, right: false };
    /// A section's heading.
    pub const HEADING: Self = Self { size: 15, colour: "#222222", bold: true, mono: false, right: false };
    /// What matters most in a box.
    pub const STRONG: Self = Self { size: 13, colour: "#1a1a1a", bold: true, mono: true, right: false };
    /// Ordinary words.
    pub const PLAIN: Self = Self { size: 12, colour: "#222222", bold: false, mono: true, right: false };
    /// What explains.
    pub const QUIET: Self = Self { size: 12, colour: "#555555", bold: false, mono: true, right: false };
    /// What nobody may overlook.
    pub const DANGER: Self = Self { size: 12, colour: "#b3001b", bold: true, mono: true, right: false };
    /// Numbers beside a map, aligned to the right.
    pub const SCALE: Self = Self { size: 11, colour: "#555555", bold: false, mono: true, right: true };
}

/// A drawing in the making.
#[derive(Debug, Default)]
pub struct Canvas {
    body: String,
}

impl Canvas {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The width that a plain text takes.
    pub fn width_of(text: &str) -> u32 {
        text.chars().count() as u32 * CHARACTER / 10
    }

    /// A rectangle with a fill and a line.
    pub fn rect(&mut self, x: u32, y: u32, width: u32, height: u32, (fill, line): (&str, &str), round: u32) {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            self.body,
            r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round}" fill="{fill}" stroke="{line}"/>"#
        );
    }

    /// Gives the shape just drawn a text that viewers show under the pointer.
    pub fn hint(&mut self, text: &str) {
        if let Some(open) = self.body.strip_suffix("/>\n") {
            let length = open.len();
            self.body.truncate(length);
            let _ = writeln!(self.body, "><title>{}</title></rect>", escape(text));
        }
    }

    /// A line.
    pub fn line(&mut self, (x1, y1): (u32, u32), (x2, y2): (u32, u32), colour: &str) {
        let _ = writeln!(self.body, r#"<path d="M{x1} {y1}L{x2} {y2}" stroke="{colour}" fill="none"/>"#);
    }

    /// Text whose baseline begins (or, aligned to the right, ends) here.
    pub fn text(&mut self, x: u32, y: u32, style: Style, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut more = String::new();
        if style.bold {
            more.push_str(r#" font-weight="bold""#);
        }
        if style.mono {
            more.push_str(r#" font-family="monospace""#);
        }
        if style.right {
            more.push_str(r#" text-anchor="end""#);
        }
        let Style { size, colour, .. } = style;
        let text = escape(text);
        let _ = writeln!(
            self.body,
            r#"<text x="{x}" y="{y}" font-size="{size}" fill="{colour}"{more}>{text}</text>"#
        );
    }

    /// Text that is cut to `room` pixels.
    pub fn text_in(&mut self, x: u32, y: u32, room: u32, style: Style, text: &str) {
        let most = (room * 120 / (CHARACTER * style.size)) as usize;
        if text.chars().count() <= most {
            return self.text(x, y, style, text);
        }
        let cut: String = text.chars().take(most.saturating_sub(1)).chain(['…']).collect();
        self.text(x, y, style, &cut);
    }

    /// The whole file.
    pub fn finish(self, width: u32, height: u32) -> String {
        format!(
            r##"<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="sans-serif">
<defs><pattern id="kept" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="#ececec"/><path d="M0 0V7" stroke="#cccccc" stroke-width="4"/></pattern></defs>
<rect width="{width}" height="{height}" fill="#fcfcfa"/>
{}</svg>
"##,
            self.body
        )
    }
}

/// Text as XML holds it; control characters, which it cannot hold, are left out.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_well_formed_whatever_the_names() {
        let mut canvas = Canvas::new();
        canvas.rect(1, 2, 3, 4, ("#fff", "#000"), 0);
        canvas.hint("a<b> & \"c\"\u{1}");
        canvas.text(0, 0, Style::PLAIN, "<&>");
        canvas.text_in(0, 0, 60, Style::PLAIN, "much too long for this");
        let svg = canvas.finish(10, 10);
        let document = roxmltree::Document::parse(&svg).expect("well-formed");
        let texts: Vec<_> = document.descendants().filter(|n| n.has_tag_name("text")).collect();
        assert_eq!(texts[0].text(), Some("<&>"));
        assert_eq!(texts[1].text(), Some("much to…"));
    }
}
