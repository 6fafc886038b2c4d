//! Durable objects: asking them, their storage, and their classes.
//!
//! The classes are written out, where `#[worker::durable_object]` would write them, as `fetch` is:
//! all that they need of a request is its text.

use std::marker::PhantomData;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use js_sys::Promise;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use worker::worker_sys::Context;

use super::runtime::Runtime;
use super::{ISOLATE, js};
use crate::config::ConfigError;
use crate::host::{Object, ObjectFault, ObjectReply, UnixMillis};
use crate::isolate::Shared;
use crate::objects::{
    DurableObject, Range, Storage, StorageFault, Transaction, outbox, parse, revocations, serve,
    user, wake,
};

#[wasm_bindgen(module = "/src/edge/objects.js")]
extern "C" {
    fn ask(namespace: &JsValue, name: &str, question: &str, timeout_ms: u32) -> Promise;

    #[wasm_bindgen(catch)]
    fn transaction(state: &JsValue, work: &mut dyn FnMut() -> bool) -> Result<bool, JsValue>;

    #[wasm_bindgen(catch)]
    fn get(state: &JsValue, key: &str) -> Result<Option<String>, JsValue>;

    #[wasm_bindgen(catch)]
    fn put(state: &JsValue, key: &str, value: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    fn remove(state: &JsValue, key: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    fn list(
        state: &JsValue,
        prefix: &str,
        after: Option<&str>,
        limit: i32,
    ) -> Result<String, JsValue>;

    #[wasm_bindgen(catch, js_name = setAlarm)]
    fn set_alarm(state: &JsValue, at: f64) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = clearAlarm)]
    fn clear_alarm(state: &JsValue) -> Result<(), JsValue>;

    fn clear(state: &JsValue) -> Promise;
}

/// Asks a durable object through its binding.
pub(super) async fn ask_object(
    runtime: &Runtime,
    object: Object<'_>,
    question: &str,
    timeout_ms: u32,
) -> Result<ObjectReply, ObjectFault> {
    let namespace = runtime
        .binding(object.binding)
        .filter(JsValue::is_object)
        .ok_or(ObjectFault::NotBound)?;
    let reply = JsFuture::from(ask(&namespace, object.name, question, timeout_ms)).await;
    let reply = reply.ok().and_then(|reply| reply.as_string());
    let reply = reply.ok_or(ObjectFault::NoAnswer)?;
    let (status, body) = reply.split_once(' ').ok_or(ObjectFault::NoAnswer)?;
    Ok(ObjectReply {
        status: status.parse().map_err(|_| ObjectFault::NoAnswer)?,
        body: body.to_owned(),
    })
}

/// The state of a durable object, whose storage has SQLite beneath it.
struct State(JsValue);

impl Storage for State {
    type Transaction = Turn;

    async fn turn<T>(
        &self,
        work: impl AsyncFnOnce(&mut Turn) -> Result<T, StorageFault>,
    ) -> Result<T, StorageFault> {
        let mut work = Some(work);
        let mut result = Err(StorageFault);
        self.transaction(&mut |turn| {
            if let Some(work) = work.take() {
                // All that a turn waits for is ready at once.
                result = work(turn).now_or_never().unwrap_or(Err(StorageFault));
            }
            result.is_ok()
        })
        .await?;
        result
    }
}

impl State {
    /// Runs `work` in a transaction, which is kept when it returns `true`.
    async fn transaction(
        &self,
        work: &mut dyn FnMut(&mut Turn) -> bool,
    ) -> Result<(), StorageFault> {
        let mut turn = Turn {
            state: self.0.clone(),
            is_cleared: false,
        };
        let kept = transaction(&self.0, &mut || work(&mut turn)).map_err(|error| fault(&error))?;
        if kept && turn.is_cleared {
            let cleared = JsFuture::from(clear(&self.0)).await;
            cleared.map_err(|error| fault(&error))?;
        }
        Ok(())
    }
}

/// One transaction.
struct Turn {
    state: JsValue,
    is_cleared: bool,
}

impl Transaction for Turn {
    async fn get(&mut self, key: &str) -> Result<Option<String>, StorageFault> {
        get(&self.state, key).map_err(|error| fault(&error))
    }

    async fn put(&mut self, key: &str, value: &str) -> Result<(), StorageFault> {
        put(&self.state, key, value).map_err(|error| fault(&error))
    }

