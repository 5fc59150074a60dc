//! A device tree in memory: names and values lie in the blob that was read, or are owned where something was changed.
//!
//! Nodes and properties keep their order, and have one name each at one place: adding one of a name that is there
//! replaces it where it is.

use alloc::borrow::{Cow, ToOwned};
use alloc::vec::Vec;

use dtoolkit::Property as _;
use dtoolkit::fdt::FdtProperty;

/// A tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree<'a> {
    /// The root.
    pub root: Node<'a>,
    /// The memory reservation block (Devicetree Specification, 5.3): addresses and sizes.
    pub reservations: Vec<(u64, u64)>,
}

/// A node with all that is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node<'a> {
    name: Cow<'a, str>,
    pub(super) properties: Vec<Property<'a>>,
    pub(super) children: Vec<Node<'a>>,
}

/// A property.
#[derive(Clone, Debug)]
pub struct Property<'a>(Kind<'a>);

#[derive(Clone, Debug)]
enum Kind<'a> {
    /// Where the blob has it.
    Read(FdtProperty<'a>),
    Made(Cow<'a, str>, Cow<'a, [u8]>),
}

impl<'a> Property<'a> {
    /// A property of this value.
    pub fn new(name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, [u8]>>) -> Self {
        Self(Kind::Made(name.into(), value.into()))
    }

    /// One that was read.
    pub(super) fn read(property: FdtProperty<'a>) -> Self {
        Self(Kind::Read(property))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match &self.0 {
            Kind::Read(property) => property.name(),
            Kind::Made(name, _) => name,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match &self.0 {
            Kind::Read(property) => property.value(),
            Kind::Made(_, value) => value,
        }
    }

    fn into_owned(self) -> Property<'static> {
        let name = self.name().to_owned();
        let value = match self.0 {
            Kind::Read(property) => property.value().to_vec(),
            Kind::Made(_, value) => value.into_owned(),
        };
        Property::new(name, value)
    }
}

impl PartialEq for Property<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.value() == other.value()
    }
}

impl Eq for Property<'_> {}

impl<'a> Node<'a> {
    /// A node without anything.
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        Self { name: name.into(), properties: Vec::new(), children: Vec::new() }
    }

    /// Its name, with its unit address.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name up to the unit address.
    #[must_use]
    pub fn name_without_address(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(name, _)| name)
    }

    /// Its properties, in order.
    pub fn properties(&self) -> impl Iterator<Item = &Property<'a>> {
        self.properties.iter()
    }

    /// A property.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property<'a>> {
        self.properties.iter().find(|property| same(property.name(), name))
    }

    /// A property, to be changed.
    pub fn property_mut(&mut self, name: &str) -> Option<&mut Property<'a>> {
        self.properties.iter_mut().find(|property| same(property.name(), name))
    }

    /// Adds a property, or replaces the one of its name.
    pub fn add_property(&mut self, property: Property<'a>) {
        match self.property_mut(property.name()) {
            Some(there) => *there = property,
            None => self.properties.push(property),
        }
    }

    /// Takes a property out.
    pub fn remove_property(&mut self, name: &str) -> Option<Property<'a>> {
        let at = self.properties.iter().position(|property| same(property.name(), name))?;
        Some(self.properties.remove(at))
    }

    /// The nodes directly below it, in order.
    pub fn children(&self) -> core::slice::Iter<'_, Node<'a>> {
        self.children.iter()
    }

    /// The same, for themselves.
    #[must_use]
    pub fn into_children(self) -> Vec<Node<'a>> {
        self.children
    }

    /// The same, to be changed.
    pub fn children_mut(&mut self) -> core::slice::IterMut<'_, Node<'a>> {
        self.children.iter_mut()
    }

    /// The node directly below it of exactly this name.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<&Node<'a>> {
        self.children.iter().find(|child| same(&child.name, name))
    }

    /// The same, to be changed.
    pub fn child_mut(&mut self, name: &str) -> Option<&mut Node<'a>> {
        self.children.iter_mut().find(|child| same(&child.name, name))
    }

    /// Adds a node below it, or replaces the one of its name.
    pub fn add_child(&mut self, child: Node<'a>) {
        match self.child_mut(&child.name) {
            Some(there) => *there = child,
            None => self.children.push(child),
        }
    }

    /// The node of this name below it, a new one where there is none.
    pub fn child_or_new(&mut self, name: impl Into<Cow<'a, str>>) -> &mut Node<'a> {
        let name = name.into();
        let at = self.children.iter().position(|child| same(&child.name, &name));
        let at = at.unwrap_or_else(|| {
            self.children.push(Node::new(name));
            self.children.len() - 1
        });
        &mut self.children[at]
    }

    /// Takes a node out.
    pub fn remove_child(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.children.iter().position(|child| same(&child.name, name))?;
        Some(self.children.remove(at))
    }

    fn into_owned(self) -> Node<'static> {
        Node {
            name: Cow::Owned(self.name.into_owned()),
            properties: self.properties.into_iter().map(Property::into_owned).collect(),
            children: self.children.into_iter().map(Node::into_owned).collect(),
        }
    }
}

impl<'a> Tree<'a> {
    /// The node with this path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Node<'a>> {
        names(path)?.try_fold(&self.root, |node, name| node.child(name))
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, path: &str) -> Option<&mut Node<'a>> {
        names(path)?.try_fold(&mut self.root, |node, name| node.child_mut(name))
    }

    /// The same tree, which needs no blob any more.
    #[must_use]
    pub fn into_owned(self) -> Tree<'static> {
        Tree { root: self.root.into_owned(), reservations: self.reservations }
    }
}

/// Whether two names are one, from their ends: that is where those of one tree differ.
#[inline]
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().rev().eq(b.bytes().rev())
}

/// The names in an absolute path.
fn names(path: &str) -> Option<impl Iterator<Item = &str>> {
    Some(path.strip_prefix('/')?.split('/').filter(|name| !name.is_empty()))
}
