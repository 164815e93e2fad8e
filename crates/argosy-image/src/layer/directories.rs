//! The directories of a layer that is being unpacked, name below name: how each is to look.
//!
//! Whole paths would cost an archive nothing and this machine gigabytes: 2,000 names of one path are
//! 2,000 paths of up to 4,096 bytes. So each directory is one name below another one, and all of
//! them together are counted.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::guard::Refusal;

/// What one directory costs beside its name: its node, and its place among those of its parent.
const DIRECTORY_BYTES: u64 = 400;
/// The root of the layer.
const ROOT: usize = 0;

/// What a directory gets when all its entries are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) mode: u32,
    pub(super) modified: (i64, u32),
}

/// How much is remembered of the directories of one operation, all its layers together.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    left: Arc<AtomicU64>,
    max: u64,
}

impl Memory {
    pub(crate) fn of(max: u64) -> Self {
        Self { left: Arc::new(AtomicU64::new(max)), max }
    }
}

/// What one layer has of the memory; it is given back with the layer.
#[derive(Debug)]
struct Share {
    memory: Memory,
    taken: u64,
}

impl Share {
    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let less = |left: u64| left.checked_sub(bytes);
        let taken = self.memory.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.map_err(|_| Refusal::Directories { max: self.memory.max })?;
        self.taken += bytes;
        Ok(())
    }

    fn keep(&mut self, bytes: u64) {
        let back = self.taken.saturating_sub(bytes);
        self.taken -= back;
        self.memory.left.fetch_add(back, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.keep(0);
    }
}

#[derive(Debug, Default)]
struct Node {
    /// Of one that was made; others are only on the way to such.
    look: Option<Look>,
    /// No entry describes it.
    implied: bool,
    below: BTreeMap<Box<[u8]>, usize>,
}

/// The directories of a layer.
#[derive(Debug)]
pub(super) struct Directories {
    /// The root is the first. One that was forgotten stays here and is below nothing.
    nodes: Vec<Node>,
    share: Share,
}

impl Directories {
    pub(super) fn new(memory: Memory, root: Look) -> Self {
        let nodes = vec![Node { look: Some(root), ..Node::default() }];
        Self { nodes, share: Share { memory, taken: 0 } }
    }

    /// Notes a directory that an entry describes.
    pub(super) fn describe(&mut self, names: &[&[u8]], look: Look) -> Result<(), Refusal> {
        let node = self.node(names)?;
        (node.look, node.implied) = (Some(look), false);
        Ok(())
    }

    /// Notes a directory that was made because something is in it.
    pub(super) fn imply(&mut self, names: &[&[u8]], look: Look) -> Result<(), Refusal> {
        let node = self.node(names)?;
        (node.look, node.implied) = (Some(look), true);
        Ok(())
    }

    /// Forgets a directory and all below it.
    pub(super) fn forget(&mut self, names: &[&[u8]]) {
        let Some((last, above)) = names.split_last() else { return };
        let mut at = ROOT;
        for name in above {
            match self.nodes[at].below.get(*name) {
                Some(below) => at = *below,
                None => return,
            }
        }
        self.nodes[at].below.remove(*last);
    }

    /// Calls `each` with every directory that was made and its path, after all that are below it.
    pub(super) fn each_upwards<E>(
        &self,
        mut each: impl FnMut(&[u8], Look) -> Result<(), E>,
    ) -> Result<(), E> {
        let look = |path: &[u8], node: &Node| node.look.map_or(Ok(()), |look| each(path, look));
        upwards(&self.nodes, look)
    }

    /// Keeps those that are implied, and the way to them.
    pub(super) fn implied(mut self) -> Implied {
        // What is below a node comes after it; what was forgotten is below none.
        let mut kept = vec![false; self.nodes.len()];
        kept[ROOT] = true;
        for (at, node) in self.nodes.iter().enumerate() {
            if kept[at] {
                node.below.values().for_each(|below| kept[*below] = true);
            }
        }
        for (at, node) in self.nodes.iter_mut().enumerate().rev() {
            node.below.retain(|_, below| kept[*below]);
            kept[at] &= node.implied || !node.below.is_empty();
            node.look = None;
        }
        let mut places = vec![ROOT; self.nodes.len()];
        let (mut nodes, mut bytes) = (Vec::new(), 0);
        for (at, node) in self.nodes.into_iter().enumerate() {
            if at == ROOT || kept[at] {
                places[at] = nodes.len();
                bytes += node.below.keys().map(|name| cost(name)).sum::<u64>();
                nodes.push(node);
            }
        }
        nodes.iter_mut().for_each(|node| {
            node.below.values_mut().for_each(|below| *below = places[*below]);
        });
        self.share.keep(bytes);
        Implied { nodes, _share: self.share }
    }

    fn node(&mut self, names: &[&[u8]]) -> Result<&mut Node, Refusal> {
        let mut at = ROOT;
        for name in names {
            at = match self.nodes[at].below.get(*name) {
                Some(below) => *below,
                None => {
                    self.share.take(cost(name))?;
                    let made = self.nodes.len();
                    self.nodes.push(Node::default());
                    self.nodes[at].below.insert((*name).into(), made);
                    made
                }
            };
        }
        Ok(&mut self.nodes[at])
    }
}

/// The directories of a layer that no entry describes.
#[derive(Debug)]
pub(crate) struct Implied {
    nodes: Vec<Node>,
    /// They are counted as long as they are here.
    _share: Share,
}

impl Implied {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.iter().all(|node| !node.implied)
    }

    /// Calls `each` with the path of every one, after all that are below it.
    pub(super) fn each_upwards<E>(
        &self,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        upwards(&self.nodes, |path, node| if node.implied { each(path) } else { Ok(()) })
    }
}

fn cost(name: &[u8]) -> u64 {
    DIRECTORY_BYTES + name.len() as u64
}

/// A step of the way through all directories.
enum Step<'a> {
    /// Goes into one, whose parent's path is so long.
    Into { node: usize, name: &'a [u8], above: usize },
    /// Leaves one, whose path is so long.
    Out { node: usize, length: usize },
}

/// Without recursion: an archive decides how deep it goes.
fn upwards<E>(
    nodes: &[Node],
    mut each: impl FnMut(&[u8], &Node) -> Result<(), E>,
) -> Result<(), E> {
    let mut path = Vec::new();
    let mut steps = vec![Step::Into { node: ROOT, name: b"", above: 0 }];
    while let Some(step) = steps.pop() {
        match step {
            Step::Into { node, name, above } => {
                path.truncate(above);
                if above > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                let length = path.len();
                steps.push(Step::Out { node, length });
                steps.extend(nodes[node].below.iter().map(|(name, below)| Step::Into {
                    node: *below,
                    name,
                    above: length,
                }));
            }
            Step::Out { node, length } => {
                path.truncate(length);
                each(&path, &nodes[node])?;
            }
        }
    }
    Ok(())
}