    async fn delete(&mut self, key: &str) -> Result<(), StorageFault> {
        remove(&self.state, key).map_err(|error| fault(&error))
    }

    async fn list(&mut self, range: Range<'_>) -> Result<Vec<(String, String)>, StorageFault> {
        // workerd's limit is a signed number.
        let limit = i32::try_from(range.limit).unwrap_or(i32::MAX);
        let listed = list(&self.state, range.prefix, range.after, limit);
        parse(&listed.map_err(|error| fault(&error))?)
    }

    async fn set_alarm(&mut self, at: UnixMillis) -> Result<(), StorageFault> {
        // A time is far below 2^53, up to which a float holds whole numbers.
        #[allow(clippy::cast_precision_loss)]
        let at = at as f64;
        set_alarm(&self.state, at).map_err(|error| fault(&error))
    }

    async fn clear_alarm(&mut self) -> Result<(), StorageFault> {
        clear_alarm(&self.state).map_err(|error| fault(&error))
    }

    async fn clear(&mut self) -> Result<(), StorageFault> {
        self.is_cleared = true;
        Ok(())
    }
}

/// Tells the log what the runtime said. Neither keys nor values are in it.
fn fault(error: &JsValue) -> StorageFault {
    worker::console_error!("a durable object's storage failed: {error:?}");
    StorageFault
}

/// A durable object, as the body of its class.
struct Instance<O> {
    runtime: Runtime,
    state: JsValue,
    object: PhantomData<O>,
}

impl<O: DurableObject> Instance<O> {
    fn new(state: JsValue, env: JsValue) -> Self {
        // An object's state has `waitUntil`, which is all that a context is used for.
        let context: Context = state.clone().unchecked_into();
        Self {
            runtime: Runtime::new(context, env),
            state,
            object: PhantomData,
        }
    }

    /// Answers a request, whose body is the question.
    fn fetch(&self, request: &web_sys::Request) -> Promise {
        let (runtime, state) = (self.runtime.clone(), State(self.state.clone()));
        let text = request.text();
        respond(Box::pin(async move {
            let question = JsFuture::from(text?).await?.as_string().unwrap_or_default();
            let config = shared(&runtime).map(|shared| &*shared.config);
            Ok(serve::<O>(&runtime, config, &state, &question).await)
        }))
    }

    fn alarm(&self) -> Promise {
        let (runtime, state) = (self.runtime.clone(), State(self.state.clone()));
        settle(Box::pin(async move {
            let config = shared(&runtime).map(|shared| &*shared.config);
            wake::<O>(&runtime, config, &state).await
        }))
    }
}

/// The response of an object. The future has one type for all classes: each further one would add the
/// whole machinery of a promise to the WebAssembly.
fn respond(reply: LocalBoxFuture<'static, Result<ObjectReply, JsValue>>) -> Promise {
    future_to_promise(async move {
        let reply = reply.await?;
        js::respond(reply.status, "", &reply.body).map(JsValue::from)
    })
}

/// The end of an alarm.
fn settle(woken: LocalBoxFuture<'static, Result<(), StorageFault>>) -> Promise {
    future_to_promise(async move {
        let failed = |StorageFault| js_sys::Error::new("the object's storage failed").into();
        woken.await.map(|()| JsValue::UNDEFINED).map_err(failed)
    })
}

fn shared(runtime: &Runtime) -> Result<&'static Shared, ConfigError> {
    let isolate = ISOLATE.with(|isolate| *isolate);
    isolate.shared(|name| runtime.variable(name))
}

/// The class of an object, as workerd constructs and calls it.
macro_rules! durable_object {
    ($class:ident, $object:ty) => {
        #[wasm_bindgen]
        #[allow(missing_docs, unreachable_pub, reason = "exported to JavaScript")]
        pub struct $class(Instance<$object>);

        #[wasm_bindgen]
        #[allow(missing_docs, unreachable_pub, reason = "exported to JavaScript")]
        impl $class {
            #[wasm_bindgen(constructor)]
            pub fn new(state: JsValue, env: JsValue) -> Self {
                Self(Instance::new(state, env))
            }

            pub fn fetch(&self, request: &web_sys::Request) -> Promise {
                self.0.fetch(request)
            }

            pub fn alarm(&self) -> Promise {
                self.0.alarm()
            }
        }
    };
}

durable_object!(Outbox, outbox::Outbox);
durable_object!(Revocations, revocations::Revocations);
durable_object!(UserRecord, user::UserRecord);
