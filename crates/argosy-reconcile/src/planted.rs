//! Asks whether a deliberate defect is planted; constant "no" without the feature.

#[cfg(feature = "planted-bugs")]
use argosy_model::PlantedBug;

/// The planted defect, if any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Planted {
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<PlantedBug>,
}

macro_rules! asks {
    ($($name:ident: $bug:ident),* $(,)?) => {
        impl Planted {
            $(
                pub(crate) fn $name(self) -> bool {
                    #[cfg(feature = "planted-bugs")]
                    return self.bug == Some(PlantedBug::$bug);
                    #[cfg(not(feature = "planted-bugs"))]
                    return false;
                }
            )*
        }
    };
}

asks! {
    stop_on_empty_view: StopOnEmptyView,
    restart_ignored: RestartIgnored,
    announced_unready: AnnouncedUnready,
    withdrawn_late: WithdrawnLate,
    stale_report: StaleReport,
    lost_uncommitted: LostUncommitted,
    back_unheard: BackUnheard,
    start_in_doubt: StartInDoubt,
    stale_start: StaleStart,
    grant_without_round: GrantWithoutRound,
    grant_from_receipt: GrantFromReceipt,
    fence_unwaited: FenceUnwaited,
    grant_unseen: GrantUnseen,
    order_undated: OrderUndated,
    long_unmarked: LongUnmarked,
    image_ignored: ImageIgnored,
    image_awaited: ImageAwaited,
}

impl Planted {
    /// Makes a plan.
    pub(crate) fn plan(self, input: &argosy_scheduler::PlanInput) -> argosy_scheduler::Plan {
        #[cfg(feature = "planted-bugs")]
        return argosy_scheduler::plan_planted(input, self.bug);
        #[cfg(not(feature = "planted-bugs"))]
        return argosy_scheduler::plan(input);
    }

    /// Hands the defect on to a commit.
    #[cfg_attr(
        not(feature = "planted-bugs"),
        expect(unused_variables, reason = "nothing to hand on")
    )]
    pub(crate) fn plant_into(self, commit: &mut argosy_registry::PlanCommit) {
        #[cfg(feature = "planted-bugs")]
        commit.set_planted(self.bug);
    }
}
