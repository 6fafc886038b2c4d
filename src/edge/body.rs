//! Reads a request's body.
//!
//! It uses a BYOB reader, because workerd's default reader returns at most 4096 bytes per read. One
//! buffer is used again and again: each read takes it and returns it under a new view.

use std::num::TryFromIntError;
use std::ops::Range;

use js_sys::{ArrayBuffer, Date, Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::js::{self, ByobReader, Needle, ReadResult};
use crate::host::{Body, Chunk, ClientGone};

/// Bytes of the first read. It brings headers and small fields, so that the request to Telegram can
/// begin.
const FIRST_READ_BYTES: u32 = 64 * 1024;
/// Bytes of a read from a client on an ordinary connection. A turn of the event loop costs as much as
/// copying about 100 KiB, so reads are large; but each running upload has a buffer of this size.
const USUAL_READ_BYTES: u32 = 256 * 1024;
/// Bytes of a read from a client that is as fast as the worker.
const MAX_READ_BYTES: u32 = 1024 * 1024;
/// After a read that took less than this, in milliseconds, the next read is twice as large. After one
/// that took four times as long, the next is half as large.
const FAST_READ_MS: f64 = 5.0;
/// Room for a body that goes on after its `Content-Length`.
const LEAST_READ_BYTES: u32 = 1024;

/// A piece of a body. The bytes stay in JavaScript's memory.
pub(super) struct JsChunk {
    pub(super) view: Uint8Array,
}

impl Chunk for JsChunk {
    type Needle = Needle;

    fn needle(delimiter: &[u8]) -> Needle {
        Needle::new(delimiter)
    }

    fn find(&self, needle: &Needle, from: usize) -> usize {
        // A view has at most `MAX_READ_BYTES`.
        u32::try_from(from).map_or(self.len(), |from| needle.find(&self.view, from) as usize)
    }

    fn copy_into(&self, range: Range<usize>, bytes: &mut Vec<u8>) {
        bytes.resize(range.len(), 0);
        if let Ok(range) = self.subarray(range) {
            range.copy_to(bytes);
        }
    }

    fn len(&self) -> usize {
        self.view.length() as usize
    }
}

impl JsChunk {
    /// A part of the chunk, which shares its bytes.
    ///
    /// # Errors
    /// The range is larger than any chunk.
    pub(super) fn subarray(&self, range: Range<usize>) -> Result<Uint8Array, TryFromIntError> {
        Ok(self
            .view
            .subarray(range.start.try_into()?, range.end.try_into()?))
    }
}

/// A request's body.
pub(super) struct RequestBody {
    request: web_sys::Request,
    /// What is read in place of the request's own stream.
    branch: Option<web_sys::ReadableStream>,
    reader: Option<ByobReader>,
    /// How many bytes are left, according to `Content-Length`.
    left: Option<u64>,
    /// How many bytes the next read asks for.
    read_bytes: u32,
    spare: Option<ArrayBuffer>,
    /// A native pipe that holds the stream until this promise is settled.
    piped: Option<Promise>,
}

impl RequestBody {
    /// The body of this request. `length` is its `Content-Length`.
    pub(super) fn new(request: web_sys::Request, length: Option<u64>) -> Self {
        Self {
            request,
            branch: None,
            reader: None,
            left: length,
            read_bytes: FIRST_READ_BYTES,
            spare: None,
            piped: None,
        }
    }

    /// The stream, to pipe it natively; `None` when the request has no body.
    pub(super) fn stream(&self) -> Option<web_sys::ReadableStream> {
        self.branch.clone().or_else(|| self.request.body())
    }

    /// Reads this stream, which has the same bytes, in place of the request's own.
    pub(super) fn replace_stream(&mut self, branch: web_sys::ReadableStream) {
        self.branch = Some(branch);
    }

    /// Notes that a pipe holds the stream until `promise` is settled.
    pub(super) fn is_piped_by(&mut self, promise: &Promise) {
        self.piped = Some(promise.clone());
    }

    fn reader(&mut self) -> Option<&ByobReader> {
        if self.reader.is_none() {
            self.reader = js::byob_reader(&self.stream()?).ok();
        }
        self.reader.as_ref()
    }

    /// A view to read into. It is no larger than the rest of the body, because a held chunk keeps its
    /// whole buffer.
    fn empty_view(&mut self) -> Uint8Array {
        let bytes = match self.left.map(u32::try_from) {
            Some(Ok(left)) => self.read_bytes.min(left.max(LEAST_READ_BYTES)),
            _ => self.read_bytes,
        };
        match self.spare.take() {
            Some(spare) if spare.byte_length() >= bytes => {
                Uint8Array::new_with_byte_offset_and_length(&spare, 0, bytes)
            }
            _ => Uint8Array::new_with_length(bytes),
        }
    }

    /// Notes what was read, and how many milliseconds that took.
    fn has_read(&mut self, view: &Uint8Array, took_ms: f64) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(view.length().into());
        }
        let next = if took_ms < FAST_READ_MS {
            self.read_bytes * 2
        } else if took_ms > FAST_READ_MS * 4.0 {
            self.read_bytes / 2
        } else {
            self.read_bytes
        };
        self.read_bytes = next.clamp(USUAL_READ_BYTES, MAX_READ_BYTES);
    }
}

impl Body for RequestBody {
    type Chunk = JsChunk;

    async fn read(&mut self) -> Result<Option<JsChunk>, ClientGone> {
        let view = self.empty_view();
        let Some(reader) = self.reader() else {
            return Ok(None);
        };
        let began = Date::now();
        let promise = reader
            .read_at_least(view.length(), &view)
            .map_err(|_| ClientGone)?;
        let result: ReadResult = JsFuture::from(promise)
            .await
            .map_err(|_| ClientGone)?
            .unchecked_into();
        // At the end of the body the view is empty or missing.
        let Some(view) = result.value().filter(|view| view.length() > 0) else {
            return Ok(None);
        };
        self.has_read(&view, Date::now() - began);
        Ok(Some(JsChunk { view }))
    }

    fn recycle(&mut self, chunk: JsChunk) {
        self.spare = Some(chunk.view.buffer());
    }

    async fn read_whole(&mut self) -> Result<Vec<u8>, ClientGone> {
        let promise = self.request.array_buffer().map_err(|_| ClientGone)?;
        let buffer: JsValue = JsFuture::from(promise).await.map_err(|_| ClientGone)?;
        Ok(Uint8Array::new(&buffer).to_vec())
    }

    async fn drain(&mut self, most_bytes: u64) {
        if let Some(piped) = self.piped.take() {
            // The stream is free again as soon as the pipe is settled, however it ended.
            let _ = JsFuture::from(piped).await;
        }
        let mut drained = 0;
        while let Ok(Some(chunk)) = self.read().await {
            drained += u64::from(chunk.view.length());
            if drained > most_bytes {
                return;
            }
            self.recycle(chunk);
        }
    }
}
