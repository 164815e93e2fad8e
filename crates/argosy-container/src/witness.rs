//! What a container's monitor tells the program that it is a part of.

use crate::record::Exit;
use crate::spec::ContainerId;
use crate::store::Containers;

/// Hears of one container's life. It is told in the monitor's loop, and must not wait for anybody.
pub trait Witness {
    /// The program runs.
    fn started(&mut self, containers: &Containers, id: &ContainerId);
    /// It has ended. Its files and records are still there.
    fn ended(&mut self, containers: &Containers, id: &ContainerId, exit: &Exit);
    /// Its end has taken it away, or, if not `by_us`, somebody else has: what it had beside its files
    /// can go.
    fn removed(&mut self, containers: &Containers, id: &ContainerId, by_us: bool);
}

/// Nobody wants to know.
impl Witness for () {
    fn started(&mut self, _: &Containers, _: &ContainerId) {}
    fn ended(&mut self, _: &Containers, _: &ContainerId, _: &Exit) {}
    fn removed(&mut self, _: &Containers, _: &ContainerId, _: bool) {}
}
