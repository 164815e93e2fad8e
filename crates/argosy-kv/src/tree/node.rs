//! The nodes of the tree.

use std::borrow::Borrow;
use std::sync::Arc;

use super::Item;

/// A node. Never empty while it is in a tree.
#[derive(Debug, Clone)]
pub(super) enum Node<T: Item> {
    /// Items, ascending.
    Leaf(Vec<T>),
    /// Children, ascending; all at the same height.
    Branch(Branch<T>),
}

/// An inner node.
#[derive(Debug, Clone)]
pub(super) struct Branch<T: Item> {
    /// For each child a bound: at or below all of its keys, above all keys of the child before.
    /// Shared on its own, because it changes far more seldom than the children do.
    pub(super) lows: Arc<Vec<T::Bound>>,
    pub(super) children: Vec<Child<T>>,
}

/// A child with the weight of all below it.
#[derive(Debug)]
pub(super) struct Child<T: Item> {
    pub(super) weight: usize,
    pub(super) node: Arc<Node<T>>,
}

impl<T: Item> Clone for Child<T> {
    fn clone(&self) -> Self {
        Child { weight: self.weight, node: Arc::clone(&self.node) }
    }
}

impl<T: Item> Child<T> {
    pub(super) fn new(node: Arc<Node<T>>) -> Child<T> {
        Child { weight: node.weight(), node }
    }
}

impl<T: Item> Branch<T> {
    /// Returns which child holds `key`, if any does.
    pub(super) fn child_for(&self, key: &T::Key) -> usize {
        self.lows.partition_point(|low| low.borrow() <= key).saturating_sub(1)
    }
}

impl<T: Item> Node<T> {
    /// Returns the number of items or children.
    pub(super) fn len(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Branch(branch) => branch.children.len(),
        }
    }

    /// Returns the weight of all below.
    pub(super) fn weight(&self) -> usize {
        match self {
            Node::Leaf(items) => items.iter().map(Item::weight).sum(),
            Node::Branch(branch) => branch.children.iter().map(|child| child.weight).sum(),
        }
    }

    /// Returns a bound at or below all keys below; `None` only for an empty leaf.
    pub(super) fn low(&self) -> Option<&T::Key> {
        match self {
            Node::Leaf(items) => items.first().map(Item::key),
            Node::Branch(branch) => branch.lows.first().map(Borrow::borrow),
        }
    }

    /// Returns the last item below.
    pub(super) fn last(&self) -> Option<&T> {
        let mut node = self;
        loop {
            match node {
                Node::Leaf(items) => return items.last(),
                Node::Branch(branch) => node = &branch.children.last()?.node,
            }
        }
    }

    /// Returns the number of levels below.
    pub(super) fn height(&self) -> usize {
        match self {
            Node::Leaf(_) => 0,
            Node::Branch(branch) => {
                1 + branch.children.first().map_or(0, |child| child.node.height())
            }
        }
    }

    /// Returns the weight of the items below `key`, with it when `inclusive`.
    pub(super) fn weight_below(&self, key: &T::Key, inclusive: bool, visited: &mut usize) -> usize {
        let mut node = self;
        let mut weight = 0;
        loop {
            *visited += 1;
            match node {
                Node::Leaf(items) => {
                    let at = items.partition_point(|item| {
                        item.key() < key || (inclusive && item.key() == key)
                    });
                    return weight + items[..at].iter().map(Item::weight).sum::<usize>();
                }
                Node::Branch(branch) => {
                    let at = branch.child_for(key);
                    weight += branch.children[..at].iter().map(|c| c.weight).sum::<usize>();
                    node = &branch.children[at].node;
                }
            }
        }
    }
}
