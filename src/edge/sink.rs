//! Writes a request's body through workerd's own pass-through streams. A JavaScript `TransformStream`,
//! or a stream that pulls through Rust, is ten times slower.

use std::ops::Range;

use js_sys::Uint8Array;
use wasm_bindgen_futures::JsFuture;
use worker::worker_sys::FixedLengthStream;

use super::body::{JsChunk, RequestBody};
use super::js::{self, IdentityTransformStream};
use crate::host::{PipeBroken, Sink, SinkClosed};

/// A pass-through stream of this many bytes: more are refused, and fewer are a broken body.
pub(super) fn fixed_length_stream(length: u64) -> web_sys::TransformStream {
    let fixed = match u32::try_from(length) {
        Ok(length) => FixedLengthStream::new(length).ok(),
        Err(_) => FixedLengthStream::new_big_int(length.into()).ok(),
    };
    // It fails only for numbers that no length is.
    fixed.map_or_else(|| IdentityTransformStream::new().into(), Into::into)
}

/// An outgoing body.
///
/// An `IdentityTransformStream` that is dropped ends *cleanly*, so the other side takes what was
/// written for the whole body. So a sink that is dropped before it is closed aborts.
pub(super) struct StreamSink {
    writable: web_sys::WritableStream,
    writer: Option<web_sys::WritableStreamDefaultWriter>,
    /// Aborts the native pipe that is running.
    pipe: Option<web_sys::AbortController>,
    closed: bool,
}

impl StreamSink {
    /// A sink, and the stream that it writes to. `length` is the length of the whole body in bytes.
    pub(super) fn new(length: Option<u64>) -> (Self, web_sys::ReadableStream) {
        let stream = match length {
            Some(length) => fixed_length_stream(length),
            None => IdentityTransformStream::new().into(),
        };
        let writable = stream.writable();
        let writer = writable.get_writer().ok();
        (
            Self {
                writable,
                writer,
                pipe: None,
                closed: false,
            },
            stream.readable(),
        )
    }

    async fn write_view(&self, view: &Uint8Array) -> Result<(), SinkClosed> {
        let writer = self.writer.as_ref().ok_or(SinkClosed)?;
        JsFuture::from(writer.write_with_chunk(view))
            .await
            .map(drop)
            .map_err(|_| SinkClosed)
    }
}

impl Sink for StreamSink {
    type Chunk = JsChunk;
    type Body = RequestBody;

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SinkClosed> {
        self.write_view(&Uint8Array::from(bytes)).await
    }

    async fn write_range(
        &mut self,
        chunk: &JsChunk,
        range: Range<usize>,
    ) -> Result<(), SinkClosed> {
        // A chunk is at most as long as the buffer of a read, so both ends fit.
        let view = chunk.subarray(range).map_err(|_| SinkClosed)?;
        self.write_view(&view).await
    }

    async fn pipe(&mut self, body: &mut RequestBody) -> Result<(), PipeBroken> {
        let Some(source) = body.stream() else {
            return Ok(());
        };
        if let Some(writer) = self.writer.take() {
            writer.release_lock();
        }
        let options = web_sys::StreamPipeOptions::new();
        options.set_prevent_close(true);
        // When the other side fails, the rest of the body is drained.
        options.set_prevent_cancel(true);
        self.pipe = web_sys::AbortController::new().ok();
        if let Some(pipe) = &self.pipe {
            options.set_signal(&pipe.signal());
        }
        let piped = source.pipe_to_with_options(&self.writable, &options);
        body.is_piped_by(&piped);
        let piped = JsFuture::from(piped).await;
        self.pipe = None;
        self.writer = self.writable.get_writer().ok();
        piped.map(drop).map_err(|_| PipeBroken)
    }

    async fn close(mut self) -> Result<(), SinkClosed> {
        self.closed = true;
        let writer = self.writer.as_ref().ok_or(SinkClosed)?;
        JsFuture::from(writer.close())
            .await
            .map(drop)
            .map_err(|_| SinkClosed)
    }
}

impl Drop for StreamSink {
    fn drop(&mut self) {
        if let Some(pipe) = &self.pipe {
            pipe.abort();
        } else if !self.closed {
            let aborted = match &self.writer {
                Some(writer) => writer.abort(),
                None => self.writable.abort(),
            };
            js::ignore(&aborted);
        }
    }
}
