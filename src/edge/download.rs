//! Files on their way from Telegram to the client, through workerd's own streams.

use std::ops::Range;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStream, WritableStream};

use super::js::{self, FetchedHead};
use super::runtime::fault;
use super::sink::fixed_length_stream;
use crate::host::{CallFault, Download, Fetched, PipeBroken, ReplySink, SinkClosed};

/// Begins a GET. Dropping it before the answer's head has arrived aborts the request.
pub(super) async fn fetch(
    url: String,
    range: Option<Range<u64>>,
) -> Result<Fetched<ResponseBody>, CallFault> {
    let range = range
        .map(|range| format!("bytes={}-{}", range.start, range.end.saturating_sub(1)))
        .unwrap_or_default();
    let guard = AbortOnDrop(AbortController::new().ok());
    let signal = guard.0.as_ref().map(AbortController::signal);
    let fetched: FetchedHead = JsFuture::from(js::fetch_file(&url, &range, signal.as_ref()))
        .await
        .map_err(|error| fault(&error))?
        .unchecked_into();
    guard.disarm();
    Ok(Fetched {
        status: fetched.status(),
        content_length: fetched.length().and_then(|text| text.parse().ok()),
        content_range: fetched.range(),
        retry_after: fetched.retry_after(),
        body: ResponseBody(fetched.body()),
    })
}

struct AbortOnDrop(Option<AbortController>);

impl AbortOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}

/// The body of an answer; `None` if there is none, or if it has been moved elsewhere.
pub(super) struct ResponseBody(Option<ReadableStream>);

impl Download for ResponseBody {
    async fn read_up_to(mut self, most_bytes: usize) -> Result<Vec<u8>, CallFault> {
        let Some(body) = self.0.take() else {
            return Ok(Vec::new());
        };
        let most = u32::try_from(most_bytes).unwrap_or(u32::MAX);
        let bytes = JsFuture::from(js::read_up_to(&body, most))
            .await
            .map_err(|error| fault(&error))?;
        Ok(bytes.unchecked_into::<Uint8Array>().to_vec())
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(body) = self.0.take() {
            js::ignore(&body.cancel());
        }
    }
}

/// Where the body of a streamed reply is written.
pub(super) struct ReplyStream {
    writable: WritableStream,
    closed: bool,
}

impl ReplyStream {
    /// The stream, and the end from which the client reads.
    ///
    /// It has a length, so that workerd itself fails a body that is too short.
    pub(super) fn new(length: u64) -> (Self, ReadableStream) {
        let stream = fixed_length_stream(length);
        let reply = Self {
            writable: stream.writable(),
            closed: false,
        };
        (reply, stream.readable())
    }

    async fn done(promise: Promise) -> Result<(), PipeBroken> {
        JsFuture::from(promise)
            .await
            .map(drop)
            .map_err(|_: JsValue| PipeBroken)
    }
}

impl ReplySink for ReplyStream {
    type Download = ResponseBody;

    async fn pipe(&mut self, mut body: ResponseBody) -> Result<(), PipeBroken> {
        match body.0.take() {
            Some(body) => Self::done(js::pipe(&body, &self.writable)).await,
            None => Ok(()),
        }
    }

    async fn pipe_range(
        &mut self,
        mut body: ResponseBody,
        range: Range<u64>,
    ) -> Result<(), PipeBroken> {
        let body = body.0.take().ok_or(PipeBroken)?;
        // The sizes of Telegram's files are far below the largest integer that a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let (start, end) = (range.start as f64, range.end as f64);
        Self::done(js::pipe_range(&body, &self.writable, start, end)).await
    }

    async fn close(mut self) -> Result<(), SinkClosed> {
        self.closed = true;
        JsFuture::from(self.writable.close())
            .await
            .map(drop)
            .map_err(|_| SinkClosed)
    }
}

impl Drop for ReplyStream {
    fn drop(&mut self) {
        if !self.closed {
            js::break_off(&self.writable);
        }
    }
}
