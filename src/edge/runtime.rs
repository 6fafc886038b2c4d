//! Clock, randomness, timers, log, outgoing requests.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{AbortController, AbortSignal, RequestInit, RequestRedirect, Response};
use worker::worker_sys::Context;

use super::body::{JsChunk, RequestBody};
use super::js::{self, ReadResult};
use super::sink::StreamSink;
use crate::host::{Answer, Call, CallFault, Host, Method, Open, UnixMillis};

/// One request's view of workerd.
#[derive(Clone)]
pub(super) struct Runtime {
    context: Rc<Context>,
}

impl Runtime {
    pub(super) fn new(context: Context) -> Self {
        Self {
            context: Rc::new(context),
        }
    }

    /// Lets the request live until `promise` is settled, even if its client goes away.
    pub(super) fn keep_alive(&self, promise: &Promise) {
        // It throws only for what is not a promise.
        let _ = self.context.wait_until(promise);
    }
}

impl Host for Runtime {
    type Chunk = JsChunk;
    type Body = RequestBody;
    type Sink = StreamSink;
    type Answer = StreamedAnswer;

    fn now(&self) -> UnixMillis {
        // Milliseconds since 1970 are a whole number that both types hold.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let now = js_sys::Date::now() as UnixMillis;
        now
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        let random = js::crypto().get_random_values_with_u8_array(bytes);
        // It fails only for over 65,536 bytes; going on with zeros would make ids and boundaries
        // that can be guessed.
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
        let init = RequestInit::new();
        init.set_method(match call.method {
            Method::Get => "GET",
            Method::Post => "POST",
        });
        if let Ok(headers) = web_sys::Headers::new() {
            for (name, value) in &call.headers {
                let _ = headers.append(name, value);
            }
            init.set_headers(&headers);
        }
        if !call.body.is_empty() {
            init.set_body(&Uint8Array::from(call.body.as_slice()));
        }
        let signal = AbortSignal::timeout_with_u32(call.timeout_ms);
        fetch(&call.url, &init, &signal, call.max_answer_bytes).await
    }

    fn open(&self, open: Open) -> (StreamSink, StreamedAnswer) {
        let (sink, body) = StreamSink::new(open.length);
        let init = RequestInit::new();
        init.set_method("POST");
        if let Ok(headers) = web_sys::Headers::new() {
            let _ = headers.append("content-type", &open.content_type);
            init.set_headers(&headers);
        }
        init.set_body(&body);
        let controller = AbortController::new().ok();
        let signal = controller.as_ref().map(AbortController::signal);
        let answer = Box::pin(async move {
            let signal = signal.ok_or(CallFault::Network)?;
            fetch(&open.url, &init, &signal, open.max_answer_bytes).await
        });
        (sink, StreamedAnswer { answer, controller })
    }
}

/// The answer to a request whose body is still being written.
pub(super) struct StreamedAnswer {
    answer: Pin<Box<dyn Future<Output = Result<Answer, CallFault>>>>,
    /// Taken when the answer is there; until then, letting go of it ends the request.
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

async fn fetch(
    url: &str,
    init: &RequestInit,
    signal: &AbortSignal,
    max_answer_bytes: usize,
) -> Result<Answer, CallFault> {
    // A redirect could lead a token anywhere.
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(signal));
    let response: Response = JsFuture::from(js::fetch(url, init))
        .await
        .map_err(|error| fault(&error))?
        .unchecked_into();
    let status = response.status();
    let header = |name: &str| response.headers().get(name).ok().flatten();
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    let body = match length {
        Some(length) if length > max_answer_bytes => {
            if let Some(body) = response.body() {
                super::ignore(&body.cancel());
            }
            return Err(CallFault::AnswerTooLong { status });
        }
        Some(_) => {
            let promise = response.array_buffer().map_err(|error| fault(&error))?;
            Uint8Array::new(
                &JsFuture::from(promise)
                    .await
                    .map_err(|error| fault(&error))?,
            )
            .to_vec()
        }
        None => read_bounded(&response, max_answer_bytes).await?,
    };
    Ok(Answer {
        status,
        retry_after: header("retry-after"),
        body,
    })
}

/// Reads a body of unknown length, in one read that has room for one byte more than is allowed.
async fn read_bounded(response: &Response, max_bytes: usize) -> Result<Vec<u8>, CallFault> {
    let Some(stream) = response.body() else {
        return Ok(Vec::new());
    };
    let room = u32::try_from(max_bytes).unwrap_or(u32::MAX - 1) + 1;
    let reader = js::byob_reader(&stream).map_err(|error| fault(&error))?;
    let promise = reader
        .read_at_least(room, &Uint8Array::new_with_length(room))
        .map_err(|error| fault(&error))?;
    let result: ReadResult = JsFuture::from(promise)
        .await
        .map_err(|error| fault(&error))?
        .unchecked_into();
    let bytes = result.value().map(|view| view.to_vec()).unwrap_or_default();
    if bytes.len() > max_bytes {
        super::ignore(&reader.cancel());
        return Err(CallFault::AnswerTooLong {
            status: response.status(),
        });
    }
    Ok(bytes)
}

/// `AbortSignal.timeout` rejects with a `TimeoutError`. The message is not looked at, nor passed on:
/// it may hold the URL, and with it a bot's token.
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
