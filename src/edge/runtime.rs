//! Clock, randomness, timers, log, outgoing requests.

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{AbortController, ReadableStream};
use worker::worker_sys::Context;

use super::body::{JsChunk, RequestBody};
use super::digest::StreamDigester;
use super::download::{self, ReplyStream, ResponseBody};
use super::exchange::header_lines;
use super::js::{self, Exchanged};
use super::objects::ask_object;
use super::sink::StreamSink;
use crate::host::{
    Answer, Call, CallFault, DigestAlgorithm, Fetched, Host, Method, Object, ObjectFault,
    ObjectReply, Open, UnixMillis,
};

/// One request's view of workerd.
#[derive(Clone)]
pub(super) struct Runtime {
    context: Rc<Context>,
    env: JsValue,
}

impl Runtime {
    pub(super) fn new(context: Context, env: JsValue) -> Self {
        Self {
            context: Rc::new(context),
            env,
        }
    }

    /// The entry of the environment with this name.
    pub(super) fn binding(&self, name: &str) -> Option<JsValue> {
        js_sys::Reflect::get(&self.env, &name.into()).ok()
    }

    /// A variable, or a secret.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        self.binding(name)?.as_string()
    }

    /// Keeps the request alive until `promise` is settled, even if its client goes away.
    pub(super) fn keep_alive(&self, promise: &Promise) {
        // It throws only if the argument is not a promise.
        let _ = self.context.wait_until(promise);
    }
}

impl Host for Runtime {
    type Chunk = JsChunk;
    type Body = RequestBody;
    type Sink = StreamSink;
    type Answer = StreamedAnswer;
    type Download = ResponseBody;
    type ReplySink = ReplyStream;
    type ReplyBody = ReadableStream;
    type Digester = StreamDigester;

    fn now(&self) -> UnixMillis {
        // Milliseconds since 1970 are a whole number that both types hold.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let now = js_sys::Date::now() as UnixMillis;
        now
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let random = js::crypto().get_random_values_with_u8_array(bytes);
        // It fails only for more than 65,536 bytes. Zeros would make ids and boundaries that anybody
        // can guess.
        assert!(random.is_ok(), "the runtime gives no randomness");
    }

    async fn sleep(&self, ms: u32) {
        worker::Delay::from(Duration::from_millis(ms.into())).await;
    }

    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        self.keep_alive(&future_to_promise(async move {
            task.await;
            Ok(JsValue::UNDEFINED)
        }));
    }

    fn log(&self, line: &str) {
        worker::console_log!("{line}");
    }

    async fn call(&self, call: Call) -> Result<Answer, CallFault> {
        let method = match call.method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let body = if call.body.is_empty() {
            JsValue::UNDEFINED
        } else {
            Uint8Array::from(call.body.as_slice()).into()
        };
        let last = (!call.last.is_empty()).then(|| Uint8Array::from(call.last.as_slice()));
        let max = u32::try_from(call.max_answer_bytes).unwrap_or(u32::MAX);
        let headers = header_lines(&call.headers);
        read_answer(js::exchange(
            &call.url,
            method,
            &headers,
            &body,
            last,
            call.timeout_ms,
            None,
            max,
        ))
        .await
    }

    async fn admits(&self, user_id: &str) -> bool {
        let limiter = self.binding("RATE_LIMITER").filter(JsValue::is_object);
        let Some(limiter) = limiter else {
            return true;
        };
        // A limiter that fails admits everybody.
        let admitted = JsFuture::from(js::limit(&limiter, user_id)).await;
        admitted.map_or(true, |admitted| admitted.is_truthy())
    }

    async fn fetch(
        &self,
        url: String,
        range: Option<Range<u64>>,
    ) -> Result<Fetched<ResponseBody>, CallFault> {
        download::fetch(url, range).await
    }

    fn reply_stream(&self, length: u64) -> (ReplyStream, ReadableStream) {
        ReplyStream::new(length)
    }

    fn digester(&self, algorithm: DigestAlgorithm) -> StreamDigester {
        StreamDigester::new(algorithm)
    }

    fn open(&self, open: Open) -> (StreamSink, StreamedAnswer) {
        let (sink, body) = StreamSink::new(open.length);
        let controller = AbortController::new().ok();
        let signal = controller.as_ref().map(AbortController::signal);
        let max = u32::try_from(open.max_answer_bytes).unwrap_or(u32::MAX);
        let headers = header_lines(&[("content-type", open.content_type)]);
        // The caller enforces the timeout. This one applies only if there is no controller.
        let promise = js::exchange(
            &open.url,
            "POST",
            &headers,
            &body,
            None,
            u32::MAX,
            signal.as_ref(),
            max,
        );
        let answer = Box::pin(read_answer(promise));
        (sink, StreamedAnswer { answer, controller })
    }

    async fn ask(
        &self,
        object: Object<'_>,
        question: String,
        timeout_ms: u32,
    ) -> Result<ObjectReply, ObjectFault> {
        ask_object(self, object, &question, timeout_ms).await
    }
}

/// The answer to a request whose body is still being written.
pub(super) struct StreamedAnswer {
    answer: Pin<Box<dyn Future<Output = Result<Answer, CallFault>>>>,
    /// `None` after the answer has arrived. Until then, dropping this aborts the request.
    controller: Option<AbortController>,
}

impl Future for StreamedAnswer {
    type Output = Result<Answer, CallFault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let polled = self.answer.as_mut().poll(context);
        if polled.is_ready() {
            self.controller = None;
        }
        polled
    }
}

impl Drop for StreamedAnswer {
    fn drop(&mut self) {
        if let Some(controller) = self.controller.take() {
            controller.abort();
        }
    }
}

async fn read_answer(exchange: Promise) -> Result<Answer, CallFault> {
    let exchanged: Exchanged = JsFuture::from(exchange)
        .await
        .map_err(|error| fault(&error))?
        .unchecked_into();
    let status = exchanged.status();
    if status == 0 {
        return Err(CallFault::Unsent);
    }
    match exchanged.body() {
        Some(body) => Ok(Answer {
            status,
            retry_after: exchanged.retry_after(),
            body: body.to_vec(),
        }),
        None => Err(CallFault::AnswerTooLong { status }),
    }
}

/// `AbortSignal.timeout` rejects with a `TimeoutError`. The message is neither read nor forwarded, because
/// it may contain the URL, and with it a bot's token.
pub(super) fn fault(error: &JsValue) -> CallFault {
    let name = js_sys::Reflect::get(error, &"name".into())
        .ok()
        .and_then(|name| name.as_string());
    if name.as_deref() == Some("TimeoutError") {
        CallFault::Timeout
    } else {
        CallFault::Network
    }
}
