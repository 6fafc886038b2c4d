//! workerd: the one room that knows JavaScript.
//!
//! | file | what |
//! |---|---|
//! | `runtime` | clock, randomness, timers, log, outgoing requests |
//! | `body` | reading a request's body |
//! | `sink` | writing a request's body |
//! | `download` | files on their way from Telegram to the client |
//! | `exchange` | request heads in, replies out |
//! | `objects` | durable objects |
//! | `js` | bindings that `web-sys` and `worker` lack |
//! | `glue.js`, `objects.js` | what one call of JavaScript does better than ten |

mod body;
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

/// Shows a panic's message and place in the log. The hook that `worker` has set, which lets a
/// crashed instance be rebuilt, runs behind it.
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
/// It is written out, where `#[worker::event(fetch)]` would write one, for two reasons. The promise
/// of the reply goes to `waitUntil` as well: workerd would otherwise stop a request in the middle
/// when its client goes away, without dropping its future, and with that leak its share of the
/// buffer's budget, and forget the notification of a file that Telegram has already stored. And
/// `worker::Request` reads more of a request than is needed here.
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
