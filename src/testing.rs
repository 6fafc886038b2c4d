//! A host for tests: virtual time, scripted answers, and bodies that can be looked at.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::config::Config;
use crate::host::{
    Answer, Body, Call, CallFault, Chunk, ClientGone, Host, Object, ObjectFault, ObjectReply, Open,
    PipeBroken, Sink, SinkClosed, UnixMillis, within,
};
use crate::objects::outbox::Outbox;
use crate::objects::revocations::Revocations;
use crate::objects::upload::UploadRecord;
use crate::objects::user::UserRecord;
use crate::objects::user_uploads::UserUploads;
use crate::objects::{self, DurableObject, StorageFault};
use memory::Memory;

#[path = "testing/memory.rs"]
pub(crate) mod memory;

type Deferred = Pin<Box<dyn Future<Output = ()>>>;
/// What is left to be answered to URLs that have this part.
type Answers = (&'static str, VecDeque<Result<Answer, CallFault>>);

/// When a streamed request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// As soon as the body is closed.
    AtClose,
    /// As soon as so many bytes of the body came, though more are to come.
    AfterBytes(usize),
    Never,
}

/// How Telegram behaves towards one streamed request.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    pub(crate) answer: Result<Answer, CallFault>,
    pub(crate) moment: Moment,
    /// From this byte on nothing is taken any more: writes hang.
    pub(crate) stalls_at: usize,
    /// From this byte on the connection is closed: writes fail.
    pub(crate) closes_at: usize,
}

impl Script {
    pub(crate) fn answering(answer: Answer) -> Self {
        Self {
            answer: Ok(answer),
            moment: Moment::AtClose,
            stalls_at: usize::MAX,
            closes_at: usize::MAX,
        }
    }
}

/// A streamed request as Telegram saw it.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) url: String,
    pub(crate) length: Option<u64>,
    pub(crate) bytes: RefCell<Vec<u8>>,
    pub(crate) closed: Cell<bool>,
    pub(crate) aborted: Cell<bool>,
}

/// A call as the other side saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) at: UnixMillis,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct World {
    now: Cell<UnixMillis>,
    /// When the clock has to stop next.
    alarm: Cell<Option<UnixMillis>>,
    /// Who sleeps. A future inside another may be polled only when it was woken.
    sleepers: RefCell<Vec<Waker>>,
    /// Somebody gave the others a turn: time does not pass.
    moved: Cell<bool>,
    random: Cell<u8>,
    deferred: RefCell<Vec<Deferred>>,
    /// Answers to calls, by a part of their URL; the last one stays.
    answers: RefCell<Vec<Answers>>,
    scripts: RefCell<VecDeque<Script>>,
    /// How long a call takes, in milliseconds.
    call_ms: Cell<u32>,
    under_way: Cell<usize>,
    pub(crate) most_under_way: Cell<usize>,
    /// The settings of the durable objects; without them there are none.
    objects_config: OnceCell<Rc<Config>>,
    /// By binding and name.
    objects: RefCell<BTreeMap<(&'static str, String), Rc<Memory>>>,
    pub(crate) objects_are_down: Cell<bool>,
    /// The user whom the rate limit keeps out.
    pub(crate) kept_out: RefCell<Option<String>>,
    pub(crate) outbox_is_down: Cell<bool>,
    /// After so many more questions nobody answers.
    pub(crate) objects_go_down_after: Cell<Option<usize>>,
    /// What durable objects were asked, by name.
    pub(crate) asked: RefCell<Vec<(String, String)>>,
    pub(crate) calls: RefCell<Vec<Seen>>,
    pub(crate) uploads: RefCell<Vec<Rc<Upload>>>,
    pub(crate) lines: RefCell<Vec<String>>,
}

#[derive(Clone, Default)]
pub(crate) struct TestHost(pub(crate) Rc<World>);

pub(crate) fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
    }
}

impl World {
    /// Forgets how Telegram was to behave: what was scripted may not have been needed.
    pub(crate) fn scripts_are_void(&self) {
        self.scripts.borrow_mut().clear();
    }
}

impl TestHost {
    /// Answers calls whose URL has `part` in it, one after another; the last answer stays.
    pub(crate) fn answers(
        &self,
        part: &'static str,
        answers: impl IntoIterator<Item = Result<Answer, CallFault>>,
    ) {
        let mut all = self.0.answers.borrow_mut();
        all.retain(|(known, _)| *known != part);
        all.push((part, answers.into_iter().collect()));
    }

