//! The disk of this machine's images: what nobody uses goes by itself when the disk fills up, and
//! the cluster is told when it is full.
//!
//! The store of images is used by any number of commands beside this. It is only looked at here, and
//! made by whoever brings the first image.

mod bring;
mod wanted;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use argosy_api::local::LocalUnit;
use argosy_api::{Client, ClientError};
use argosy_image::{Collect, Collected, Digest, DiskUse, Limits, Store, StoreError};
use argosy_model::{MachineDisk, MachineId};
use tokio::sync::watch as latest;

use super::control::boot_time;
use super::picture::Picture;
use crate::failure::chain;
pub(super) use bring::{BringParts, Bringer};
use watch::{Change, Watch};

/// How often the disk is looked at: it is one system call, and a pull fills a disk in minutes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Images below the data directory.
pub(super) const IMAGES: &str = "images";

/// Why it could not be looked, or nothing removed.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("which images this machine's own units name is not known")]
    Supervisor(#[from] ClientError),
    #[error("its thread has ended")]
    Thread(#[from] tokio::task::JoinError),
}

/// What the keeper of images needs to know.
pub(super) struct Parts {
    pub(super) data_dir: PathBuf,
    pub(super) limits: Limits,
    pub(super) machine: MachineId,
    pub(super) pictures: latest::Receiver<Picture>,
    pub(super) supervisor: Client,
    /// What this machine is to have beyond what its units name.
    pub(super) wanted: latest::Receiver<BTreeSet<String>>,
}

/// Looks after the disk.
pub(super) struct ImageDisk {
    parts: Parts,
    watch: Watch,
    said: latest::Sender<Option<MachineDisk>>,
    /// What went wrong last, so that it is said once.
    problem: Option<String>,
}

impl ImageDisk {
    /// Looks for the first time. Returns what the machine says of its disk, now and later on.
    pub(super) fn new(parts: Parts) -> (ImageDisk, latest::Receiver<Option<MachineDisk>>) {
        let (said, says) = latest::channel(None);
        let watch = Watch::new(&parts.limits);
        let mut disk = ImageDisk { parts, watch, said, problem: None };
        let seen = used(&disk.parts.data_dir).map(|seen| disk.note(seen));
        disk.told(seen.map_err(LookError::from));
        (disk, says)
    }

    /// Looks again and again, for ever.
    pub(super) async fn run(mut self) {
        loop {
            let looked = self.look().await;
            self.told(looked);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn look(&mut self) -> Result<(), LookError> {
        let data_dir = self.parts.data_dir.clone();
        let seen = tokio::task::spawn_blocking(move || used(&data_dir)).await??;
        self.note(seen);
        let images = self.parts.data_dir.join(IMAGES);
        if !self.watch.is_due(seen.used_percent, boot_time()) || !images.is_dir() {
            return Ok(());
        }
        let (limits, data_dir) = (self.parts.limits, self.parts.data_dir.clone());
        let open = move || Store::open(images, limits).inspect(|store| let_go(&data_dir, store));
        let store = tokio::task::spawn_blocking(open).await??;
        if self.watch.was_in_vain() {
            let (store, in_use) = (store.clone(), self.in_use(&store).await?);
            let any = tokio::task::spawn_blocking(move || store.has_unused(&in_use)).await??;
            if !any {
                self.watch.tried(seen.used_percent, boot_time());
                return Ok(());
            }
        }
        self.collect(&store, seen).await
    }

    /// Removes what nobody uses, one after the other, until there is room or nothing more.
    async fn collect(&mut self, store: &Store, seen: DiskUse) -> Result<(), LookError> {
        let (mut all, mut seen, mut last) = (Collected::default(), seen, None);
        while let Some(step) = self.watch.next(last, seen.used_percent) {
            // Units may have come meanwhile.
            let in_use = self.in_use(store).await?;
            let store = store.clone();
            let removing = tokio::task::spawn_blocking(move || remove(&store, &in_use, step));
            let (removed, now) = removing.await??;
            last = Some((step, !removed.images.is_empty()));
            all.add(removed);
            seen = now;
        }
        if !all.is_empty() {
            let images: Vec<&str> = all.images.iter().map(Digest::short).collect();
            let names: Vec<String> = all.names.iter().map(|name| name.familiar()).collect();
            tracing::info!(
                images = images.join(", "),
                names = names.join(", "),
                bytes = all.bytes,
                used_percent = seen.used_percent,
                "the disk of images filled up: what nobody used was removed"
            );
            let (store, all) = (store.clone(), all.clone());
            tokio::task::spawn_blocking(move || store.note_collected(&all)).await??;
        }
        if self.watch.tried(seen.used_percent, boot_time()) {
            tracing::warn!(
                used_percent = seen.used_percent,
                "the disk of images fills up, and none is left that nobody uses"
            );
        }
        self.note(seen);
        Ok(())
    }

    /// The images that units of this machine name, whether they run now or not.
    async fn in_use(&self, store: &Store) -> Result<BTreeSet<Digest>, LookError> {
        let mut words = BTreeSet::new();
        let own: Vec<LocalUnit> = self.parts.supervisor.get("/v1/units").await?;
        own.iter().for_each(|unit| wanted::of_text(&unit.text, &mut words));
        wanted::of_assigned(&self.parts.pictures.borrow(), self.parts.machine, &mut words);
        words.extend(self.parts.wanted.borrow().iter().cloned());
        let store = store.clone();
        let named = move || store.named_in(words.iter().map(String::as_str));
        Ok(tokio::task::spawn_blocking(named).await??)
    }

    /// Says how full the disk is, and what that changes.
    fn note(&mut self, seen: DiskUse) {
        let used_percent = seen.used_percent;
        match self.watch.see(used_percent) {
            Some(Change::Full) => {
                tracing::warn!(used_percent, "the disk of images is full: no new units come here");
            }
            Some(Change::Room) => {
                tracing::info!(used_percent, "the disk of images has room again for new units");
            }
            None => {}
        }
        let says = Some(self.watch.says(used_percent));
        self.said.send_if_modified(|said| std::mem::replace(said, says) != says);
    }

    /// Says once what went wrong.
    fn told(&mut self, looked: Result<(), LookError>) {
        let problem = looked.err().map(|error| chain(&error));
        if let Some(problem) = problem.as_ref().filter(|it| Some(*it) != self.problem.as_ref()) {
            tracing::warn!(problem, "the disk of images cannot be looked after");
        }
        self.problem = problem;
    }
}

/// How full the disk is on which images are, or would be.
fn used(data_dir: &Path) -> Result<DiskUse, StoreError> {
    let images = data_dir.join(IMAGES);
    DiskUse::at(if images.is_dir() { &images } else { data_dir })
}

fn remove(
    store: &Store,
    in_use: &BTreeSet<Digest>,
    step: Collect,
) -> Result<(Collected, DiskUse), StoreError> {
    let removed = store.collect(in_use, step)?;
    let now = if removed.is_empty() { store.disk()? } else { store.settled_disk()? };
    Ok((removed, now))
}

/// Lets go of what killed containers held. What cannot be let go stays, as if it were in use.
fn let_go(data_dir: &Path, store: &Store) {
    if let Err(failure) = crate::container::let_images_go(data_dir, store) {
        tracing::warn!(problem = failure.message, "images of containers that are gone stay");
    }
}
