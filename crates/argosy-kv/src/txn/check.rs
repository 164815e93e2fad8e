//! What can be told of a transaction without looking at the state (etcd: v3rpc/key.go).

mod deletes;

use std::collections::BTreeSet;

use deletes::Deletes;

use crate::request::TXN_DEPTH_MAX;
use crate::{Compare, KeyRange, KvError, Op, PutRequest, SpaceId, Txn};

impl Txn {
    /// Checks everything that can be told without looking at the state: empty keys,
    /// contradicting flags, at most `ops_max` steps (nested ones draw on what is left), no key
    /// written twice. Applying checks the same but for the number of steps.
    ///
    /// Stricter than etcd in one place: of two nested transactions side by side, the first may
    /// not put a key that the second deletes. A key changes at most once in a revision.
    pub fn check(&self, ops_max: usize) -> Result<(), KvError> {
        self.check_steps(ops_max, TXN_DEPTH_MAX)?;
        Writes::of(&self.success)?;
        Writes::of(&self.failure)?;
        Ok(())
    }

    fn check_steps(&self, ops_max: usize, depth_left: usize) -> Result<(), KvError> {
        let steps = self.compare.len().max(self.success.len()).max(self.failure.len());
        let (Some(ops_left), Some(depth_left)) =
            (ops_max.checked_sub(steps), depth_left.checked_sub(1))
        else {
            return Err(KvError::TooManyOps);
        };
        if self.compare.iter().any(|Compare { range, .. }| range.key.is_empty()) {
            return Err(KvError::EmptyKey);
        }
        for op in self.success.iter().chain(&self.failure) {
            match op {
                Op::Range(_, range) => check_key(&range.range)?,
                Op::Delete(_, delete) => check_key(&delete.range)?,
                Op::Put(_, put) => put.check()?,
                Op::Txn(inner) => inner.check_steps(ops_left, depth_left)?,
            }
        }
        Ok(())
    }
}

fn check_key(range: &KeyRange) -> Result<(), KvError> {
    if range.key.is_empty() { Err(KvError::EmptyKey) } else { Ok(()) }
}

impl PutRequest {
    /// Checks what can be told without looking at the state.
    pub fn check(&self) -> Result<(), KvError> {
        if self.key.is_empty() {
            return Err(KvError::EmptyKey);
        }
        if self.ignore_value && !self.value.is_empty() {
            return Err(KvError::ValueProvided);
        }
        if self.ignore_lease && self.lease != 0 {
            return Err(KvError::LeaseProvided);
        }
        Ok(())
    }
}

/// What one branch may write, nested branches included.
#[derive(Debug, Default)]
struct Writes<'t> {
    puts: BTreeSet<(SpaceId, &'t [u8])>,
    deletes: Deletes<'t>,
}

impl<'t> Writes<'t> {
    /// Collects the writes of a branch, unless a key may be written twice: put and put, or put
    /// and delete. Deletes may overlap, and so may the two branches of one nested transaction.
    fn of(steps: &'t [Op]) -> Result<Writes<'t>, KvError> {
        let mut all = Writes::default();
        for op in steps {
            if let Op::Delete(space, delete) = op {
                all.deletes.add(*space, &delete.range);
            }
        }
        for op in steps {
            if let Op::Txn(inner) = op {
                let (success, failure) = (Writes::of(&inner.success)?, Writes::of(&inner.failure)?);
                all.check_beside(&success)?;
                all.check_beside(&failure)?;
                all.join(success);
                all.join(failure);
            }
        }
        for op in steps {
            if let Op::Put(space, put) = op {
                let key = (*space, &put.key[..]);
                if all.deletes.contain(key) || !all.puts.insert(key) {
                    return Err(KvError::DuplicateKey);
                }
            }
        }
        Ok(all)
    }

    fn check_beside(&self, other: &Writes<'t>) -> Result<(), KvError> {
        let clash = other.puts.iter().any(|key| self.puts.contains(key))
            || other.puts.iter().any(|key| self.deletes.contain(*key))
            || other.deletes.meet(&self.puts);
        if clash { Err(KvError::DuplicateKey) } else { Ok(()) }
    }

    /// Takes in what another branch may write. The smaller of two sets moves, so that a write
    /// that comes up through many levels is not moved at each.
    fn join(&mut self, mut other: Writes<'t>) {
        if other.puts.len() > self.puts.len() {
            std::mem::swap(&mut self.puts, &mut other.puts);
        }
        self.puts.extend(other.puts);
        self.deletes.join(other.deletes);
    }
}
