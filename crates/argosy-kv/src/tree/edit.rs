//! Inserting into and removing from the tree.

use std::borrow::Borrow;
use std::sync::Arc;

use super::node::{Branch, Child, Node};
use super::{FAN_OUT, FILL_MIN, Item, Tree};

/// Spare places when a full vector grows: few, since millions of leaves each keep them.
const GROW_BY: usize = 4;

/// The right part of a node that became too large.
struct Split<T: Item> {
    low: T::Bound,
    node: Arc<Node<T>>,
}

impl<T: Item> Tree<T> {
    /// Inserts an item and returns the one with the same key that it replaces.
    pub(crate) fn insert(&mut self, item: T) -> Option<T> {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![item])));
            return None;
        };
        let (old, split) = insert_into(root, item);
        if let Some(Split { low, node: right }) = split {
            let left = Arc::clone(root);
            let left_low = first_bound(&left).unwrap_or_else(|| low.clone());
            *root = Arc::new(Node::Branch(Branch {
                lows: Arc::new(vec![left_low, low]),
                children: vec![Child::new(left), Child::new(right)],
            }));
        }
        old
    }

    /// Removes the item with this key and returns it.
    pub(crate) fn remove(&mut self, key: &T::Key) -> Option<T> {
        self.get(key)?;
        let root = self.root.as_mut()?;
        let old = remove_from(root, key);
        loop {
            match &**root {
                node if node.len() == 0 => {
                    self.root = None;
                    return old;
                }
                Node::Branch(branch) if branch.children.len() == 1 => {
                    let only = Arc::clone(&branch.children[0].node);
                    *root = only;
                }
                _ => return old,
            }
        }
    }
}

fn first_bound<T: Item>(node: &Node<T>) -> Option<T::Bound> {
    match node {
        Node::Leaf(items) => items.first().map(Item::bound),
        Node::Branch(branch) => branch.lows.first().cloned(),
    }
}

fn insert_into<T: Item>(node: &mut Arc<Node<T>>, item: T) -> (Option<T>, Option<Split<T>>) {
    match Arc::make_mut(node) {
        Node::Leaf(items) => match items.binary_search_by(|i| i.key().cmp(item.key())) {
            Ok(at) => (Some(std::mem::replace(&mut items[at], item)), None),
            Err(at) => {
                if items.len() == items.capacity() {
                    items.reserve_exact(GROW_BY);
                }
                items.insert(at, item);
                (None, split_leaf(items, at))
            }
        },
        Node::Branch(branch) => {
            let at = branch.child_for(item.key());
            if at == 0 && item.key() < branch.lows[0].borrow() {
                Arc::make_mut(&mut branch.lows)[0] = item.bound();
            }
            let added = item.weight();
            let child = &mut branch.children[at];
            let (old, split) = insert_into(&mut child.node, item);
            let Some(Split { low, node: right }) = split else {
                child.weight = child.weight + added - old.as_ref().map_or(0, Item::weight);
                return (old, None);
            };
            child.weight = child.node.weight();
            branch.children.insert(at + 1, Child::new(right));
            Arc::make_mut(&mut branch.lows).insert(at + 1, low);
            (old, split_branch(branch, at + 1))
        }
    }
}

/// Where to cut a node of `len` after an insertion at `at`: in the middle, but after the old
/// items when the new one was appended, so that ascending keys leave full nodes behind.
fn cut(len: usize, at: usize) -> usize {
    if at + 1 == len { at } else { len / 2 }
}

fn split_leaf<T: Item>(items: &mut Vec<T>, at: usize) -> Option<Split<T>> {
    if items.len() <= FAN_OUT {
        return None;
    }
    let right = items.split_off(cut(items.len(), at));
    items.shrink_to_fit();
    Some(Split { low: right[0].bound(), node: Arc::new(Node::Leaf(right)) })
}

fn split_branch<T: Item>(branch: &mut Branch<T>, at: usize) -> Option<Split<T>> {
    if branch.children.len() <= FAN_OUT {
        return None;
    }
    let cut = cut(branch.children.len(), at);
    let children = branch.children.split_off(cut);
    let lows = Arc::make_mut(&mut branch.lows).split_off(cut);
    let low = lows[0].clone();
    Some(Split { low, node: Arc::new(Node::Branch(Branch { lows: Arc::new(lows), children })) })
}

fn remove_from<T: Item>(node: &mut Arc<Node<T>>, key: &T::Key) -> Option<T> {
    match Arc::make_mut(node) {
        Node::Leaf(items) => {
            let at = items.binary_search_by(|item| item.key().cmp(key)).ok()?;
            Some(items.remove(at))
        }
        Node::Branch(branch) => {
            let at = branch.child_for(key);
            let child = &mut branch.children[at];
            let old = remove_from(&mut child.node, key);
            child.weight -= old.as_ref().map_or(0, Item::weight);
            match child.node.len() {
                // An only child cannot be joined with a neighbour; its parent will be.
                0 => {
                    branch.children.remove(at);
                    Arc::make_mut(&mut branch.lows).remove(at);
                }
                1..FILL_MIN => refill(branch, at),
                _ => {}
            }
            old
        }
    }
}

/// Joins the small child at `at` with a neighbour, or shares the two out evenly.
fn refill<T: Item>(branch: &mut Branch<T>, at: usize) {
    if branch.children.len() == 1 {
        return;
    }
    let left = at.saturating_sub(1);
    let right = branch.children.remove(left + 1);
    let right_low = Arc::make_mut(&mut branch.lows).remove(left + 1);
    let child = &mut branch.children[left];
    let split = match (Arc::make_mut(&mut child.node), &*right.node) {
        (Node::Leaf(items), Node::Leaf(more)) => {
            items.extend_from_slice(more);
            split_leaf(items, 0)
        }
        (Node::Branch(inner), Node::Branch(more)) => {
            inner.children.extend_from_slice(&more.children);
            Arc::make_mut(&mut inner.lows).extend_from_slice(&more.lows);
            split_branch(inner, 0)
        }
        // All children of a branch have the same height; put back what was taken.
        (Node::Leaf(_), Node::Branch(_)) | (Node::Branch(_), Node::Leaf(_)) => {
            Some(Split { low: right_low, node: Arc::clone(&right.node) })
        }
    };
    child.weight = child.node.weight();
    if let Some(Split { low, node }) = split {
        branch.children.insert(left + 1, Child::new(node));
        Arc::make_mut(&mut branch.lows).insert(left + 1, low);
    }
}
