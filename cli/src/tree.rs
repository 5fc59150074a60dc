//! First looks at a flattened tree, before a plan is made of it: where /partitions is, which files it names, where
//! RAM is. The plan's own reader judges; this one takes what is there and says nothing.

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use partita_model::addr::{Pa, PaSpan};

/// What is wanted of /partitions before the plan is made.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// `platform`.
    pub platform: Option<String>,
    /// The files named, each once, in order.
    pub files: Vec<String>,
}

/// Reads an overlay's or a merged tree's wishes.
pub fn wishes(blob: &[u8]) -> Wishes {
    let mut wishes = Wishes::default();
    let Ok(tree) = Fdt::new(blob) else { return wishes };
    if let Some(partitions) = tree.find_node("/partitions") {
        collect(&partitions, &mut wishes);
    }
    for fragment in tree.root().children() {
        let target = text(&fragment, "target-path").unwrap_or_default();
        let Some(overlay) = fragment.child("__overlay__") else { continue };
        if target == "/partitions" {
            collect(&overlay, &mut wishes);
        } else if let Some(partitions) = overlay.child("partitions") {
            collect(&partitions, &mut wishes);
        }
    }
    wishes
}

fn collect(partitions: &FdtNode<'_>, wishes: &mut Wishes) {
    wishes.platform = wishes.platform.take().or_else(|| text(partitions, "platform"));
    for partition in partitions.children() {
        for name in ["kernel", "initrd", "dtb"] {
            if let Some(file) = text(&partition, name)
                && !(name == "dtb" && file == "none")
                && !wishes.files.contains(&file)
            {
                wishes.files.push(file);
            }
        }
    }
}

/// A property's string.
pub fn text(node: &FdtNode<'_>, name: &str) -> Option<String> {
    let property = node.property(name)?;
    let value = property.value().strip_suffix(&[0])?;
    String::from_utf8(value.to_vec()).ok()
}

/// The RAM that the tree's memory nodes tell, in the tree's order.
pub fn ram(tree: &Fdt<'_>) -> Vec<PaSpan> {
    let nodes = tree.root().children().filter(|node| text(node, "device_type").as_deref() == Some("memory"));
    let mut found = Vec::new();
    for node in nodes {
        let Ok(Some(regs)) = node.reg() else { continue };
        for reg in regs {
            if let (Ok(base), Ok(size)) = (reg.address::<u64>(), reg.size::<u64>())
                && size > 0
            {
                found.extend(PaSpan::new(Pa(base), size));
            }
        }
    }
    found
}
