//! Beats and grants: how a machine is known to be there, and by what right it runs fenced units.
//!
//! A machine sends a *beat* to the leader at a0. The leader answers with a *grant* only after a
//! quorum of voters has confirmed, in a round begun after the beat came, that no later term has
//! begun. The machine may then run fenced units until a0 + d; its keeper begins to kill them k
//! before that, unless a later grant moves the deadline.
//!
//! So a leader knows how long a machine may run them: until d after the last grant that it sent,
//! by the machine's clock. A later leader knows too: whoever voted for it had raised its term
//! before, and confirmed no round of an earlier leader after; hence every earlier grant is for a
//! beat sent before its election. Before a fenced unit is given to another machine, a leader
//! therefore waits until `max(last grant sent, own election) + d (1 + rho) + m`, and grants the
//! machine nothing meanwhile.
//!
//! A machine that comes back is granted nothing before it says that it has seen the assignment
//! with which it came back: what it was told to stop meanwhile it cannot start again.
//!
//! A machine whose daemon is about to begin anew asks for a *long grant*. It is stored that the
//! machine may hold one before the first is sent, so that a later leader knows too; the machine is
//! not lost, and its fence not passed, before the long grant has run out.

mod beater;
mod granter;
mod signs;

pub use beater::{Beat, Beater, Grant};
pub use granter::{Granter, GranterEffect, GranterEvent, Right, Voters};
pub use signs::{Sign, Signs};
