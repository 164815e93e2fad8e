//! A counted, persistent, ordered tree: a B+ tree whose nodes are shared and copied on write.
//!
//! Cloning is one reference count. Every branch knows the weight below it, so the weight of a
//! range takes O(log n), and a walk can pass over weightless parts. Two trees that share nodes
//! are compared in time proportional to what differs ([`diff`]).

mod bulk;
mod cursor;
mod edit;
mod iter;
mod node;

use std::ops::Bound;
use std::sync::Arc;

pub(crate) use cursor::diff;
pub(crate) use iter::Iter;
use node::Node;

/// Most items of a leaf and children of a branch. Writing copies one node per level while a
/// clone is held, and each item copied is a reference count somewhere else in memory; so fewer
/// than a plain B-tree would have.
const FAN_OUT: usize = 16;

/// A node below this is joined with a neighbour.
const FILL_MIN: usize = FAN_OUT / 4;

/// Something a tree can hold: it knows its own key.
pub(crate) trait Item: Clone {
    /// What items are ordered by.
    type Key: Ord + ?Sized;
    /// An owned key, cheap to clone and small to keep.
    type Bound: Clone + std::fmt::Debug + std::borrow::Borrow<Self::Key>;

    /// Returns the key.
    fn key(&self) -> &Self::Key;

    /// Returns the key for keeping.
    fn bound(&self) -> Self::Bound;

    /// Returns what it adds to the weight of ranges.
    fn weight(&self) -> usize {
        1
    }
}

/// The tree. See the module's description.
#[derive(Debug)]
pub(crate) struct Tree<T: Item> {
    root: Option<Arc<Node<T>>>,
}

impl<T: Item> Clone for Tree<T> {
    fn clone(&self) -> Self {
        Tree { root: self.root.clone() }
    }
}

impl<T: Item> Default for Tree<T> {
    fn default() -> Self {
        Tree { root: None }
    }
}

impl<T: Item> Tree<T> {
    /// Tells whether both are the very same tree. Equal trees may still say no.
    pub(crate) fn same(&self, other: &Tree<T>) -> bool {
        match (&self.root, &other.root) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Returns the item with this key.
    pub(crate) fn get(&self, key: &T::Key) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => {
                    return items.binary_search_by(|i| i.key().cmp(key)).ok().map(|at| &items[at]);
                }
                Node::Branch(branch) => node = &branch.children[branch.child_for(key)].node,
            }
        }
    }

    /// Returns the last item whose key is at or below `key`.
    pub(crate) fn last_up_to(&self, key: &T::Key) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        let mut left = None;
        loop {
            match node {
                Node::Leaf(items) => {
                    let at = items.partition_point(|item| item.key() <= key);
                    return match at.checked_sub(1) {
                        Some(at) => Some(&items[at]),
                        None => left.and_then(Node::last),
                    };
                }
                Node::Branch(branch) => {
                    let at = branch.child_for(key);
                    if at > 0 {
                        left = Some(&*branch.children[at - 1].node);
                    }
                    node = &branch.children[at].node;
                }
            }
        }
    }

    /// Returns the first item.
    pub(crate) fn first(&self) -> Option<&T> {
        self.iter().next()
    }

    /// Returns every item, ascending.
    pub(crate) fn iter(&self) -> Iter<'_, T> {
        self.range((Bound::Unbounded, Bound::Unbounded))
    }

    /// Returns the items within bounds, ascending.
    pub(crate) fn range<'a>(
        &'a self,
        (start, end): (Bound<&T::Key>, Bound<&'a T::Key>),
    ) -> Iter<'a, T> {
        Iter::new(self.root.as_deref(), start, end, false)
    }

    /// Returns the items within bounds that have weight, ascending; parts of the tree without
    /// weight are passed over whole.
    pub(crate) fn weighty_range<'a>(
        &'a self,
        (start, end): (Bound<&T::Key>, Bound<&'a T::Key>),
    ) -> Iter<'a, T> {
        Iter::new(self.root.as_deref(), start, end, true)
    }

    /// Returns the weight within bounds.
    pub(crate) fn range_weight(&self, bounds: (Bound<&T::Key>, Bound<&T::Key>)) -> usize {
        self.range_weight_counting(bounds, &mut 0)
    }

    /// As [`Tree::range_weight`], adding the nodes it looked at to `visited`.
    fn range_weight_counting(
        &self,
        (start, end): (Bound<&T::Key>, Bound<&T::Key>),
        visited: &mut usize,
    ) -> usize {
        let Some(root) = &self.root else { return 0 };
        let upper = match end {
            Bound::Unbounded => root.weight(),
            Bound::Included(key) => root.weight_below(key, true, visited),
            Bound::Excluded(key) => root.weight_below(key, false, visited),
        };
        let lower = match start {
            Bound::Unbounded => 0,
            Bound::Included(key) => root.weight_below(key, false, visited),
            Bound::Excluded(key) => root.weight_below(key, true, visited),
        };
        upper.saturating_sub(lower)
    }
}

#[cfg(test)]
mod tests;
