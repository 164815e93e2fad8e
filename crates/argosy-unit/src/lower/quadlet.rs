//! What the translation of a Quadlet file adds to what its systemd sections ask for.

use argosy_model::{ExecCommand, KillMode, NotifyAccess, RestartPolicy, Timeout, UnitName};

use super::Drafts;
use super::context::Context;
use super::images;
use crate::MadeService;
use crate::specifier::{Scope, expand};

impl Drafts {
    /// Adds a command line; `varies` are the places of its words that differ by machine.
    pub(crate) fn add_command(&mut self, key: &str, command: ExecCommand, varies: &[usize]) {
        match key {
            "ExecStartPre" => self.service.images.before.push(images::of_command(&command, varies)),
            "ExecStart" => self.service.images.start.push(images::of_command(&command, varies)),
            _ => {}
        }
        let spec = &mut self.service.spec;
        match key {
            "ExecStartPre" => spec.exec_start_pre.push(command),
            "ExecReload" => spec.exec_reload.push(command),
            "ExecStop" => spec.exec_stop.push(command),
            "ExecStopPost" => spec.exec_stop_post.push(command),
            _ => spec.exec_start.push(command),
        }
    }

    /// Adds a relation of `[Unit]`.
    pub(crate) fn add_relation(&mut self, key: &str, unit: UnitName) {
        let dependencies = &mut self.relations.dependencies;
        let list = match key {
            "Requires" => &mut dependencies.requires,
            "BindsTo" => &mut dependencies.binds_to,
            "Wants" => &mut dependencies.wants,
            "Before" => &mut dependencies.before,
            _ => &mut dependencies.after,
        };
        if !list.contains(&unit) {
            list.push(unit);
        }
    }

    /// Sets what the service says beside its commands. From here on it has something to run.
    pub(crate) fn add_service(&mut self, made: &MadeService, context: &Context<'_>) {
        let draft = &mut self.service;
        draft.translated = true;
        if let Some(service_type) = made.service_type {
            draft.service_type = Some((service_type, 0..0));
        }
        let spec = &mut draft.spec;
        if made.notify_all {
            spec.notify_access = NotifyAccess::All;
        }
        if made.kill_mixed {
            spec.kill_mode = KillMode::Mixed;
        }
        if made.syslog_identifier {
            let name = expand("%N", context.name, context.specifiers, Scope::Machine).0;
            spec.syslog_identifier = Some(name);
        }
        if made.remain_after_exit {
            spec.remain_after_exit = true;
        }
        if made.restart_on_failure {
            spec.restart = RestartPolicy::OnFailure;
        }
    }

    /// Places the unit beside others, and where it stops as these do.
    pub(crate) fn add_placement<'n>(
        &mut self,
        beside: impl Iterator<Item = &'n UnitName>,
        stops_on_partition: bool,
    ) {
        self.placement.follow(beside.cloned(), stops_on_partition);
    }

    /// Returns `TimeoutStopSec=` as far as it is read.
    pub(crate) fn stop_timeout(&self) -> Timeout {
        self.service.spec.timeout_stop
    }

    /// Binds the unit to the machine that has its data, unless `Data=` says what holds; tells
    /// whether it did.
    pub(crate) fn bind_to_data(&mut self) -> bool {
        self.placement.bind_to_data()
    }
}
