//! Transactions: which branches are taken, whether they can be done, and doing them.

mod check;

use crate::state::{State, Writer};
use crate::{
    Compare, CompareResult, CompareTarget, KeyValue, KvError, Op, OpResponse, PutRequest,
    Revisions, Txn, TxnResponse,
};

/// Which branch a transaction takes, and those within it: decided on the state before any step.
#[derive(Debug)]
pub(crate) struct Plan {
    succeeded: bool,
    /// Of each nested transaction of the branch, in order.
    nested: Vec<Plan>,
}

impl Plan {
    /// Decides every branch, then checks that every step of them can be done, as etcd all puts
    /// before all ranges; so no step fails after another has written.
    pub(crate) fn make(state: &State, txn: &Txn) -> Result<Plan, KvError> {
        let plan = Plan::decide(state, txn);
        plan.visit(txn, &|op| match op {
            Op::Put(space, put) => check_put(state, *space, put),
            _ => Ok(()),
        })?;
        plan.visit(txn, &|op| match op {
            Op::Range(space, range) => state.space(*space).check_in_txn(range.revision),
            _ => Ok(()),
        })?;
        Ok(plan)
    }

    fn decide(state: &State, txn: &Txn) -> Plan {
        let succeeded = txn.compare.iter().all(|compare| holds(state, compare));
        let steps = if succeeded { &txn.success } else { &txn.failure };
        let nested = steps.iter().filter_map(|op| match op {
            Op::Txn(inner) => Some(Plan::decide(state, inner)),
            Op::Range(..) | Op::Put(..) | Op::Delete(..) => None,
        });
        Plan { succeeded, nested: nested.collect() }
    }

    fn steps<'t>(&self, txn: &'t Txn) -> &'t [Op] {
        if self.succeeded { &txn.success } else { &txn.failure }
    }

    /// Visits the steps of the branches taken, in order, until one is refused.
    fn visit(&self, txn: &Txn, refuse: &dyn Fn(&Op) -> Result<(), KvError>) -> Result<(), KvError> {
        let mut nested = self.nested.iter();
        for op in self.steps(txn) {
            match op {
                Op::Txn(inner) => {
                    if let Some(plan) = nested.next() {
                        plan.visit(inner, refuse)?;
                    }
                }
                Op::Range(..) | Op::Put(..) | Op::Delete(..) => refuse(op)?,
            }
        }
        Ok(())
    }

    /// Does the steps, in order; each sees what those before it did.
    pub(crate) fn run(&self, writer: &mut Writer<'_>, txn: &Txn) -> Result<TxnResponse, KvError> {
        let mut nested = self.nested.iter();
        let mut results = Vec::with_capacity(self.steps(txn).len());
        for op in self.steps(txn) {
            results.push(match op {
                Op::Range(space, range) => {
                    OpResponse::Range(writer.state.space(*space).range(range)?)
                }
                Op::Put(space, put) => OpResponse::Put(writer.put(*space, put)),
                Op::Delete(space, delete) => OpResponse::Delete(writer.delete(*space, delete)),
                Op::Txn(inner) => match nested.next() {
                    Some(plan) => OpResponse::Txn(plan.run(writer, inner)?),
                    None => continue,
                },
            });
        }
        Ok(TxnResponse { revisions: Revisions::default(), succeeded: self.succeeded, results })
    }
}

impl TxnResponse {
    /// Sets the revisions, which are known only when all is done, here and in nested answers.
    pub(crate) fn set_revisions(&mut self, revisions: Revisions) {
        self.revisions = revisions;
        for result in &mut self.results {
            if let OpResponse::Txn(inner) = result {
                inner.set_revisions(revisions);
            }
        }
    }
}

fn check_put(state: &State, space: crate::SpaceId, put: &PutRequest) -> Result<(), KvError> {
    if (put.ignore_value || put.ignore_lease) && state.get(space, &put.key).is_none() {
        return Err(KvError::KeyNotFound);
    }
    if put.lease != 0 && state.lease(put.lease).is_none() {
        return Err(KvError::LeaseNotFound { id: put.lease });
    }
    Ok(())
}

fn holds(state: &State, compare: &Compare) -> bool {
    let mut any = false;
    for kv in state.space(compare.space).live(&compare.range) {
        any = true;
        if !relation_holds(compare, Some(kv)) {
            return false;
        }
    }
    any || relation_holds(compare, None)
}

fn relation_holds(compare: &Compare, kv: Option<&KeyValue>) -> bool {
    let number = |field: fn(&KeyValue) -> i64| kv.map_or(0, field);
    let order = match &compare.target {
        CompareTarget::Version(given) => number(|kv| kv.version).cmp(given),
        CompareTarget::Create(given) => number(|kv| kv.create_revision).cmp(given),
        CompareTarget::Mod(given) => number(|kv| kv.mod_revision).cmp(given),
        CompareTarget::Lease(given) => number(|kv| kv.lease).cmp(given),
        CompareTarget::Value(given) => match kv {
            Some(kv) => kv.value.cmp(given),
            None => return false,
        },
    };
    match compare.result {
        CompareResult::Equal => order.is_eq(),
        CompareResult::Greater => order.is_gt(),
        CompareResult::Less => order.is_lt(),
        CompareResult::NotEqual => order.is_ne(),
    }
}
