//! The control thread: follows tables, tells the workers, withdraws, drains, checks, stores.
//!
//! Requests never wait for it. It may be late with a table; it is never late with a request.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as Task;
use tokio::time::{Instant, sleep, sleep_until};

use crate::directive::{Directive, ListenerCell, Phase, Shared};
use crate::listening::Listening;
use crate::{Check, Shutdown, Table, TableError};

mod checks;
mod routes;

use routes::Routes;

/// How often draining endpoints are looked at: a drain lasts seconds.
const DRAIN_TICK: Duration = Duration::from_millis(50);

/// How often an address that cannot be listened on is tried again: whoever has it may go.
const OPEN_AGAIN: Duration = Duration::from_millis(500);

/// What the control thread works with.
pub(crate) struct Control {
    shared: Arc<Shared>,
    tables: watch::Receiver<Arc<Table>>,
    routes: Routes,
    directive: watch::Sender<Arc<Directive>>,
    acknowledged: watch::Sender<u64>,
    unopened: watch::Sender<Vec<String>>,
    listening: Listening,
    /// The table that is not stored yet; a newer one replaces it.
    unsaved: Option<Arc<Table>>,
}

/// What its owner sees of the control thread.
pub(crate) struct Ends {
    pub(crate) directive: watch::Receiver<Arc<Directive>>,
    pub(crate) acknowledged: watch::Receiver<u64>,
    pub(crate) unopened: watch::Receiver<Vec<String>>,
}

/// What the control thread is woken by.
enum Event {
    Table,
    TablesGone,
    Progress,
    DrainTick,
    OpenAgain,
    Saved,
    Stop(Option<Duration>),
}

/// Makes the control thread's event loop.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl Control {
    /// Takes the first table, or the stored one in its place, so that workers begin with it.
    pub(crate) fn new(
        shared: Arc<Shared>,
        configured: Vec<Arc<ListenerCell>>,
        mut tables: watch::Receiver<Arc<Table>>,
    ) -> (Control, Ends) {
        let mut routes = Routes::new(shared.clock, shared.config.limits.drain);
        let mut table = Arc::clone(&tables.borrow_and_update());
        let mut unsaved = Some(Arc::clone(&table));
        let is_stored = table.generation == 0;
        if is_stored {
            unsaved = None;
            if let Some(stored) = load(&shared) {
                table = Arc::new(stored);
            }
        }
        routes.follow(&table);
        let mut listening = Listening::new(&shared.config, configured);
        listening.follow(&table.published);
        // An earlier proxy may have opened what the stored table does not know yet.
        if !is_stored {
            listening.release_rest();
        }
        let first = routes.directive(listening.open(), Phase::Serve);
        let (directive, directives) = watch::channel(Arc::new(first));
        let (acknowledged, acknowledgements) = watch::channel(0);
        let (unopened, problems) = watch::channel(listening.problems());
        let control = Control {
            shared,
            tables,
            routes,
            directive,
            acknowledged,
            unopened,
            listening,
            unsaved,
        };
        let ends =
            Ends { directive: directives, acknowledged: acknowledgements, unopened: problems };
        (control, ends)
    }

    fn publish(&self, phase: Phase) {
        let directive = self.routes.directive(self.listening.open(), phase);
        self.directive.send_replace(Arc::new(directive));
        let problems = self.listening.problems();
        self.unopened.send_if_modified(|known| {
            let changed = *known != problems;
            *known = problems;
            changed
        });
    }

    fn follow_newest(&mut self) {
        let table = Arc::clone(&self.tables.borrow_and_update());
        if !self.routes.follow(&table) {
            return;
        }
        self.listening.follow(&table.published);
        self.listening.release_rest();
        self.routes.drain();
        self.publish(Phase::Serve);
        self.unsaved = Some(table);
        self.check_added();
    }

    fn check_added(&mut self) {
        for (service, endpoint) in self.routes.take_added() {
            let config = &self.shared.config;
            let told = || endpoint.endpoint.check.clone().map(Check::new);
            let check = config.checks.get(&service).cloned().or_else(told);
            if let Some(check) = check.or_else(|| config.default_check.clone()) {
                // Ends by itself once the endpoint is withdrawn, or with this event loop.
                drop(tokio::spawn(checks::run(endpoint, check)));
            }
        }
    }

    fn acknowledge(&self) {
        let followed = self.shared.acknowledged();
        self.acknowledged.send_if_modified(|last| {
            let risen = followed > *last;
            *last = followed.max(*last);
            risen
        });
    }

    /// Begins to store the newest table, unless none is kept or it is stored already. Nothing
    /// waits for it: the disk may be slow.
    fn save(&mut self) -> Option<Task<Result<(), TableError>>> {
        let path = self.shared.config.table_path.clone()?;
        let table = self.unsaved.take()?;
        Some(tokio::task::spawn_blocking(move || table.store(&path)))
    }
}

