//! Walking the tree in order.

use std::ops::Bound;

use super::Item;
use super::node::Node;

/// Items in ascending order, up to a bound.
#[derive(Debug)]
pub(crate) struct Iter<'a, T: Item> {
    /// The path from the root; each with the position that comes next in it.
    path: Vec<(&'a Node<T>, usize)>,
    end: Bound<&'a T::Key>,
    /// Whether to pass over what has no weight.
    weighty: bool,
}

impl<'a, T: Item> Iter<'a, T> {
    pub(super) fn new(
        root: Option<&'a Node<T>>,
        start: Bound<&T::Key>,
        end: Bound<&'a T::Key>,
        weighty: bool,
    ) -> Iter<'a, T> {
        let mut path = Vec::new();
        let mut next = root;
        while let Some(node) = next {
            let (at, below) = match node {
                Node::Leaf(items) => (
                    match start {
                        Bound::Unbounded => 0,
                        Bound::Included(key) => items.partition_point(|item| item.key() < key),
                        Bound::Excluded(key) => items.partition_point(|item| item.key() <= key),
                    },
                    None,
                ),
                Node::Branch(branch) => {
                    let at = match start {
                        Bound::Unbounded => 0,
                        Bound::Included(key) | Bound::Excluded(key) => branch.child_for(key),
                    };
                    (at + 1, Some(&*branch.children[at].node))
                }
            };
            path.push((node, at));
            next = below;
        }
        Iter { path, end, weighty }
    }
}

impl<'a, T: Item> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            let (node, at) = self.path.last_mut()?;
            let node: &'a Node<T> = node;
            let here = *at;
            *at += 1;
            match node {
                Node::Leaf(items) => match items.get(here) {
                    Some(item) => {
                        let within = match self.end {
                            Bound::Unbounded => true,
                            Bound::Included(end) => item.key() <= end,
                            Bound::Excluded(end) => item.key() < end,
                        };
                        if !within {
                            self.path.clear();
                            return None;
                        }
                        if !self.weighty || item.weight() > 0 {
                            return Some(item);
                        }
                    }
                    None => {
                        self.path.pop();
                    }
                },
                Node::Branch(branch) => match branch.children.get(here) {
                    Some(child) if !self.weighty || child.weight > 0 => {
                        self.path.push((&child.node, 0));
                    }
                    Some(_) => {}
                    None => {
                        self.path.pop();
                    }
                },
            }
        }
    }
}
