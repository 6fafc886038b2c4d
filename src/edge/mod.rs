//! workerd: the only module that knows JavaScript.
//!
//! | file | what |
//! |---|---|
//! | `runtime` | clock, randomness, timers, log, outgoing requests |
//! | `body` | reading a request's body |
//! | `sink` | writing a request's body |
//! | `digest` | digests of bodies |
//! | `download` | files on their way from Telegram to the client |
//! | `exchange` | request heads in, replies out |
//! | `objects` | durable objects |
//! | `js` | bindings that `web-sys` and `worker` lack |
//! | `glue.js`, `objects.js` | functions that replace ten calls into JavaScript with one |

mod body;
mod digest;
mod download;
mod exchange;
mod js;
mod objects;
mod runtime;
mod sink;

#[cfg(test)]
mod tests;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::future_to_promise;
use worker::worker_sys::Context;

use crate::isolate::Isolate;
use crate::routes;
use body::RequestBody;
use runtime::Runtime;

thread_local! {
    static ISOLATE: &'static Isolate = Box::leak(Box::default());
}

/// Writes the message and the place of a panic to the log. After that it calls the hook that `worker` has
/// set, which lets a crashed instance be rebuilt.
#[worker::event(start)]
fn start() {
    let rebuild = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        console_error_panic_hook::hook(panic);
        rebuild(panic);
    }));
}

/// The worker's `fetch` handler.
///
/// It does not use `#[worker::event(fetch)]`, for two reasons. First, it passes the promise of the reply to
/// `waitUntil`. Otherwise workerd stops a request when its client goes away, without dropping its
/// future: the request's share of the buffer budget would leak, and nobody would notify the backend of a
/// file that Telegram has already stored. Second, `worker::Request` reads more of a request than the
/// worker needs.
#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
pub fn fetch(request: web_sys::Request, env: JsValue, context: Context) -> Promise {
    let runtime = Runtime::new(context, env);
    let promise = future_to_promise({
        let runtime = runtime.clone();
        async move {
            let head = exchange::head(&request);
            let mut body = RequestBody::new(request, head.content_length);
            let isolate = ISOLATE.with(|isolate| *isolate);
            let variable = |name| runtime.variable(name);
            let served = routes::serve(isolate, variable, &runtime, &head, &mut body).await;
            exchange::response(&served).map(JsValue::from)
        }
    });
    runtime.keep_alive(&promise);
    promise
}
