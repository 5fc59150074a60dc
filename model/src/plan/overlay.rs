//! The firmware's tree with the overlay applied, which is what a plan is read from.

use alloc::format;
use alloc::string::{String, ToString};

use super::{ErrorKind, PlanError};
use crate::dt::{self, Node, NotApplied, OverlayError, Tree, properties, strings, text};

/// Reads the board's tree.
pub(super) fn board(tree: &[u8]) -> Result<Tree<'_>, PlanError> {
    dt::parse(tree).map_err(|why| PlanError::node("/", ErrorKind::TreeUnreadable(why)))
}

/// Reads the overlay and merges it into the board's tree, which was read from `tree`. The result has /partitions. A board's tree
/// that has them already, because the boot loader merged it, is used as it is; a note says so where the overlay came too.
pub(super) fn merge<'a>(
    board: Tree<'a>,
    tree: &'a [u8],
    overlay: Option<&'a [u8]>,
) -> Result<(Tree<'a>, Option<String>), PlanError> {
    let top = |kind| PlanError::node("/", kind);
    let has_plan = |tree: &Tree<'_>| tree.root.child("partitions").is_some();
    if has_plan(&board) {
        let note =
            "the board's tree has /partitions already and is used as it is; the overlay is not applied";
        return Ok((board, overlay.map(|_| note.to_string())));
    }
    let blob = overlay.ok_or_else(|| top(ErrorKind::NoPartitions))?;
    let overlay = dt::parse(blob).map_err(|why| {
        top(match why.is_property_name() {
            // dtc before 1.8 writes a reference by path as a property of __fixups__ whose name is that path.
            true => ErrorKind::OverlayPathReference,
            false => ErrorKind::OverlayUnreadable(why),
        })
    })?;
    check(&overlay)?;
    let merged = dt::apply(board, overlay, [tree, blob]).map_err(|error| {
        top(match error {
            NotApplied::Unreadable(why) => ErrorKind::OverlayUnreadable(why),
            NotApplied::Refused(OverlayError::TargetNotFound(target)) => ErrorKind::NoTarget(target),
            NotApplied::Refused(OverlayError::UnresolvedSymbol(label)) => ErrorKind::NoLabel(label),
            NotApplied::Refused(other) => ErrorKind::OverlayFails(other.to_string()),
        })
    })?;
    if has_plan(&merged) { Ok((merged, None)) } else { Err(top(ErrorKind::NoPartitions)) }
}

/// What would be lost without a word, and references by label where the plan names nodes by path.
fn check(overlay: &Tree<'_>) -> Result<(), PlanError> {
    for child in overlay.root.children() {
        let name = child.name();
        if child.name_without_address() == "fragment" {
            if child.child("__overlay__").is_none() {
                let kind = ErrorKind::OverlayFails(format!("{name} has no __overlay__"));
                return Err(PlanError::node("/", kind));
            }
        } else if !matches!(name, "__fixups__" | "__local_fixups__" | "__symbols__") {
            return Err(PlanError::node("/", ErrorKind::OutsideFragment(format!("/{name}"))));
        }
    }
    let Some(fixups) = overlay.root.child("__fixups__") else {
        return Ok(());
    };
    for (label, places) in properties(fixups) {
        for place in strings(places).unwrap_or_default() {
            let mut parts = place.rsplitn(3, ':').skip(1);
            let (Some(property), Some(path)) = (parts.next(), parts.next()) else { continue };
            let node = in_merged_tree(&overlay.root, path);
            if node.starts_with("/partitions/") && !node.contains("/guest-tree") {
                let label = format!("&{label}");
                let kind = match property {
                    "cpus" | "cpus64" => ErrorKind::CoreByLabel(label),
                    _ => ErrorKind::ByLabel(Some(label)),
                };
                return Err(PlanError::property(node, property, kind));
            }
        }
    }
    Ok(())
}

/// `/fragment@0/__overlay__/partitions/linux` as the path that it will have.
fn in_merged_tree(root: &Node<'_>, path: &str) -> String {
    let mut parts = path.trim_start_matches('/').splitn(3, '/');
    let (Some(fragment), Some("__overlay__"), rest) = (parts.next(), parts.next(), parts.next()) else {
        return path.to_string();
    };
    let target = root
        .children()
        .find(|child| child.name() == fragment)
        .and_then(|child| text(child, "target-path"))
        .unwrap_or("/");
    format!("{}/{}", target.trim_end_matches('/'), rest.unwrap_or_default())
}
