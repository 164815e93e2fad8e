//! The tree against the standard library's, and its promises about cost.

use std::collections::BTreeMap;
use std::ops::Bound;

use proptest::prelude::*;

use super::node::Node;
use super::*;

/// A key with a value; odd values weigh nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pair(u32, u32);

impl Item for Pair {
    type Key = u32;
    type Bound = u32;

    fn key(&self) -> &u32 {
        &self.0
    }

    fn bound(&self) -> u32 {
        self.0
    }

    fn weight(&self) -> usize {
        usize::from(self.1.is_multiple_of(2))
    }
}

fn check_node(node: &Node<Pair>, low: Option<u32>, high: Option<u32>, root: bool) -> usize {
    assert!(node.len() > 0 && node.len() <= FAN_OUT);
    match node {
        Node::Leaf(items) => {
            assert!(items.is_sorted_by(|a, b| a.0 < b.0));
            assert!(low.is_none_or(|low| items[0].0 >= low));
            assert!(high.is_none_or(|high| items[items.len() - 1].0 < high));
            0
        }
        Node::Branch(branch) => {
            assert!(!root || branch.children.len() > 1);
            assert_eq!(branch.lows.len(), branch.children.len());
            let heights: Vec<usize> = (0..branch.children.len())
                .map(|at| {
                    let child = &branch.children[at];
                    assert_eq!(child.weight, child.node.weight());
                    let high = branch.lows.get(at + 1).copied().or(high);
                    check_node(&child.node, Some(branch.lows[at]), high, false)
                })
                .collect();
            assert!(heights.windows(2).all(|pair| pair[0] == pair[1]));
            heights[0] + 1
        }
    }
}

fn check(tree: &Tree<Pair>, model: &BTreeMap<u32, u32>) {
    if let Some(root) = &tree.root {
        check_node(root, None, None, true);
    }
    let items: Vec<(u32, u32)> = tree.iter().map(|pair| (pair.0, pair.1)).collect();
    let expected: Vec<(u32, u32)> = model.iter().map(|(k, v)| (*k, *v)).collect();
    assert_eq!(items, expected);
}

fn check_range(tree: &Tree<Pair>, model: &BTreeMap<u32, u32>, from: u32, to: u32) {
    let bounds = (Bound::Included(&from), Bound::Excluded(&to));
    let expected: Vec<Pair> = match from < to {
        true => model.range(from..to).map(|(k, v)| Pair(*k, *v)).collect(),
        false => Vec::new(),
    };
    assert_eq!(tree.range(bounds).cloned().collect::<Vec<_>>(), expected);
    let weighty: Vec<Pair> = expected.into_iter().filter(|pair| pair.weight() > 0).collect();
    assert_eq!(tree.range_weight(bounds), weighty.len());
    assert_eq!(tree.weighty_range(bounds).cloned().collect::<Vec<_>>(), weighty);
    let last = model.range(..=from).next_back().map(|(k, v)| Pair(*k, *v));
    assert_eq!(tree.last_up_to(&from).cloned(), last);
    assert_eq!(tree.get(&from).map(|pair| pair.1), model.get(&from).copied());
}

fn check_diff(old: &Tree<Pair>, new: &Tree<Pair>) {
    let mut rebuilt: BTreeMap<u32, u32> = old.iter().map(|pair| (pair.0, pair.1)).collect();
    diff(old, new, &mut |before, after| {
        let key = before.or(after).unwrap().0;
        assert_eq!(rebuilt.get(&key).copied(), before.map(|pair| pair.1));
        match after {
            Some(pair) => rebuilt.insert(key, pair.1),
            None => rebuilt.remove(&key),
        };
    });
    assert_eq!(rebuilt, new.iter().map(|pair| (pair.0, pair.1)).collect());
}