    pub(crate) fn script(&self, script: Script) {
        self.0.scripts.borrow_mut().push_back(script);
    }

    /// Lets every call take so long.
    pub(crate) fn calls_take(&self, ms: u32) {
        self.0.call_ms.set(ms);
    }

    /// Makes the durable objects be there, with these settings.
    pub(crate) fn bind_objects(&self, config: Config) {
        let set = self.0.objects_config.set(Rc::new(config));
        assert!(set.is_ok(), "bound twice");
    }

    pub(crate) fn config_of_objects(&self) -> Rc<Config> {
        Rc::clone(self.0.objects_config.get().expect("bound"))
    }

    /// What the object of that name keeps.
    pub(crate) fn storage<O: DurableObject>(&self, name: &str) -> Rc<Memory> {
        self.storage_of(O::BINDING, name)
    }

    fn storage_of(&self, binding: &'static str, name: &str) -> Rc<Memory> {
        let mut objects = self.0.objects.borrow_mut();
        Rc::clone(objects.entry((binding, name.to_owned())).or_default())
    }

    /// Lets time pass, and wakes the objects whose alarms are due meanwhile.
    pub(crate) fn run_alarms_until(&self, end: UnixMillis) {
        loop {
            let objects = self.0.objects.borrow();
            let next = objects
                .iter()
                .filter_map(|(object, storage)| Some((storage.alarm.get()?, object.clone())))
                .min();
            drop(objects);
            let Some((at, (binding, name))) = next.filter(|(at, _)| *at <= end) else {
                self.0.now.set(self.now().max(end));
                return;
            };
            self.0.now.set(self.now().max(at));
            let storage = self.storage_of(binding, &name);
            storage.alarm.set(None);
            self.run(self.wake(binding, &storage)).expect("woken");
        }
    }

    async fn wake(&self, binding: &str, storage: &Memory) -> Result<(), StorageFault> {
        let config = self.config_of_objects();
        let config = Ok(&*config);
        match binding {
            Outbox::BINDING => objects::wake::<Outbox>(self, config, storage).await,
            Revocations::BINDING => objects::wake::<Revocations>(self, config, storage).await,
            UserRecord::BINDING => objects::wake::<UserRecord>(self, config, storage).await,
            UploadRecord::BINDING => objects::wake::<UploadRecord>(self, config, storage).await,
            UserUploads::BINDING => objects::wake::<UserUploads>(self, config, storage).await,
            other => panic!("nobody is bound to {other}"),
        }
    }

    pub(crate) fn calls_to(&self, part: &str) -> Vec<Seen> {
        self.0
            .calls
            .borrow()
            .iter()
            .filter(|call| call.url.contains(part))
            .cloned()
            .collect()
    }

    pub(crate) fn advance(&self, ms: UnixMillis) {
        self.0.now.set(self.0.now.get() + ms);
    }

    /// Runs a future to its end. When nothing moves, the clock jumps to the next timer.
    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.run_while(future, || true).expect("it ends")
    }

    /// The same, but drops the future in the middle as soon as `goes_on` says so.
    pub(crate) fn run_while<F: Future>(
        &self,
        future: F,
        goes_on: impl Fn() -> bool,
    ) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            self.0.alarm.set(None);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            if !goes_on() {
                return None;
            }
            if self.0.moved.take() {
                continue;
            }
            let alarm = self
                .0
                .alarm
                .get()
                .expect("nothing moves and no timer runs: it hangs");
            self.0.now.set(alarm);
            self.0.sleepers.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Runs what was deferred to its end.
    pub(crate) fn run_deferred(&self) {
        loop {
            let Some(task) = self.0.deferred.borrow_mut().pop() else {
                return;
            };
            self.run(task);
        }
    }
}

