//! A scanner of device-tree source that keeps places. It reads only what dtc has accepted, so it need not judge:
//! where it cannot follow (a label as target, macros of dtc's own) it gives no place, never a wrong one.

use std::collections::HashMap;
use std::rc::Rc;

use super::map::{Entry, SourceMap, Spot};

/// Scans a source, or the preprocessor's output with line markers.
pub fn scan(name: &str, text: &str) -> SourceMap {
    let mut parser = Parser { map: SourceMap::default(), stack: Vec::new(), targets: HashMap::new() };
    parser.run(&tokens(name, text));
    parser.map
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// A name, a number, a directive: anything between blanks and punctuation.
    Word(String),
    /// A string without its quotes.
    Text(String),
    /// `&{/path}`.
    Target(String),
    /// One of `{ } ; = : < > [ ] ( ) ,` and anything else.
    Mark(char),
}

#[derive(Debug)]
struct Token {
    kind: Kind,
    at: Spot,
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "#,._+?@/-*&\\".contains(c)
}

/// A line marker of the preprocessor: `# 12 "file" 1` or `#line 12 "file"`.
fn marker(line: &str) -> Option<(u32, &str)> {
    let rest = line.strip_prefix('#')?.trim_start();
    let rest = rest.strip_prefix("line").unwrap_or(rest).trim_start();
    let (number, rest) = rest.split_once(' ')?;
    let rest = rest.trim_start().strip_prefix('"')?;
    Some((number.parse().ok()?, &rest[..rest.find('"')?]))
}

fn tokens(name: &str, text: &str) -> Vec<Token> {
    let mut file: Rc<str> = name.into();
    let mut next_number = 1;
    let mut in_comment = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if !in_comment && let Some((number, path)) = marker(line) {
            (next_number, file) = (number, path.into());
            continue;
        }
        let number = next_number;
        next_number = number.saturating_add(1);
        let mut at = 0;
        while at < line.len() {
            let rest = &line[at..];
            if in_comment {
                let Some(end) = rest.find("*/") else { break };
                in_comment = false;
                at += end + 2;
                continue;
            }
            let Some(first) = rest.chars().next() else { break };
            if first.is_whitespace() {
                at += first.len_utf8();
                continue;
            }
            if rest.starts_with("//") {
                break;
            }
            if rest.starts_with("/*") {
                in_comment = true;
                at += 2;
                continue;
            }
            let (kind, length) = token(rest, first);
            let spot =
                Spot { file: Rc::clone(&file), line: number, column: at as u32 + 1, length: length as u32 };
            found.push(Token { kind, at: spot });
            at += length;
        }
    }
    found
}

fn token(rest: &str, first: char) -> (Kind, usize) {
    if first == '"' {
        let mut escaped = false;
        let end = rest[1..].find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.map_or(rest.len(), |end| end + 2);
        let text = rest[1..end].strip_suffix('"').unwrap_or(&rest[1..end]);
        return (Kind::Text(text.to_owned()), end);
    }
    if let Some(path) = rest.strip_prefix("&{")
        && let Some(end) = path.find('}')
    {
        return (Kind::Target(path[..end].to_owned()), end + 3);
    }
    if is_word(first) {
        // A comment may stand right behind a word, and both begin with a slash.
        let mut end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        for comment in ["//", "/*"] {
            end = rest[..end].find(comment).unwrap_or(end);
        }
        return (Kind::Word(rest[..end].to_owned()), end);
    }
    (Kind::Mark(first), first.len_utf8())
}

struct Parser {
    map: SourceMap,
    /// The paths of the open nodes as the blob has them, and as the merged tree will.
    stack: Vec<(String, String)>,
    /// What `target-path` says of a fragment written out by hand.
    targets: HashMap<String, String>,
}

impl Parser {
    fn run(&mut self, tokens: &[Token]) {
        let mut name: Option<&Token> = None;
        let mut rest = tokens.iter();
        while let Some(token) = rest.next() {
            match &token.kind {
                // A label: what follows is the name.
                Kind::Mark(':') => name = None,
                Kind::Mark('{') => self.open(name.take().unwrap_or(token)),
                Kind::Mark('}') => {
                    self.stack.pop();
                    name = None;
                }
                Kind::Mark(';') => {
                    if let Some(token) = name.take() {
                        self.property(token, Vec::new());
                    }
                }
                Kind::Mark('=') => {
                    let value = rest.by_ref().take_while(|t| t.kind != Kind::Mark(';'));
                    let strings = value
                        .filter_map(|t| match &t.kind {
                            Kind::Text(text) => Some((text.clone(), t.at.clone())),
                            _ => None,
                        })
                        .collect();
                    if let Some(token) = name.take() {
                        self.property(token, strings);
                    }
                }
                Kind::Word(word) if word.len() > 1 && word.starts_with('/') && word.ends_with('/') => {
                    // A directive such as /dts-v1/ or /delete-node/: it says nothing of a node's contents.
                    if !matches!(word.as_str(), "/include/" | "/omit-if-no-ref/") {
                        rest.by_ref().take_while(|t| t.kind != Kind::Mark(';')).for_each(drop);
                    }
                    name = None;
                }
                Kind::Word(_) | Kind::Target(_) => name = Some(token),
                Kind::Text(_) | Kind::Mark(_) => {}
            }
        }
    }

