//! Durable objects: asking them, what they keep, and their classes.
//!
//! The classes are written out, where `#[worker::durable_object]` would write them, as `fetch` is:
//! what they need of a request is its text, and of the environment what a request needs of it.

use js_sys::Promise;
use serde_json::Value;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use worker::worker_sys::Context;

use super::runtime::Runtime;
use super::{ISOLATE, js};
use crate::credentials::revocations;
use crate::host::{Host as _, Object, ObjectFault, Storage, StorageFault, UnixMillis};
use crate::idempotency;
use crate::isolate::Shared;
use crate::notify::outbox;

#[wasm_bindgen(module = "/src/edge/objects.js")]
extern "C" {
    fn ask(namespace: &JsValue, name: &str, question: &str, timeout_ms: u32) -> Promise;

    #[wasm_bindgen(catch)]
    fn sql(state: &JsValue, statement: &str, parameters: &str) -> Result<String, JsValue>;

    #[wasm_bindgen(js_name = setAlarm)]
    fn set_alarm(state: &JsValue, at: f64) -> Promise;

    fn clear(state: &JsValue) -> Promise;
}

/// Asks a durable object through its binding.
pub(super) async fn ask_object(
    runtime: &Runtime,
    object: Object<'_>,
    question: &str,
    timeout_ms: u32,
) -> Result<String, ObjectFault> {
    let (binding, name) = match object {
        Object::Outbox => ("OUTBOX", "outbox"),
        Object::Revocations => ("REVOCATIONS", "revocations"),
        Object::Idempotency(name) => ("IDEMPOTENCY", name),
    };
    let namespace = runtime
        .binding(binding)
        .filter(JsValue::is_object)
        .ok_or(ObjectFault::NotBound)?;
    let answer = JsFuture::from(ask(&namespace, name, question, timeout_ms)).await;
    answer
        .ok()
        .and_then(|answer| answer.as_string())
        .ok_or(ObjectFault::Failed)
}

/// What the class of a durable object is given.
#[derive(Clone)]
struct Ground {
    runtime: Runtime,
    state: JsValue,
}

impl Ground {
    fn new(state: JsValue, env: JsValue) -> Self {
        // An object's state has `waitUntil`, which is all that a context is used for.
        let context: Context = state.clone().unchecked_into();
        Self {
            runtime: Runtime::new(context, env),
            state,
        }
    }

    fn shared(&self) -> Result<&'static Shared, JsValue> {
        let isolate = ISOLATE.with(|isolate| *isolate);
        isolate
            .shared(|name| self.runtime.variable(name))
            .map_err(|error| JsValue::from(error.to_string()))
    }
}

impl Storage for Ground {
    fn sql(&self, statement: &str, parameters: &[Value]) -> Result<String, StorageFault> {
        let parameters = serde_json::to_string(parameters).map_err(|_| StorageFault)?;
        sql(&self.state, statement, &parameters).map_err(|error| fault(&error))
    }

    async fn set_alarm(&self, at: UnixMillis) -> Result<(), StorageFault> {
        // A time is far below 2^53, up to which a float holds whole numbers.
        #[allow(clippy::cast_precision_loss)]
        let set = JsFuture::from(set_alarm(&self.state, at as f64)).await;
        set.map(drop).map_err(|error| fault(&error))
    }

    async fn clear(&self) -> Result<(), StorageFault> {
        let cleared = JsFuture::from(clear(&self.state)).await;
        cleared.map(drop).map_err(|error| fault(&error))
    }
}

/// Tells the log what the runtime said. A statement's parameters are not in it.
fn fault(error: &JsValue) -> StorageFault {
    worker::console_error!("a durable object's storage failed: {error:?}");
    StorageFault
}

/// What JavaScript is told when an object could not do its work.
fn failed(_: StorageFault) -> JsValue {
    js_sys::Error::new("the object's storage failed").into()
}

/// Answers a request, whose body is the question, with what `answer` makes of that.
fn answer<F>(request: &web_sys::Request, answer: impl FnOnce(String) -> F + 'static) -> Promise
where
    F: Future<Output = Result<String, JsValue>>,
{
    let text = request.text();
    future_to_promise(async move {
        let question = JsFuture::from(text?).await?.as_string().unwrap_or_default();
        js::respond(200, "", &answer(question).await?).map(JsValue::from)
    })
}

/// Keeps notifications until the backend has them.
#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
pub struct Outbox(Ground);

#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
impl Outbox {
    #[wasm_bindgen(constructor)]
    pub fn new(state: JsValue, env: JsValue) -> Self {
        Self(Ground::new(state, env))
    }

    pub fn fetch(&self, request: &web_sys::Request) -> Promise {
        let ground = self.0.clone();
        answer(request, async move |question| {
            let config = &ground.shared()?.config;
            let answered = outbox::answer(&ground.runtime, config, &ground, &question).await;
            answered.map_err(failed)
        })
    }

    pub fn alarm(&self) -> Promise {
        let ground = self.0.clone();
        future_to_promise(async move {
            let config = &ground.shared()?.config;
            let woken = outbox::wake(&ground.runtime, config, &ground).await;
            woken.map(|()| JsValue::UNDEFINED).map_err(failed)
        })
    }
}

/// Remembers users whose credentials have changed.
#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
pub struct Revocations(Ground);

#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
impl Revocations {
    #[wasm_bindgen(constructor)]
    pub fn new(state: JsValue, env: JsValue) -> Self {
        Self(Ground::new(state, env))
    }

    pub fn fetch(&self, request: &web_sys::Request) -> Promise {
        let ground = self.0.clone();
        answer(request, async move |question| {
            let now = ground.runtime.now();
            revocations::answer(&ground, now, &question).map_err(failed)
        })
    }
}

/// Remembers what became of the upload with one idempotency key.
#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
pub struct Idempotency(Ground);

#[wasm_bindgen]
#[allow(unreachable_pub, reason = "exported to JavaScript")]
impl Idempotency {
    #[wasm_bindgen(constructor)]
    pub fn new(state: JsValue, env: JsValue) -> Self {
        Self(Ground::new(state, env))
    }

    pub fn fetch(&self, request: &web_sys::Request) -> Promise {
        let ground = self.0.clone();
        answer(request, async move |question| {
            let config = &ground.shared()?.config;
            let answered = idempotency::answer(&ground.runtime, config, &ground, &question).await;
            answered.map_err(failed)
        })
    }

    pub fn alarm(&self) -> Promise {
        let ground = self.0.clone();
        future_to_promise(async move {
            let config = &ground.shared()?.config;
            let woken = idempotency::wake(&ground.runtime, config, &ground).await;
            woken.map(|()| JsValue::UNDEFINED).map_err(failed)
        })
    }
}
