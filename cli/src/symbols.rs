//! The names of a guest's functions, from its ELF file.

use object::{Object, ObjectSegment, ObjectSymbol, SymbolKind};

/// Functions by rising address: first byte, size, name.
#[derive(Debug, Default)]
pub struct Symbols(Vec<(u64, u64, String)>);

impl Symbols {
    /// Reads an ELF file. `base`: where its first byte lies, if not at its own address.
    pub fn read(elf: &[u8], base: Option<u64>) -> Result<Self, String> {
        let file = object::File::parse(elf).map_err(|error| error.to_string())?;
        let first = file.segments().map(|segment| segment.address()).min().unwrap_or(0);
        let moved = base.map_or(0, |base| base.wrapping_sub(first));
        let functions = file.symbols().filter(|symbol| {
            matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown) && symbol.is_definition()
        });
        let mut all: Vec<(u64, u64, String)> = functions
            .filter_map(|symbol| {
                let name = symbol.name().ok().filter(|name| !name.is_empty() && !name.starts_with('$'))?;
                let name = format!("{:#}", rustc_demangle::demangle(name));
                Some((symbol.address().wrapping_add(moved), symbol.size(), name))
            })
            .collect();
        if all.is_empty() {
            return Err("it has no symbols; take the file from before they were stripped".to_owned());
        }
        all.sort();
        Ok(Self(all))
    }

    /// Of functions that are known already.
    #[cfg(test)]
    pub fn of(functions: &[(u64, u64, &str)]) -> Self {
        Self(functions.iter().map(|(start, size, name)| (*start, *size, (*name).to_owned())).collect())
    }

    /// An address, with the function that it is in, if one is known.
    pub fn place(&self, address: u64) -> String {
        let after = self.0.partition_point(|(start, ..)| *start <= address);
        let function = after.checked_sub(1).and_then(|at| self.0.get(at));
        match function {
            // Labels of assembly have no size.
            Some((start, size, name)) if *size == 0 || address - start < *size => {
                format!("{address:#x} {name}+{:#x}", address - start)
            }
            _ => format!("{address:#x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_names_within_functions() {
        let symbols = Symbols::of(&[(0x100, 0x10, "one"), (0x200, 0, "label")]);
        assert_eq!(symbols.place(0xff), "0xff");
        assert_eq!(symbols.place(0x10f), "0x10f one+0xf");
        assert_eq!(symbols.place(0x110), "0x110");
        assert_eq!(symbols.place(0x280), "0x280 label+0x80");
        assert_eq!(Symbols::default().place(1), "0x1");
        assert!(Symbols::read(b"no ELF file", None).is_err());
    }
}
