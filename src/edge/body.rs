//! Reading a request's body.
//!
//! With a BYOB reader: workerd's default reader gives at most 4096 bytes a read. One buffer travels
//! back and forth, as each read takes it and gives it back under a new view.

use js_sys::{ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::js::{self, ByobReader, ReadResult};
use crate::host::{Body, Chunk, ClientGone};

/// Bytes of one read: enough that the turns of the event loop cost little beside the bytes.
const BUFFER_BYTES: u32 = 256 * 1024;

/// A piece of a body. The bytes stay in JavaScript's memory.
pub(super) struct JsChunk {
    pub(super) view: Uint8Array,
}

impl Chunk for JsChunk {
    fn copy_into(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.len(), 0);
        self.view.copy_to(bytes);
    }

    fn len(&self) -> usize {
        self.view.length() as usize
    }
}

/// A request's body.
pub(super) struct RequestBody {
    request: web_sys::Request,
    reader: Option<ByobReader>,
    spare: Option<ArrayBuffer>,
    /// A native pipe that has the stream; it is free again when this is settled.
    piped: Option<Promise>,
}

impl RequestBody {
    pub(super) fn new(request: web_sys::Request) -> Self {
        Self {
            request,
            reader: None,
            spare: None,
            piped: None,
        }
    }

    /// The stream, for piping it on natively; none when the request has no body.
    pub(super) fn stream(&self) -> Option<web_sys::ReadableStream> {
        self.request.body()
    }

    /// Notes that the stream belongs to a pipe until that promise is settled.
    pub(super) fn is_piped_by(&mut self, promise: &Promise) {
        self.piped = Some(promise.clone());
    }

    fn reader(&mut self) -> Option<&ByobReader> {
        if self.reader.is_none() {
            self.reader = js::byob_reader(&self.request.body()?).ok();
        }
        self.reader.as_ref()
    }
}

impl Body for RequestBody {
    type Chunk = JsChunk;

    async fn read(&mut self) -> Result<Option<JsChunk>, ClientGone> {
        let buffer = self
            .spare
            .take()
            .unwrap_or_else(|| ArrayBuffer::new(BUFFER_BYTES));
        let Some(reader) = self.reader() else {
            return Ok(None);
        };
        let view = Uint8Array::new(&buffer);
        let promise = reader
            .read_at_least(view.length(), &view)
            .map_err(|_| ClientGone)?;
        let result: ReadResult = JsFuture::from(promise)
            .await
            .map_err(|_| ClientGone)?
            .unchecked_into();
        // At the end it gives an empty view, or none.
        Ok(result
            .value()
            .filter(|view| view.length() > 0)
            .map(|view| JsChunk { view }))
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
            // It has failed, or it would not have come to this.
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
