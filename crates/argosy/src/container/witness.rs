//! The roles that the program plays for a container: its monitor, and its companion.

use std::process::ExitCode;

use argosy_container::{ContainerId, Containers, Exit, Witness};
use argosy_network::{COMPANION_ROLE, companion_main};

use super::record::EngineRecord;
use super::{Engine, HELPER};

/// Is the helper, or a companion of a container, if the command line asks for it.
pub(crate) fn hidden_role() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next()?.to_str()? {
        HELPER => Some(argosy_container::helper_main(arguments, &mut Teller::default())),
        COMPANION_ROLE => Some(companion_main(arguments)),
        _ => None,
    }
}

/// Notes the events of a container, and lets go of what it had.
#[derive(Debug, Default)]
struct Teller {
    /// As it was when it ended: with its files its record goes, too.
    record: Option<EngineRecord>,
}

impl Witness for Teller {
    fn started(&mut self, containers: &Containers, id: &ContainerId) {
        if let Some(engine) = Engine::around(containers) {
            engine.tell(id, "start", &[]);
        }
    }

    fn ended(&mut self, containers: &Containers, id: &ContainerId, exit: &Exit) {
        let Some(engine) = Engine::around(containers) else { return };
        self.record = engine.record(id);
        if exit.oom_killed {
            engine.tell_of(id, self.record.as_ref(), "oom", &[]);
        }
        let code = [("exitCode", exit.code.to_string())];
        engine.tell_of(id, self.record.as_ref(), "die", &code);
    }

    fn removed(&mut self, containers: &Containers, id: &ContainerId, by_us: bool) {
        let Some(engine) = Engine::around(containers) else { return };
        if by_us {
            engine.tell_of(id, self.record.as_ref(), "destroy", &[]);
        }
        let_go(&engine, id);
    }
}

/// Lets go, as its monitor, of what a container has had that its end has taken away. What cannot be let
/// go of now goes when the next container is made.
fn let_go(engine: &Engine, id: &ContainerId) {
    let volumes = engine.volumes.list().unwrap_or_default();
    for volume in volumes.iter().filter(|it| it.goes_with.as_ref() == Some(id)) {
        drop(engine.volumes.remove(engine, &volume.name));
    }
    if let Err(failure) = engine.release(id, None) {
        crate::printer::note(&format!(
            "cannot let go of what container {} had: {}; the next one that is made does",
            id.short(),
            failure.message
        ));
    }
}