    fn open(&mut self, token: &Token) {
        let (raw, merged) = match &token.kind {
            Kind::Target(path) => {
                (path.trim_end_matches('/').to_owned(), path.trim_end_matches('/').to_owned())
            }
            Kind::Word(word) if word == "/" => (String::new(), String::new()),
            Kind::Word(word) => {
                let (raw, merged) =
                    self.stack.last().cloned().unwrap_or_else(|| (word.clone(), word.clone()));
                match self.targets.get(&raw) {
                    Some(target) if word == "__overlay__" => (format!("{raw}/{word}"), target.clone()),
                    _ => (format!("{raw}/{word}"), format!("{merged}/{word}")),
                }
            }
            Kind::Text(_) | Kind::Mark(_) => (String::from("?"), String::from("?")),
        };
        let node = if merged.is_empty() { "/".to_owned() } else { merged.clone() };
        self.map.entries.push(Entry { node, property: None, at: token.at.clone(), strings: Vec::new() });
        self.stack.push((raw, merged));
    }

    fn property(&mut self, token: &Token, strings: Vec<(String, Spot)>) {
        let (Kind::Word(name), Some((raw, merged))) = (&token.kind, self.stack.last()) else { return };
        if name == "target-path"
            && let Some((path, _)) = strings.first()
        {
            self.targets.insert(raw.clone(), path.trim_end_matches('/').to_owned());
        }
        let node = if merged.is_empty() { "/".to_owned() } else { merged.clone() };
        let at = token.at.clone();
        self.map.entries.push(Entry { node, property: Some(name.clone()), at, strings });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(map: &SourceMap, node: &str, property: Option<&str>, message: &str) -> (u32, u32, u32) {
        let found = map.find(node, property, message).expect("a place");
        (found.line, found.column, found.length)
    }

    const PLAN: &str = r#"/dts-v1/;
/plugin/;
/* a comment with { and " */
&{/} {
	partitions {
		compatible = "partita,partitions"; // "quoted {"
		lbl: linux {
			#address-cells = <2>;
			cpus = <0 1>;
			devices = "/a@1", "/b;{2}";
			host-base;
			memory@40000000 {
				reg = <0x0 0x40000000 0x0 0x10000000>;
			};
		};
	};
};
"#;

    #[test]
    fn nodes_and_properties_are_found() {
        let map = scan("x.dtso", PLAN);
        assert_eq!(spot(&map, "/partitions/linux", None, ""), (7, 8, 5));
        assert_eq!(spot(&map, "/partitions/linux", Some("cpus"), ""), (9, 4, 4));
        assert_eq!(spot(&map, "/partitions/linux", Some("host-base"), ""), (11, 4, 9));
        assert_eq!(spot(&map, "/partitions/linux/memory@40000000", Some("reg"), ""), (13, 5, 3));
    }

    #[test]
    fn a_quoted_word_is_pointed_at() {
        let map = scan("x.dtso", PLAN);
        assert_eq!(spot(&map, "/partitions/linux", Some("devices"), "no node \"/b;{2}\""), (10, 22, 8));
    }

    #[test]
    fn a_missing_property_points_at_its_node_and_a_missing_node_at_the_one_above() {
        let map = scan("x.dtso", PLAN);
        assert_eq!(spot(&map, "/partitions/linux", Some("kernel"), ""), (7, 8, 5));
        assert_eq!(spot(&map, "/partitions/linux/memory@0", Some("reg"), ""), (7, 8, 5));
        assert!(map.find("/cpus/cpu@0", None, "").is_none());
    }

    #[test]
    fn line_markers_and_fragments_are_followed() {
        let text = "# 0 \"top.dtso\"\n# 1 \"top.dtso\"\n/dts-v1/;/plugin/;\n/ { fragment@0 { target-path = \"/\";\n\
                    # 7 \"part.dtsi\" 1\n__overlay__ { partitions { a { cpus = <1>; }; }; }; }; };\n";
        let map = scan("top.dtso", text);
        let found = map.find("/partitions/a", Some("cpus"), "").expect("a place");
        assert_eq!((&*found.file, found.line, found.column), ("part.dtsi", 7, 32));
    }

    #[test]
    fn nothing_that_a_file_may_hold_is_too_much() {
        for odd in [
            "{",
            "}",
            "\"",
            "&{",
            "/*",
            "*/",
            "=",
            ";",
            "é",
            "\\",
            "# 4294967295 \"x\"\n",
            "/include/",
            "\r\n",
        ] {
            for at in (0..PLAN.len()).filter(|at| PLAN.is_char_boundary(*at)) {
                let text = format!("{}{odd}{}", &PLAN[..at], &PLAN[at..]);
                scan("x.dtso", &text).find("/partitions/linux", Some("devices"), "/a@1");
                scan("x.dtso", &text[..at]);
            }
        }
    }
}
