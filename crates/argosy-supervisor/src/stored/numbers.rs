//! The numbers that words have in stored state. A number is never given a second meaning.

use argosy_model::{SubState, UnitResult};

use crate::ExecRole;
use crate::job::JobKind;
use crate::unit::Notified;

macro_rules! numbered {
    ($to:ident, $from:ident, $type:ty, { $($number:literal = $word:path),+ $(,)? }) => {
        pub(super) fn $to(word: $type) -> u32 {
            match word { $($word => $number),+ }
        }

        pub(super) fn $from(number: u32) -> Option<$type> {
            match number { $($number => Some($word),)+ _ => None }
        }
    };
}

numbered!(sub_state, to_sub_state, SubState, {
    1 = SubState::Dead,
    2 = SubState::Condition,
    3 = SubState::StartPre,
    4 = SubState::Start,
    5 = SubState::StartPost,
    6 = SubState::Running,
    7 = SubState::Exited,
    8 = SubState::Reload,
    9 = SubState::Stop,
    10 = SubState::StopSigterm,
    11 = SubState::StopSigkill,
    12 = SubState::StopPost,
    13 = SubState::FinalSigterm,
    14 = SubState::FinalSigkill,
    15 = SubState::Failed,
    16 = SubState::AutoRestart,
});

numbered!(result, to_result, UnitResult, {
    1 = UnitResult::Success,
    2 = UnitResult::Resources,
    3 = UnitResult::Protocol,
    4 = UnitResult::Timeout,
    5 = UnitResult::ExitCode,
    6 = UnitResult::Signal,
    7 = UnitResult::CoreDump,
    8 = UnitResult::Watchdog,
    9 = UnitResult::StartLimitHit,
    10 = UnitResult::OomKill,
    11 = UnitResult::ExecCondition,
    12 = UnitResult::Unknown,
    13 = UnitResult::Fenced,
});

numbered!(role, to_role, ExecRole, {
    1 = ExecRole::Condition,
    2 = ExecRole::StartPre,
    3 = ExecRole::Main,
    4 = ExecRole::StartPost,
    5 = ExecRole::Reload,
    6 = ExecRole::Stop,
    7 = ExecRole::StopPost,
});

numbered!(notified, to_notified, Notified, {
    1 = Notified::Nothing,
    2 = Notified::Ready,
    3 = Notified::Reloading,
    4 = Notified::Stopping,
});

numbered!(job_kind, to_job_kind, JobKind, {
    1 = JobKind::Start,
    2 = JobKind::Stop,
    3 = JobKind::Restart,
    4 = JobKind::Reload,
});
