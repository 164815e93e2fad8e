//! Bodies on their way: nothing is gathered, each frame is passed on when the other side wants it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::upstream::Leased;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection it came from failed.
    #[error("the body was cut short")]
    Cut(#[source] hyper::Error),
    /// Nothing came for too long.
    #[error("the body stalled")]
    Stalled,
}

/// Ends a body that brings nothing for too long. Arms itself only when there is nothing to pass
/// on, so that a body that is there at once costs no timer.
struct Patience {
    limit: Duration,
    armed: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn new(limit: Duration) -> Patience {
        Patience { limit, armed: None }
    }

    fn progress(&mut self) {
        self.armed = None;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        self.armed.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(cx)
    }
}

/// A request body, from the client to an endpoint.
pub(crate) struct RequestBody(Option<Box<Streaming>>);

struct Streaming {
    incoming: Incoming,
    patience: Patience,
    progress: Progress,
}

/// When the last piece of a request body was sent on, or none yet.
pub(super) type Progress = Rc<Cell<Option<Instant>>>;

impl RequestBody {
    pub(super) fn new(incoming: Incoming, stalled: Duration) -> RequestBody {
        if incoming.is_end_stream() {
            return RequestBody::none();
        }
        let patience = Patience::new(stalled);
        RequestBody(Some(Box::new(Streaming { incoming, patience, progress: Rc::default() })))
    }

    /// A request without body.
    pub(super) fn none() -> RequestBody {
        RequestBody(None)
    }

    /// Returns how far the body has got, unless there is none.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.0.as_ref().map(|body| Rc::clone(&body.progress))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let polled = Pin::new(&mut body.incoming).poll_frame(cx);
        match polled {
            Poll::Ready(frame) => {
                body.patience.progress();
                body.progress.set(Some(Instant::now()));
                Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Cut)))
            }
            Poll::Pending if body.patience.poll(cx).is_ready() => {
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.incoming.size_hint())
    }
}

/// A response body, from an endpoint or of the proxy's own.
pub(crate) struct ResponseBody(Source);

enum Source {
    Own(Option<Bytes>),
    Endpoint { incoming: Incoming, leased: Leased, patience: Patience },
}

impl ResponseBody {
    /// A body of the proxy's own.
    pub(super) fn own(text: Bytes) -> ResponseBody {
        ResponseBody(Source::Own(Some(text)))
    }

    /// The body of an endpoint's response, with the connection it comes over.
    pub(super) fn of(incoming: Incoming, leased: Leased, stalled: Duration) -> ResponseBody {
        ResponseBody(Source::Endpoint { incoming, leased, patience: Patience::new(stalled) })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let (incoming, leased, patience) = match &mut self.0 {
            Source::Own(text) => {
                return Poll::Ready(text.take().map(|text| Ok(Frame::data(text))));
            }
            Source::Endpoint { incoming, leased, patience } => (incoming, leased, patience),
        };
        let mut polled = Pin::new(&mut *incoming).poll_frame(cx);
        if polled.is_pending() {
            // The connection runs in this task: it moves when it is polled.
            leased.poll(cx);
            polled = Pin::new(incoming).poll_frame(cx);
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                patience.progress();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                leased.failed();
                Poll::Ready(Some(Err(BodyError::Cut(error))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending if patience.poll(cx).is_ready() => {
                leased.failed();
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Own(text) => text.is_none(),
            Source::Endpoint { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Source::Endpoint { incoming, .. } => incoming.size_hint(),
        }
    }
}