proptest! {
    #[test]
    fn it_is_an_ordered_map_and_old_clones_stay(
        steps in prop::collection::vec((0..3u8, 0..600u32, any::<u8>()), 1..900),
        ranges in prop::collection::vec((0..600u32, 0..600u32), 20),
        start in 0..900u32,
    ) {
        let mut model: BTreeMap<u32, u32> = (0..start).map(|k| (k, k)).collect();
        let mut tree = Tree::from_sorted(model.iter().map(|(k, v)| Pair(*k, *v)));
        check(&tree, &model);
        let mut kept = Vec::new();
        for (at, (kind, key, value)) in steps.iter().enumerate() {
            if at % 97 == 0 {
                kept.push((tree.clone(), model.clone()));
            }
            // Runs of removals and insertions next to each other, so that nodes empty and fill.
            for key in *key..key + u32::from(*value % 8) {
                match kind {
                    0 => prop_assert_eq!(tree.remove(&key).map(|p| p.1), model.remove(&key)),
                    _ => {
                        let old = tree.insert(Pair(key, u32::from(*value)));
                        prop_assert_eq!(old.map(|p| p.1), model.insert(key, u32::from(*value)));
                    }
                }
            }
        }
        check(&tree, &model);
        for (from, to) in ranges {
            check_range(&tree, &model, from, to);
        }
        for (old, old_model) in kept {
            check(&old, &old_model);
            check_diff(&old, &tree);
            check_diff(&tree, &old);
        }
        check_diff(&Tree::default(), &tree);
    }
}

#[test]
fn removing_everything_leaves_nothing() {
    let mut tree: Tree<Pair> = Tree::default();
    for key in 0..5000 {
        tree.insert(Pair(key, key));
    }
    for key in (0..5000).rev() {
        assert_eq!(tree.remove(&key), Some(Pair(key, key)));
        assert_eq!(tree.remove(&key), None);
    }
    assert!(tree.root.is_none());
    assert_eq!(tree.range_weight((Bound::Unbounded, Bound::Unbounded)), 0);
}

#[test]
fn a_leaf_alone_in_its_branch_can_empty() {
    // One leaf more than a branch holds: its branch has no other.
    let full = u32::try_from(FAN_OUT * FAN_OUT).unwrap();
    let total = full + 1;
    let model: BTreeMap<u32, u32> = (0..total).map(|key| (key, key)).collect();
    let mut appended = Tree::default();
    for key in 0..total {
        appended.insert(Pair(key, key));
    }
    for mut tree in [Tree::from_sorted((0..total).map(|key| Pair(key, key))), appended] {
        check(&tree, &model);
        let mut model = model.clone();
        tree.remove(&full);
        model.remove(&full);
        check(&tree, &model);
        assert_eq!(tree.last_up_to(&total), Some(&Pair(full - 1, full - 1)));
    }
}

#[test]
fn a_count_at_a_million_keys_looks_at_few_nodes() {
    let tree = Tree::from_sorted((0..1_000_000).map(|key| Pair(key, 0)));
    let mut visited = 0;
    let bounds = (Bound::Included(&1234), Bound::Excluded(&987_654));
    assert_eq!(tree.range_weight_counting(bounds, &mut visited), 987_654 - 1234);
    // Two paths of five levels: 16^5 exceeds a million.
    assert!(visited <= 10, "{visited} nodes");
}

#[test]
fn ascending_insertion_leaves_full_leaves() {
    let mut tree: Tree<Pair> = Tree::default();
    for key in 0..10_000 {
        tree.insert(Pair(key, 0));
    }
    fn leaves(node: &Node<Pair>) -> usize {
        match node {
            Node::Leaf(_) => 1,
            Node::Branch(branch) => branch.children.iter().map(|c| leaves(&c.node)).sum(),
        }
    }
    assert_eq!(leaves(tree.root.as_deref().unwrap()), 10_000usize.div_ceil(FAN_OUT));
}

#[test]
fn comparing_with_a_near_copy_looks_at_what_changed() {
    let old = Tree::from_sorted((0..100_000).map(|key| Pair(key, 0)));
    let mut new = old.clone();
    for key in (0..100_000).step_by(10_000) {
        new.insert(Pair(key, 1));
        new.remove(&(key + 5));
    }
    let mut reported = 0;
    diff(&old, &new, &mut |_, _| reported += 1);
    assert!(reported <= 10 * 2 * FAN_OUT, "{reported} items");
}