impl TestHost {
    /// A whole file is a streamed request of one write, or of two when its end is kept back.
    async fn send_document(&self, call: Call) -> Result<Answer, CallFault> {
        let length = Some((call.body.len() + call.last.len()) as u64);
        let (mut sink, answer) = self.open(Open {
            url: call.url,
            content_type: String::new(),
            length,
            max_answer_bytes: call.max_answer_bytes,
        });
        let in_two = !call.last.is_empty();
        let exchange = async {
            let write = async {
                sink.write(&call.body).await?;
                if in_two {
                    sink.write(&call.last).await?;
                }
                sink.close().await
            };
            match write.await {
                Ok(()) => answer.await,
                Err(_) if in_two => Err(CallFault::Unsent),
                Err(_) => Err(CallFault::Network),
            }
        };
        within(self, call.timeout_ms, exchange)
            .await
            .unwrap_or(Err(CallFault::Timeout))
    }
}

impl Host for TestHost {
    type Chunk = TestChunk;
    type Body = TestBody;
    type Sink = TestSink;
    type Answer = Pin<Box<dyn Future<Output = Result<Answer, CallFault>>>>;

    fn now(&self) -> UnixMillis {
        self.0.now.get()
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        self.0.random.set(self.0.random.get().wrapping_add(1));
        bytes.fill(self.0.random.get());
    }

