//! Bindings that `web-sys` and `worker` lack, and those of `glue.js`.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};

#[wasm_bindgen]
extern "C" {
    /// workerd's pass-through stream of unknown length
    /// (developers.cloudflare.com, "`TransformStream`").
    #[wasm_bindgen(extends = web_sys::TransformStream)]
    pub(super) type IdentityTransformStream;

    #[wasm_bindgen(constructor)]
    pub(super) fn new() -> IdentityTransformStream;

    #[wasm_bindgen(extends = web_sys::ReadableStream)]
    type ByteStream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn get_reader(
        this: &ByteStream,
        options: &web_sys::ReadableStreamGetReaderOptions,
    ) -> Result<ByobReader, JsValue>;

    /// A BYOB reader with workerd's `readAtLeast`.
    #[wasm_bindgen(extends = web_sys::ReadableStreamByobReader)]
    pub(super) type ByobReader;

    /// Fills `view` with at least `min` bytes, unless the stream ends earlier
    /// (developers.cloudflare.com, "`ReadableStreamBYOBReader`").
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    pub(super) fn read_at_least(
        this: &ByobReader,
        min: u32,
        view: &Uint8Array,
    ) -> Result<Promise, JsValue>;

    /// The result of a read.
    pub(super) type ReadResult;

    #[wasm_bindgen(method, getter)]
    pub(super) fn value(this: &ReadResult) -> Option<Uint8Array>;

    #[wasm_bindgen(thread_local_v2, js_name = crypto)]
    static CRYPTO: web_sys::Crypto;
}

#[wasm_bindgen(module = "/src/edge/glue.js")]
extern "C" {
    pub(super) fn ignore(promise: &Promise);

    /// A delimiter to search for.
    pub(super) type Needle;

    #[wasm_bindgen(constructor)]
    pub(super) fn new(delimiter: &[u8]) -> Needle;

    #[wasm_bindgen(method)]
    pub(super) fn find(this: &Needle, view: &Uint8Array, from: u32) -> u32;

    /// A digest that is being computed.
    pub(super) type Digester;

    #[wasm_bindgen(constructor)]
    pub(super) fn new(algorithm: &str) -> Digester;

    #[wasm_bindgen(method)]
    pub(super) fn write(this: &Digester, view: &Uint8Array) -> Promise;

    #[wasm_bindgen(method)]
    pub(super) fn watch(this: &Digester, body: &web_sys::ReadableStream)
    -> web_sys::ReadableStream;

    #[wasm_bindgen(method)]
    pub(super) fn finish(this: &Digester) -> Promise;

    pub(super) fn limit(limiter: &JsValue, key: &str) -> Promise;

    pub(super) fn head(request: &web_sys::Request, wanted: &str) -> String;

    #[wasm_bindgen(catch)]
    pub(super) fn respond(
        status: u16,
        headers: &str,
        body: &str,
    ) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(catch, js_name = respond)]
    pub(super) fn respond_with_stream(
        status: u16,
        headers: &str,
        body: &web_sys::ReadableStream,
    ) -> Result<web_sys::Response, JsValue>;

    #[wasm_bindgen(js_name = fetchFile)]
    pub(super) fn fetch_file(
        url: &str,
        range: &str,
        signal: Option<&web_sys::AbortSignal>,
    ) -> Promise;

    /// The head of an answer, and its body, unread.
    pub(super) type FetchedHead;

    #[wasm_bindgen(method, getter)]
    pub(super) fn status(this: &FetchedHead) -> u16;

    #[wasm_bindgen(method, getter)]
    pub(super) fn length(this: &FetchedHead) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    pub(super) fn range(this: &FetchedHead) -> Option<String>;

    #[wasm_bindgen(method, getter, js_name = retryAfter)]
    pub(super) fn retry_after(this: &FetchedHead) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    pub(super) fn body(this: &FetchedHead) -> Option<web_sys::ReadableStream>;

    #[wasm_bindgen(js_name = readUpTo)]
    pub(super) fn read_up_to(body: &web_sys::ReadableStream, most: u32) -> Promise;

    pub(super) fn pipe(
        body: &web_sys::ReadableStream,
        writable: &web_sys::WritableStream,
    ) -> Promise;

    #[wasm_bindgen(js_name = breakOff)]
    pub(super) fn break_off(writable: &web_sys::WritableStream);

    #[wasm_bindgen(js_name = pipeRange)]
    pub(super) fn pipe_range(
        body: &web_sys::ReadableStream,
        writable: &web_sys::WritableStream,
        start: f64,
        end: f64,
    ) -> Promise;

    pub(super) fn exchange(
        url: &str,
        method: &str,
        headers: &str,
        body: &JsValue,
        last: Option<Uint8Array>,
        timeout_ms: u32,
        signal: Option<&web_sys::AbortSignal>,
        max: u32,
    ) -> Promise;

    /// The result of an exchange.
    pub(super) type Exchanged;

    #[wasm_bindgen(method, getter)]
    pub(super) fn status(this: &Exchanged) -> u16;

    #[wasm_bindgen(method, getter, js_name = retryAfter)]
    pub(super) fn retry_after(this: &Exchanged) -> Option<String>;

    #[wasm_bindgen(method, getter)]
    pub(super) fn body(this: &Exchanged) -> Option<Uint8Array>;
}

/// A BYOB reader of the stream.
///
/// # Errors
/// Something else is already reading the stream.
pub(super) fn byob_reader(stream: &web_sys::ReadableStream) -> Result<ByobReader, JsValue> {
    let options = web_sys::ReadableStreamGetReaderOptions::new();
    options.set_mode(web_sys::ReadableStreamReaderMode::Byob);
    stream.unchecked_ref::<ByteStream>().get_reader(&options)
}

/// The global `crypto`.
pub(super) fn crypto() -> web_sys::Crypto {
    CRYPTO.with(Clone::clone)
}
