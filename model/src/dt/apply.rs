//! Applies an overlay to a tree. Most overlays only add to the root and refer to nothing, so that all there is to do is to put
//! their nodes where they belong; all others are dtoolkit's, on its own model of the tree.

use dtoolkit::model::overlay::OverlayApplier;

use super::flat::{model, owned};
use super::tree::{Node, Tree};
use super::{Unreadable, text};

pub use dtoolkit::error::OverlayError;

/// Why there is no tree with the overlay applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotApplied {
    /// One of the two cannot be read.
    Unreadable(Unreadable),
    /// The overlay asks for what the tree does not have, or is malformed.
    Refused(OverlayError),
}

/// The tree with the overlay applied; `blobs` are what the two were read from.
///
/// # Errors
///
/// What of the overlay the tree does not have, or what is malformed in the overlay.
pub fn apply<'a>(
    mut tree: Tree<'a>,
    overlay: Tree<'a>,
    blobs: [&'a [u8]; 2],
) -> Result<Tree<'a>, NotApplied> {
    if overlay.root.children().all(only_adds) {
        for mut fragment in overlay.root.into_children() {
            if let Some(inner) = fragment.remove_child("__overlay__") {
                merge(&mut tree.root, inner);
            }
        }
        return Ok(tree);
    }
    let [base, overlay] = blobs.map(model);
    let (mut base, overlay) =
        (base.map_err(NotApplied::Unreadable)?, overlay.map_err(NotApplied::Unreadable)?);
    OverlayApplier::new(&mut base).apply_overlay_tree(overlay).map_err(NotApplied::Refused)?;
    Ok(owned(&base))
}

/// Whether a node of an overlay's root is a fragment for the tree's root that nothing refers to and that refers to nothing:
/// then there are no `__fixups__` and no phandles, which would have to be made others than the tree's.
fn only_adds(fragment: &Node<'_>) -> bool {
    fragment.name_without_address() == "fragment"
        && text(fragment, "target-path") == Some("/")
        && fragment.property("target").is_none()
        && !has_phandle(fragment)
}

fn has_phandle(node: &Node<'_>) -> bool {
    ["phandle", "linux,phandle"].iter().any(|name| node.property(name).is_some())
        || node.children().any(has_phandle)
}

/// Puts the properties and children of `from` into `to`. What both have, `from` decides.
pub fn merge<'a>(to: &mut Node<'a>, from: Node<'a>) {
    let Node { properties, children, .. } = from;
    if to.properties.is_empty() {
        to.properties = properties;
    } else {
        properties.into_iter().for_each(|property| to.add_property(property));
    }
    for child in children {
        match to.child_mut(child.name()) {
            Some(there) => merge(there, child),
            None => to.children.push(child),
        }
    }
}
