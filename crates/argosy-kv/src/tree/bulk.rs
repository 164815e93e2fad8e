//! Building a tree at once from sorted items.

use std::sync::Arc;

use super::node::{Branch, Child, Node};
use super::{FAN_OUT, Item, Tree};

impl<T: Item> Tree<T> {
    /// Builds a tree of full nodes from items that ascend strictly by key. The caller has
    /// checked the order.
    pub(crate) fn from_sorted(items: impl IntoIterator<Item = T>) -> Tree<T> {
        let mut items = items.into_iter();
        let mut level: Vec<(T::Bound, Child<T>)> = Vec::new();
        loop {
            let mut leaf = Vec::with_capacity(FAN_OUT);
            leaf.extend(items.by_ref().take(FAN_OUT));
            let Some(first) = leaf.first() else { break };
            let low = first.bound();
            leaf.shrink_to_fit();
            level.push((low, Child::new(Arc::new(Node::Leaf(leaf)))));
        }
        while level.len() > 1 {
            level = branches_over(level);
        }
        Tree { root: level.pop().map(|(_, child)| child.node) }
    }
}

fn branches_over<T: Item>(below: Vec<(T::Bound, Child<T>)>) -> Vec<(T::Bound, Child<T>)> {
    let mut level = Vec::with_capacity(below.len().div_ceil(FAN_OUT));
    let mut below = below.into_iter();
    loop {
        let (lows, children): (Vec<_>, Vec<_>) = below.by_ref().take(FAN_OUT).unzip();
        let Some(low) = lows.first().cloned() else { return level };
        let branch = Branch { lows: Arc::new(lows), children };
        level.push((low, Child::new(Arc::new(Node::Branch(branch)))));
    }
}
