//! `argosy pod`: podman's commands, for containers that share their network.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{ContainerRun, DataDir, NotifyWhen};

/// `argosy pod`.
#[derive(Debug, Args)]
pub(crate) struct Pod {
    #[command(flatten)]
    pub(crate) data: DataDir,
    #[command(subcommand)]
    pub(crate) action: PodAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PodAction {
    /// Make a pod; prints its id. It holds nothing before it is started.
    Create(Box<PodCreate>),
    /// Start what pods hold for their containers; containers are run by `container run --pod`.
    Start {
        /// Stay in the foreground as the pod, and tell the unit that it has started: `started`.
        #[arg(long, value_enum, value_name = "WHO")]
        sdnotify: Option<NotifyWhen>,
        #[command(flatten)]
        pods: Pods,
    },
    /// Stop the containers of pods, and then the pods.
    Stop {
        /// Seconds until SIGKILL; those that each container was run with by default, or 10.
        #[arg(short, long, value_name = "SECONDS")]
        time: Option<u64>,
        /// No error for one that is not there.
        #[arg(short, long)]
        ignore: bool,
        #[command(flatten)]
        pods: Pods,
    },
    /// Remove pods with their containers, if none of these runs.
    Rm {
        /// Also if some run.
        #[arg(short, long)]
        force: bool,
        /// No error for one that is not there.
        #[arg(short, long)]
        ignore: bool,
        #[command(flatten)]
        pods: Pods,
    },
    /// List pods.
    #[command(visible_alias = "ls")]
    Ps {
        /// Print ids only.
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show everything about pods, as JSON.
    Inspect {
        #[command(flatten)]
        pods: Pods,
    },
}

/// Which pods.
#[derive(Debug, Args)]
pub(crate) struct Pods {
    /// Names, ids, or beginnings of ids.
    #[arg(required = true, value_name = "POD")]
    pub(crate) pods: Vec<String>,
}

/// What becomes of a pod without containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ExitPolicy {
    /// It waits for more.
    Continue,
    /// It ends when the last one has ended, and no other has begun within 10 s.
    Stop,
}

#[derive(Debug, Args)]
pub(crate) struct PodCreate {
    /// Its name; the beginning of its id if there is none.
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    /// Remove an older pod of that name first, with its containers.
    #[arg(long)]
    pub(crate) replace: bool,
    /// What becomes of it when its last container has ended.
    #[arg(long, value_enum, default_value_t = ExitPolicy::Continue, value_name = "POLICY")]
    pub(crate) exit_policy: ExitPolicy,
    /// Write the pod's id into a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) pod_id_file: Option<PathBuf>,
    /// A label, for `inspect`.
    #[arg(short, long, value_name = "KEY[=VALUE]")]
    pub(crate) label: Vec<String>,
    /// Mount a directory of this machine, or a volume, into all its containers.
    #[arg(short, long, value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub(crate) volume: Vec<String>,
    /// Size of the /dev/shm that its containers share, such as 64m.
    #[arg(long, value_name = "BYTES")]
    pub(crate) shm_size: Option<String>,
    /// Its users' namespace: host.
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) userns: Option<String>,
    /// Refused: a pod has no user ids of its own.
    #[arg(long, value_name = "MAP", hide = true)]
    pub(crate) uidmap: Vec<String>,
    /// Refused: a pod has no group ids of its own.
    #[arg(long, value_name = "MAP", hide = true)]
    pub(crate) gidmap: Vec<String>,
    #[command(flatten)]
    pub(crate) wiring: Wiring,
    /// Its name, as with --name.
    #[arg(value_name = "NAME", conflicts_with = "name")]
    pub(crate) positional: Option<String>,
}

/// What is said of networks, for a container or for a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
pub(crate) struct Wiring {
    /// Its network: a name, none, host, or ns:PATH; `bridge` by default.
    #[arg(long, visible_alias = "net", value_name = "NETWORK", help_heading = "Network")]
    pub(crate) network: Vec<String>,
    /// A port of the machine that leads to one of its containers; ranges too.
    #[arg(short, long, value_name = "[[ADDRESS:]PORT:]PORT[/PROTO]", help_heading = "Network")]
    pub(crate) publish: Vec<String>,
    /// Its address in its network.
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) ip: Option<String>,
    /// Its MAC address in its network.
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) mac_address: Option<String>,
    /// A further name of it in its networks.
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) network_alias: Vec<String>,
    /// The host name of its containers; the pod's name by default.
    #[arg(long, value_name = "NAME", help_heading = "Network")]
    pub(crate) hostname: Option<String>,
    /// A line of /etc/hosts: NAME:ADDRESS; host-gateway is this machine.
    #[arg(long, value_name = "NAME:ADDRESS", help_heading = "Network")]
    pub(crate) add_host: Vec<String>,
    /// A name server of its own.
    #[arg(long, value_name = "ADDRESS", help_heading = "Network")]
    pub(crate) dns: Vec<String>,
    /// An option of resolv.conf(5).
    #[arg(long, value_name = "TEXT", help_heading = "Network")]
    pub(crate) dns_option: Vec<String>,
    /// A domain to look names up in.
    #[arg(long, value_name = "DOMAIN", help_heading = "Network")]
    pub(crate) dns_search: Vec<String>,
}

impl From<&ContainerRun> for Wiring {
    fn from(run: &ContainerRun) -> Wiring {
        Wiring {
            network: run.network.clone(),
            publish: run.publish.clone(),
            ip: run.ip.clone(),
            mac_address: run.mac_address.clone(),
            network_alias: run.network_alias.clone(),
            hostname: run.hostname.clone(),
            add_host: run.add_host.clone(),
            dns: run.dns.clone(),
            dns_option: run.dns_option.clone(),
            dns_search: run.dns_search.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn pod(line: &str) -> PodAction {
        let words = ["argosy", "pod"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words).unwrap().command {
            Some(Command::Pod(pod)) => pod.action,
            command => panic!("{command:?}"),
        }
    }

    #[test]
    fn what_quadlet_files_become_is_read() {
        let line = "create --replace --exit-policy=stop --network=systemd-front:ip=10.0.0.7 \
            --label=K --publish=80:80 --volume=/srv/x:/x --shm-size=100m --name=systemd-p";
        let PodAction::Create(create) = pod(line) else { panic!("no create") };
        assert_eq!((create.name.as_deref(), create.replace), (Some("systemd-p"), true));
        assert_eq!(create.exit_policy, ExitPolicy::Stop);
        assert_eq!(create.wiring.network, ["systemd-front:ip=10.0.0.7"]);
        let PodAction::Start { sdnotify, pods } = pod("start --sdnotify=started systemd-p") else {
            panic!("no start")
        };
        assert_eq!(
            (sdnotify, &pods.pods[..]),
            (Some(NotifyWhen::Started), &["systemd-p".to_owned()][..])
        );
        assert!(matches!(pod("stop --ignore --time=10 x"), PodAction::Stop { time: Some(10), .. }));
        assert!(matches!(pod("rm --ignore --force x"), PodAction::Rm { force: true, .. }));
    }
}
