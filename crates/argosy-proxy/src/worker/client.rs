//! Open client connections, and the wishes of the worker towards them: finish, or end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use super::{Listener, LocalEndpoint};
use crate::endpoint::{EndpointCell, Running};

/// What a client connection is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    GoOn,
    Finish,
    End,
}

/// How a client connection is reached from outside its task.
pub(crate) struct ClientControl {
    listener: Rc<Listener>,
    wish: Cell<Wish>,
    waker: RefCell<Option<Waker>>,
    /// Where its request or connection runs now.
    endpoint: RefCell<Option<Arc<EndpointCell>>>,
}

impl ClientControl {
    fn ask(&self, wish: Wish) {
        self.wish.set(wish);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Polls `task` unless it shall end at once (none); calls `finish` when it shall finish.
    pub(crate) async fn run<F: Future>(
        &self,
        mut task: Pin<&mut F>,
        mut finish: impl FnMut(Pin<&mut F>),
    ) -> Option<F::Output> {
        std::future::poll_fn(|cx: &mut Context<'_>| {
            match self.wish.get() {
                Wish::GoOn => {}
                Wish::Finish => {
                    self.wish.set(Wish::GoOn);
                    finish(task.as_mut());
                }
                Wish::End => return Poll::Ready(None),
            }
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
            drop(waker);
            task.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

/// All open client connections of a worker.
#[derive(Default)]
pub(super) struct Clients {
    open: RefCell<BTreeMap<u64, Rc<ClientControl>>>,
    last: Cell<u64>,
}

impl Clients {
    pub(super) fn open(self: &Rc<Self>, listener: &Rc<Listener>) -> OpenClient {
        let number = self.last.get() + 1;
        self.last.set(number);
        let control = Rc::new(ClientControl {
            listener: Rc::clone(listener),
            wish: Cell::new(Wish::GoOn),
            waker: RefCell::default(),
            endpoint: RefCell::default(),
        });
        self.open.borrow_mut().insert(number, Rc::clone(&control));
        listener.cell().open.fetch_add(1, Ordering::AcqRel);
        listener.worker.shared.open.fetch_add(1, Ordering::AcqRel);
        OpenClient { listener: Rc::clone(listener), control, clients: Rc::clone(self), number }
    }

    /// Ends what runs at an endpoint.
    pub(super) fn cut(&self, endpoint: &Arc<EndpointCell>) {
        for control in self.open.borrow().values() {
            let there =
                control.endpoint.borrow().as_ref().is_some_and(|at| Arc::ptr_eq(at, endpoint));
            if there {
                control.ask(Wish::End);
            }
        }
    }

    /// Asks all to finish, or those of one listener.
    pub(super) fn finish(&self, listener: Option<&Rc<Listener>>) {
        for control in self.open.borrow().values() {
            if listener.is_none_or(|wanted| Rc::ptr_eq(wanted, &control.listener)) {
                control.ask(Wish::Finish);
            }
        }
    }
}

/// An open client connection, counted until dropped.
pub(crate) struct OpenClient {
    pub(crate) listener: Rc<Listener>,
    pub(crate) control: Rc<ClientControl>,
    clients: Rc<Clients>,
    number: u64,
}

impl OpenClient {
    /// Returns a second registration, for a connection that outlives its HTTP part.
    pub(crate) fn again(&self) -> OpenClient {
        self.clients.open(&self.listener)
    }

    /// Notes that a request or connection runs at an endpoint from now on.
    pub(crate) fn busy(&self, endpoint: &LocalEndpoint) -> Busy {
        self.control.endpoint.replace(Some(Arc::clone(&endpoint.cell)));
        let (control, running) = (Rc::clone(&self.control), Running::new(&endpoint.cell));
        Busy { control, endpoint: Arc::clone(&endpoint.cell), _running: running }
    }
}

impl Drop for OpenClient {
    fn drop(&mut self) {
        self.clients.open.borrow_mut().remove(&self.number);
        let shared = &self.listener.worker.shared;
        self.listener.cell().open.fetch_sub(1, Ordering::AcqRel);
        shared.open.fetch_sub(1, Ordering::AcqRel);
        if !self.listener.worker.is_serving() {
            shared.progress.notify_one();
        }
    }
}

/// A request or connection that runs at an endpoint, until dropped.
pub(crate) struct Busy {
    control: Rc<ClientControl>,
    endpoint: Arc<EndpointCell>,
    _running: Running,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut current = self.control.endpoint.borrow_mut();
        // A later request may have begun.
        if current.as_ref().is_some_and(|at| Arc::ptr_eq(at, &self.endpoint)) {
            *current = None;
        }
    }
}