    async fn sleep(&self, ms: u32) {
        let end = self.now() + u64::from(ms);
        poll_fn(|context| {
            if self.now() >= end {
                return Poll::Ready(());
            }
            let alarm = self.0.alarm.get().map_or(end, |alarm| alarm.min(end));
            self.0.alarm.set(Some(alarm));
            self.0.sleepers.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        self.0.deferred.borrow_mut().push(Box::pin(task));
    }

    fn log(&self, line: &str) {
        self.0.lines.borrow_mut().push(line.to_owned());
    }

    async fn call(&self, call: Call) -> Result<Answer, CallFault> {
        if call.url.ends_with("/sendDocument") {
            return self.send_document(call).await;
        }
        let at = self.now();
        self.0.calls.borrow_mut().push(Seen {
            at,
            url: call.url.clone(),
            headers: call.headers,
            body: call.body,
        });
        let under_way = &self.0.under_way;
        under_way.set(under_way.get() + 1);
        let most = self.0.most_under_way.get().max(under_way.get());
        self.0.most_under_way.set(most);
        self.sleep(self.0.call_ms.get()).await;
        under_way.set(under_way.get() - 1);
        let mut all = self.0.answers.borrow_mut();
        let (_, answers) = all
            .iter_mut()
            .find(|(part, _)| call.url.contains(part))
            .expect("an answer for the URL");
        if answers.len() > 1 {
            answers.pop_front().expect("not empty")
        } else {
            answers[0].clone()
        }
    }

    fn open(&self, open: Open) -> (TestSink, Self::Answer) {
        let script = self
            .0
            .scripts
            .borrow_mut()
            .pop_front()
            .expect("a script for the upload");
        let upload = Rc::new(Upload {
            url: open.url,
            length: open.length,
            ..Upload::default()
        });
        self.0.uploads.borrow_mut().push(Rc::clone(&upload));
        let sink = TestSink {
            world: Rc::clone(&self.0),
            upload: Rc::clone(&upload),
            script: script.clone(),
        };
        let answer = poll_fn(move |_| {
            let due = match script.moment {
                Moment::AtClose => upload.closed.get(),
                Moment::AfterBytes(bytes) => upload.bytes.borrow().len() >= bytes,
                Moment::Never => false,
            };
            if due {
                Poll::Ready(script.answer.clone())
            } else {
                Poll::Pending
            }
        });
        (sink, Box::pin(answer))
    }

    async fn ask(
        &self,
        object: Object<'_>,
        question: String,
        _: u32,
    ) -> Result<ObjectReply, ObjectFault> {
        let config = self.0.objects_config.get().ok_or(ObjectFault::NotBound)?;
        let Object { binding, name } = object;
        let asked = (name.to_owned(), question.clone());
        self.0.asked.borrow_mut().push(asked);
        let left = self.0.objects_go_down_after.get();
        let is_down = self.0.outbox_is_down.get() && binding == Outbox::BINDING;
        if is_down || self.0.objects_are_down.get() || left == Some(0) {
            return Err(ObjectFault::NoAnswer);
        }
        let left = left.map(|left| left - 1);
        self.0.objects_go_down_after.set(left);
        let storage = &*self.storage_of(binding, name);
        let (config, question) = (Ok(&**config), question.as_str());
        Ok(match binding {
            Outbox::BINDING => objects::serve::<Outbox>(self, config, storage, question).await,
            Revocations::BINDING => {
                objects::serve::<Revocations>(self, config, storage, question).await
            }
            UserRecord::BINDING => {
                objects::serve::<UserRecord>(self, config, storage, question).await
            }
            UploadRecord::BINDING => {
                objects::serve::<UploadRecord>(self, config, storage, question).await
            }
            UserUploads::BINDING => {
                objects::serve::<UserUploads>(self, config, storage, question).await
            }
            other => panic!("nobody is bound to {other}"),
        })
    }

    async fn admits(&self, user_id: &str) -> bool {
        self.0.kept_out.borrow().as_deref() != Some(user_id)
    }
}

/// A chunk of a test's body.
#[derive(Debug)]
pub(crate) struct TestChunk(Vec<u8>);

impl Chunk for TestChunk {
    type Needle = Vec<u8>;

    fn needle(delimiter: &[u8]) -> Vec<u8> {
        delimiter.to_vec()
    }

    fn find(&self, needle: &Vec<u8>, from: usize) -> usize {
        let begins_at = |at: &usize| self.0[*at..].iter().zip(needle).all(|(a, b)| a == b);
        (from..self.len()).find(begins_at).unwrap_or(self.len())
    }

    fn copy_into(&self, range: Range<usize>, bytes: &mut Vec<u8>) {
        bytes.clear();
        bytes.extend_from_slice(&self.0[range]);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// How a test's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Good,
    Gone,
    Stalled,
}

/// A body in pieces.
pub(crate) struct TestBody {
    pieces: VecDeque<Vec<u8>>,
    end: End,
}

impl TestBody {
    pub(crate) fn new(bytes: &[u8], piece: usize, end: End) -> Self {
        Self {
            pieces: bytes.chunks(piece).map(<[u8]>::to_vec).collect(),
            end,
        }
    }
}

impl Body for TestBody {
    type Chunk = TestChunk;

    async fn read(&mut self) -> Result<Option<TestChunk>, ClientGone> {
        match (self.pieces.pop_front(), self.end) {
            (Some(piece), _) => Ok(Some(TestChunk(piece))),
            (None, End::Good) => Ok(None),
            (None, End::Gone) => Err(ClientGone),
            (None, End::Stalled) => std::future::pending().await,
        }
    }

    fn recycle(&mut self, _: TestChunk) {}

    async fn read_whole(&mut self) -> Result<Vec<u8>, ClientGone> {
        let mut whole = Vec::new();
        while let Some(chunk) = self.read().await? {
            whole.extend(chunk.0);
        }
        Ok(whole)
    }

    async fn drain(&mut self, _: u64) {
        while let Ok(Some(_)) = self.read().await {}
    }
}

pub(crate) struct TestSink {
    world: Rc<World>,
    upload: Rc<Upload>,
    script: Script,
}

impl TestSink {
    /// Lets the others have a turn, as every write to a stream does.
    async fn yield_turn(&self) {
        let mut yielded = false;
        poll_fn(|_| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            self.world.moved.set(true);
            Poll::Pending
        })
        .await;
    }

    async fn take(&self, bytes: &[u8]) -> Result<(), SinkClosed> {
        let end = self.upload.bytes.borrow().len() + bytes.len();
        if end > self.script.stalls_at {
            std::future::pending::<()>().await;
        }
        if end > self.script.closes_at {
            return Err(SinkClosed);
        }
        self.upload.bytes.borrow_mut().extend_from_slice(bytes);
        self.yield_turn().await;
        Ok(())
    }
}

impl Sink for TestSink {
    type Chunk = TestChunk;
    type Body = TestBody;

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SinkClosed> {
        self.take(bytes).await
    }

    async fn write_range(
        &mut self,
        chunk: &TestChunk,
        range: Range<usize>,
    ) -> Result<(), SinkClosed> {
        self.take(&chunk.0[range]).await
    }

    async fn pipe(&mut self, body: &mut TestBody) -> Result<(), PipeBroken> {
        while let Some(chunk) = body.read().await.map_err(|_| PipeBroken)? {
            self.take(&chunk.0).await.map_err(|_| PipeBroken)?;
        }
        Ok(())
    }

    async fn close(self) -> Result<(), SinkClosed> {
        self.upload.closed.set(true);
        Ok(())
    }
}

impl Drop for TestSink {
    fn drop(&mut self) {
        self.upload.aborted.set(!self.upload.closed.get());
    }
}
