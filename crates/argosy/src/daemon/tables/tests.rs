//! A table comes when routes change, under the revision at which they did, and not otherwise.

use std::collections::BTreeMap;

use argosy_kv::{Applied, Command, CommandKind, State};
use argosy_model::{MachineId, UnitName, UnixMicros};
use argosy_registry::{ClusterViewBuilder, Edit, StoredMachine};

use super::*;

struct Stand {
    state: State,
    builder: ClusterViewBuilder,
    tables: Tables,
    newest: watch::Receiver<Arc<TableView>>,
    index: u64,
}

impl Stand {
    /// Makes an edit; returns the new table, if there is one.
    fn edit(&mut self, change: impl FnOnce(&mut Edit)) -> Option<Arc<TableView>> {
        let mut edit = Edit::new(self.builder.view());
        change(&mut edit);
        self.index += 1;
        let kind = CommandKind::Txn(edit.finish().unwrap());
        let command = Command { proposed_at: UnixMicros(0), kind };
        let Applied { events, .. } = self.state.apply(self.index, 1, &command);
        self.builder.apply_events(&events);
        self.tables.follow(self.builder.view());
        let changed = self.newest.has_changed().unwrap();
        changed.then(|| Arc::clone(&self.newest.borrow_and_update()))
    }

    fn revision(&self) -> u64 {
        self.builder.view().revision().unsigned_abs()
    }
}

fn machine(zone: &str) -> StoredMachine {
    StoredMachine {
        id: MachineId(1),
        name: "m1".to_owned(),
        address: "192.0.2.1".to_owned(),
        metadata: BTreeMap::from([("zone".to_owned(), zone.to_owned())]),
        cordoned: false,
        lost: false,
        long_grant: false,
        disk_full: false,
        port: 0,
        member: 0,
    }
}

#[test]
fn a_table_comes_with_the_revision_at_which_routes_changed() {
    let (tables, newest) = Tables::new();
    let builder = ClusterViewBuilder::new(crate::daemon::follow::spec_source());
    let mut stand = Stand { state: State::new(), builder, tables, newest, index: 0 };
    let unit = UnitName::new("web.service").unwrap();
    let text = "[Service]\nExecStart=/bin/web\n\
                [X-Argosy]\nEndpoint=web:8080/http\nPublish=80\n";
    let submit = |edit: &mut Edit| {
        edit.submit(&unit, text, "root", UnixMicros(0), None).unwrap();
    };
    assert!(stand.edit(submit).is_none(), "no machine is known: nothing was read yet");
    let first = stand.edit(|edit| edit.put_machine(machine("a")).unwrap()).unwrap();
    assert_eq!(first.generation, stand.revision());
    assert!(stand.edit(|edit| edit.cordon(MachineId(1), true).unwrap()).is_none());
    let second = stand.edit(|edit| edit.start(&unit).unwrap()).unwrap();
    assert_eq!((second.generation, second.published.len()), (stand.revision(), 1));
    assert!(stand.edit(|edit| edit.restart(&unit).unwrap()).is_none());
    let third = stand.edit(|edit| edit.stop(&unit).unwrap()).unwrap();
    assert_eq!((third.generation, third.published.len()), (stand.revision(), 0));
}
