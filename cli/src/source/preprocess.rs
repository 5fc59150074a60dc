//! C's preprocessor, for plans that `#include`: as the Linux kernel's build treats device-tree source.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::failure::{Failure, Outcome};
use crate::tool;

/// Whether a source has directives that only the preprocessor knows. (`#address-cells` is a property.)
pub fn is_needed(text: &str) -> bool {
    const DIRECTIVES: [&str; 6] = ["include", "define", "ifdef", "ifndef", "if", "undef"];
    text.lines().any(|line| {
        line.trim_start().strip_prefix('#').is_some_and(|rest| {
            let word = rest.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or("");
            let after = rest.trim_start().strip_prefix(word).and_then(|r| r.chars().next());
            DIRECTIVES.contains(&word) && after.is_none_or(|c| c.is_whitespace() || c == '"' || c == '<')
        })
    })
}

/// The source with its includes and macros expanded, and with line markers.
pub fn run(path: &Path) -> Outcome<String> {
    let name = if tool::is_installed("cpp") { "cpp" } else { "cc" };
    let mut command = Command::new(name);
    if name == "cc" {
        command.arg("-E");
    }
    command.args(["-nostdinc", "-undef", "-D__DTS__", "-x", "assembler-with-cpp"]).arg(path);
    let output = tool::output(command.stdin(Stdio::null()), name)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::input(format!("the C preprocessor refused the plan:\n{}", words.trim_end())));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Failure::input(format!("{}: an included file is not UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::is_needed;

    #[test]
    fn directives_are_told_from_properties() {
        assert!(is_needed("/dts-v1/;\n#include <x.h>\n"));
        assert!(is_needed("# define N 2\n"));
        assert!(!is_needed("/ {\n\t#address-cells = <2>;\n\t#interrupt-cells = <3>;\n};\n"));
    }
}
