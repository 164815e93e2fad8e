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
    conflict_one_way: ConflictOneWay,
    balance_move: BalanceMove,
    eager_repair: EagerRepair,
    uneven_left: UnevenLeft,
    standby_skipped: StandbySkipped,
}
