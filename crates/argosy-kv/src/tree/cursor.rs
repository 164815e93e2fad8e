//! Comparing two trees, passing over the nodes they share.

use std::cmp::Ordering;
use std::sync::Arc;

use super::node::Node;
use super::{Item, Tree};

/// Calls `visit(old, new)` for each key, ascending, that may differ between two trees: one side
/// is `None` where the key is missing. Shared nodes are passed over whole; items within
/// unshared nodes are reported even when they are the same.
pub(crate) fn diff<'a, T: Item>(
    old: &'a Tree<T>,
    new: &'a Tree<T>,
    visit: &mut dyn FnMut(Option<&'a T>, Option<&'a T>),
) {
    let mut old = Cursor::new(old.root.as_ref());
    let mut new = Cursor::new(new.root.as_ref());
    loop {
        match (old.here(), new.here()) {
            (Place::End, Place::End) => return,
            (Place::Item(item), Place::End) => {
                visit(Some(item), None);
                old.over();
            }
            (Place::End, Place::Item(item)) => {
                visit(None, Some(item));
                new.over();
            }
            (Place::Node(_), Place::End) => old.enter(),
            (Place::End, Place::Node(_)) => new.enter(),
            (Place::Item(item), Place::Node(node)) => {
                if node.low().is_some_and(|low| item.key() < low) {
                    visit(Some(item), None);
                    old.over();
                } else {
                    new.enter();
                }
            }
            (Place::Node(node), Place::Item(item)) => {
                if node.low().is_some_and(|low| item.key() < low) {
                    visit(None, Some(item));
                    new.over();
                } else {
                    old.enter();
                }
            }
            (Place::Item(left), Place::Item(right)) => match left.key().cmp(right.key()) {
                Ordering::Less => {
                    visit(Some(left), None);
                    old.over();
                }
                Ordering::Greater => {
                    visit(None, Some(right));
                    new.over();
                }
                Ordering::Equal => {
                    visit(Some(left), Some(right));
                    old.over();
                    new.over();
                }
            },
            (Place::Node(left), Place::Node(right)) => {
                if Arc::ptr_eq(left, right) {
                    old.over();
                    new.over();
                    continue;
                }
                // Descend only the side that is behind, or the taller: so both come to stand
                // at the beginning of a shared node together.
                let order = left.low().cmp(&right.low());
                let order = order.then_with(|| right.height().cmp(&left.height()));
                if order != Ordering::Greater {
                    old.enter();
                }
                if order != Ordering::Less {
                    new.enter();
                }
            }
        }
    }
}

enum Place<'a, T: Item> {
    Node(&'a Arc<Node<T>>),
    Item(&'a T),
    End,
}

/// A place in a tree: before a whole node, or at an item.
struct Cursor<'a, T: Item> {
    /// The root, until it is entered or passed.
    root: Option<&'a Arc<Node<T>>>,
    path: Vec<(&'a Node<T>, usize)>,
}

impl<'a, T: Item> Cursor<'a, T> {
    fn new(root: Option<&'a Arc<Node<T>>>) -> Cursor<'a, T> {
        Cursor { root, path: Vec::new() }
    }

    fn here(&self) -> Place<'a, T> {
        if let Some(root) = self.root {
            return Place::Node(root);
        }
        match self.path.last() {
            None => Place::End,
            Some((Node::Leaf(items), at)) => Place::Item(&items[*at]),
            Some((Node::Branch(branch), at)) => Place::Node(&branch.children[*at].node),
        }
    }

    fn enter(&mut self) {
        if let Place::Node(node) = self.here() {
            self.root = None;
            self.path.push((node, 0));
        }
    }

    fn over(&mut self) {
        self.root = None;
        while let Some((node, at)) = self.path.last_mut() {
            *at += 1;
            if *at < node.len() {
                return;
            }
            self.path.pop();
        }
    }
}
