//! The words of `argosy demo`, and of the program that its units run.

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after the story, instead of staying.
    #[arg(long)]
    pub(crate) once: bool,
    /// How machines are kept apart; the best that works by default.
    #[arg(long, value_enum)]
    pub(crate) mode: Option<DemoMode>,
    /// Run the units as processes, not as containers.
    #[arg(long)]
    pub(crate) native: bool,
    /// The demonstration's name, and that of its context; one of a name runs at a time.
    #[arg(long, global = true, default_value = "demo")]
    pub(crate) name: String,
    /// Which machine is lost.
    #[arg(long, value_enum, default_value_t = Lose::Leader)]
    pub(crate) lose: Lose,
    /// How soon the loss is noticed: lan (half a second), default or wan.
    #[arg(long, value_name = "PRESET", default_value_t)]
    pub(crate) timing: argosy_reconcile::Preset,
    /// End the story once everything answers elsewhere; for measuring.
    #[arg(long, hide = true)]
    pub(crate) loss_only: bool,
    #[command(subcommand)]
    pub(crate) action: Option<DemoAction>,
}

/// Which machine is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lose {
    /// The one that leads.
    Leader,
    /// One that does not.
    Follower,
}

/// How machines are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoMode {
    /// Namespaces made by root.
    Root,
    /// Namespaces made by an ordinary user.
    User,
    /// No namespaces: processes at addresses of their own.
    Loopback,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DemoAction {
    /// List the machines of the running demonstration.
    List,
    /// Run a program inside a machine; a shell by default.
    Enter {
        /// The machine.
        machine: String,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Lose a machine at once, as by a power cut.
    Kill {
        /// The machine.
        machine: String,
    },
    /// Freeze all processes of a machine.
    Pause {
        /// The machine.
        machine: String,
    },
    /// End a pause.
    Resume {
        /// The machine.
        machine: String,
    },
    /// Cut a machine, or groups of machines, from the others, in place of the cuts before.
    Partition {
        /// Machines that stay together, as m1,m2; those not named are one more group.
        #[arg(required = true, value_name = "M,M")]
        groups: Vec<String>,
    },
    /// End all cuts.
    Heal,
    /// Add a machine to the cluster, or switch on one that is stopped.
    Add {
        /// The machine; the next free name by default.
        machine: Option<String>,
        /// The zone of a new machine; the one with the fewest machines by default.
        #[arg(long)]
        zone: Option<String>,
    },
    /// Switch a machine off in order.
    Stop {
        /// The machine.
        machine: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DemoUnit {
    /// The unit's own name.
    #[arg(long)]
    pub(crate) unit: String,
    /// The machine's name.
    #[arg(long)]
    pub(crate) machine: String,
    /// Where to listen, at the machine's address.
    #[arg(long)]
    pub(crate) port: u16,
    /// A key of the store whose value belongs into the answer.
    #[arg(long, value_name = "KEY")]
    pub(crate) look_up: Option<String>,
}