fn load(shared: &Shared) -> Option<Table> {
    let path = shared.config.table_path.as_ref()?;
    match Table::load(path) {
        Ok(table) => table,
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "no stored table");
            None
        }
    }
}

/// Runs until told to stop, then drains and ends the workers.
pub(crate) async fn run(
    mut control: Control,
    mut stopping: oneshot::Receiver<Duration>,
    threads: Vec<JoinHandle<()>>,
    done: oneshot::Sender<Shutdown>,
) {
    let shared = Arc::clone(&control.shared);
    let (mut tables_gone, mut saving) = (false, None);
    control.check_added();
    control.acknowledge();
    let drain = loop {
        if saving.is_none() {
            saving = control.save();
        }
        let event = tokio::select! {
            stop = &mut stopping => Event::Stop(stop.ok()),
            changed = control.tables.changed(), if !tables_gone => match changed {
                Ok(()) => Event::Table,
                Err(_) => Event::TablesGone,
            },
            () = shared.progress.notified() => Event::Progress,
            () = sleep(DRAIN_TICK), if control.routes.is_draining() => Event::DrainTick,
            () = sleep(OPEN_AGAIN), if control.listening.is_lacking() => Event::OpenAgain,
            saved = saved(&mut saving) => {
                if let Err(error) = saved {
                    tracing::error!(error = &error as &dyn std::error::Error, "table not stored");
                }
                Event::Saved
            }
        };
        match event {
            Event::Table => control.follow_newest(),
            Event::TablesGone => tables_gone = true,
            Event::Progress => control.acknowledge(),
            Event::DrainTick => {
                if control.routes.drain() {
                    control.publish(Phase::Serve);
                }
            }
            Event::OpenAgain => {
                if control.listening.try_again() {
                    control.publish(Phase::Serve);
                }
            }
            Event::Saved => saving = None,
            Event::Stop(drain) => break drain,
        }
    };
    let cut = stop(&control, drain).await;
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a worker has panicked");
        }
    }
    if let Some(saving) = saving {
        // The table of a moment ago is complete on disk or not there at all.
        saving.abort();
    }
    // Nobody may be waiting any more.
    let _ = done.send(Shutdown { cut });
}

/// Waits for the end of the store, or for ever if there is none.
async fn saved(saving: &mut Option<Task<Result<(), TableError>>>) -> Result<(), TableError> {
    match saving {
        // A panic there would be reported by the panic hook; the table is written next time.
        Some(task) => task.await.unwrap_or(Ok(())),
        None => std::future::pending().await,
    }
}

/// Lets clients finish for `drain`, then ends the workers. Returns how many were cut.
async fn stop(control: &Control, drain: Option<Duration>) -> u64 {
    let shared = &control.shared;
    let deadline = Instant::now() + drain.unwrap_or_default();
    if drain.is_some() {
        control.publish(Phase::Drain);
    }
    while shared.open() > 0 && Instant::now() < deadline {
        tokio::select! {
            () = shared.progress.notified() => {}
            () = sleep_until(deadline) => {}
        }
    }
    let cut = shared.open();
    control.publish(Phase::Stop);
    cut
}
