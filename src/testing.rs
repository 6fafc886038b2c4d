//! A host for tests: virtual time, scripted answers, and bodies that can be looked at.
//!
//! The feature `testing` makes it public, for the fuzz targets.

// What a test asks for in vain fails it.
#![allow(clippy::missing_panics_doc)]

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::host::{
    Answer, Body, Call, CallFault, Chunk, ClientGone, DigestAlgorithm, DigestFault, Digester,
    Download, Fetched, Host, Object, ObjectFault, ObjectReply, Open, PipeBroken, ReplySink, Sink,
    SinkClosed, UnixMillis, within,
};
use crate::objects::outbox::Outbox;
use crate::objects::revocations::Revocations;
use crate::objects::upload::UploadRecord;
use crate::objects::user::UserRecord;
use crate::objects::user_uploads::UserUploads;
use crate::objects::{self, DurableObject, StorageFault};
use memory::Memory;

pub mod memory;

type Deferred = Pin<Box<dyn Future<Output = ()>>>;
/// What is left to be answered to URLs that have this part.
type Answers = (&'static str, VecDeque<Result<Answer, CallFault>>);

/// What answers to requests for files.
type FileServer = dyn Fn(&str, Option<Range<u64>>) -> Result<Fetched<TestDownload>, CallFault>;

/// When a streamed request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// As soon as the body is closed.
    AtClose,
    /// As soon as so many bytes of the body came, though more are to come.
    AfterBytes(usize),
    /// The answer never comes.
    Never,
}

/// How Telegram behaves towards one streamed request.
#[derive(Debug, Clone)]
pub struct Script {
    /// The answer, or how the call fails.
    pub answer: Result<Answer, CallFault>,
    /// When the answer comes.
    pub moment: Moment,
    /// From this byte on nothing is taken any more: writes hang.
    pub stalls_at: usize,
    /// From this byte on the connection is closed: writes fail.
    pub closes_at: usize,
}

impl Script {
    /// A script that takes everything and gives this answer at the end.
    #[must_use]
    pub fn answering(answer: Answer) -> Self {
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
pub struct Upload {
    /// Where it went.
    pub url: String,
    /// The body's length that was announced.
    pub length: Option<u64>,
    /// The body so far.
    pub bytes: RefCell<Vec<u8>>,
    /// Whether the body came to its end.
    pub closed: Cell<bool>,
    /// Whether it was dropped before its end.
    pub aborted: Cell<bool>,
}

/// A call as the other side saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was made.
    pub at: UnixMillis,
    /// Where it went.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// The state of a [`TestHost`], and what it has seen.
#[derive(Default)]
pub struct World {
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
    /// The most calls that were under way at one time.
    pub most_under_way: Cell<usize>,
    /// The settings of the durable objects; without them there are none.
    objects_config: OnceCell<Rc<Config>>,
    /// By binding and name.
    objects: RefCell<BTreeMap<(&'static str, String), Rc<Memory>>>,
    /// Whether durable objects fail instead of answering.
    pub objects_are_down: Cell<bool>,
    /// The user whom the rate limit keeps out.
    pub kept_out: RefCell<Option<String>>,
    /// Whether the outbox alone fails instead of answering.
    pub outbox_is_down: Cell<bool>,
    /// After so many more questions nobody answers.
    pub objects_go_down_after: Cell<Option<usize>>,
    /// What durable objects were asked, by name.
    pub asked: RefCell<Vec<(String, String)>>,
    /// The calls that were made.
    pub calls: RefCell<Vec<Seen>>,
    file_server: RefCell<Option<Box<FileServer>>>,
    /// What the file server was asked for.
    pub fetched: RefCell<Vec<(String, Option<Range<u64>>)>>,
    /// The streamed requests that were made.
    pub uploads: RefCell<Vec<Rc<Upload>>>,
    /// The log.
    pub lines: RefCell<Vec<String>>,
}

/// A host whose world is this process. Clones share it.
#[derive(Clone, Default)]
pub struct TestHost(pub Rc<World>);

/// An answer of this status and body.
#[must_use]
pub fn answer(status: u16, body: &str) -> Answer {
    Answer {
        status,
        retry_after: None,
        body: body.as_bytes().to_vec(),
    }
}

impl World {
    /// Forgets how Telegram was to behave: what was scripted may not have been needed.
    pub fn scripts_are_void(&self) {
        self.scripts.borrow_mut().clear();
    }
}

impl TestHost {
    /// Answers calls whose URL has `part` in it, one after another; the last answer stays.
    pub fn answers(
        &self,
        part: &'static str,
        answers: impl IntoIterator<Item = Result<Answer, CallFault>>,
    ) {
        let mut all = self.0.answers.borrow_mut();
        all.retain(|(known, _)| *known != part);
        all.push((part, answers.into_iter().collect()));
    }

    /// Lets this answer to requests for files.
    pub fn file_server(
        &self,
        server: impl Fn(&str, Option<Range<u64>>) -> Result<Fetched<TestDownload>, CallFault> + 'static,
    ) {
        *self.0.file_server.borrow_mut() = Some(Box::new(server));
    }

    /// Sets how Telegram behaves towards the next streamed request that has no script yet.
    pub fn script(&self, script: Script) {
        self.0.scripts.borrow_mut().push_back(script);
    }

    /// Lets every call take so long.
    pub fn calls_take(&self, ms: u32) {
        self.0.call_ms.set(ms);
    }

    /// Makes the durable objects be there, with these settings.
    pub fn bind_objects(&self, config: Config) {
        let set = self.0.objects_config.set(Rc::new(config));
        assert!(set.is_ok(), "bound twice");
    }

    /// The settings of the durable objects.
    #[must_use]
    pub fn config_of_objects(&self) -> Rc<Config> {
        Rc::clone(self.0.objects_config.get().expect("bound"))
    }

    /// What the object of that name keeps.
    #[must_use]
    pub fn storage<O: DurableObject>(&self, name: &str) -> Rc<Memory> {
        self.storage_of(O::BINDING, name)
    }

    fn storage_of(&self, binding: &'static str, name: &str) -> Rc<Memory> {
        let mut objects = self.0.objects.borrow_mut();
        Rc::clone(objects.entry((binding, name.to_owned())).or_default())
    }

    /// Lets time pass, and wakes the objects whose alarms are due meanwhile.
    pub fn run_alarms_until(&self, end: UnixMillis) {
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

    /// The calls whose URL has `part` in it.
    #[must_use]
    pub fn calls_to(&self, part: &str) -> Vec<Seen> {
        self.0
            .calls
            .borrow()
            .iter()
            .filter(|call| call.url.contains(part))
            .cloned()
            .collect()
    }

    /// Lets time pass.
    pub fn advance(&self, ms: UnixMillis) {
        self.0.now.set(self.0.now.get() + ms);
    }

    /// Runs a future to its end. When nothing moves, the clock jumps to the next timer.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.run_while(future, || true).expect("it ends")
    }

    /// The same, but drops the future in the middle as soon as `goes_on` says so.
    pub fn run_while<F: Future>(&self, future: F, goes_on: impl Fn() -> bool) -> Option<F::Output> {
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
    pub fn run_deferred(&self) {
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
    type Download = TestDownload;
    type ReplySink = TestReplySink;
    type ReplyBody = Rc<Delivered>;
    type Digester = TestDigester;

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

    async fn fetch(
        &self,
        url: String,
        range: Option<Range<u64>>,
    ) -> Result<Fetched<TestDownload>, CallFault> {
        self.0
            .fetched
            .borrow_mut()
            .push((url.clone(), range.clone()));
        self.sleep(self.0.call_ms.get()).await;
        let server = self.0.file_server.borrow();
        server.as_ref().expect("a file server")(&url, range)
    }

    fn digester(&self, algorithm: DigestAlgorithm) -> TestDigester {
        assert_eq!(algorithm, DigestAlgorithm::Sha256, "tests have no other");
        TestDigester::default()
    }

    fn reply_stream(&self, length: u64) -> (TestReplySink, Rc<Delivered>) {
        let delivered = Rc::new(Delivered {
            length,
            ..Delivered::default()
        });
        (TestReplySink(Rc::clone(&delivered)), delivered)
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
pub struct TestChunk(Vec<u8>);

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

/// A SHA-256 that is being computed.
#[derive(Default)]
pub struct TestDigester(Sha256);

impl Digester for TestDigester {
    type Chunk = TestChunk;
    type Body = TestBody;

    async fn update(&mut self, bytes: &[u8]) -> Result<(), DigestFault> {
        self.0.update(bytes);
        Ok(())
    }

    async fn update_range(
        &mut self,
        chunk: &TestChunk,
        range: Range<usize>,
    ) -> Result<(), DigestFault> {
        self.0.update(&chunk.0[range]);
        Ok(())
    }

    fn watch(&mut self, body: &mut TestBody) {
        for piece in &body.pieces {
            self.0.update(piece);
        }
    }

    async fn finish(self) -> Result<Vec<u8>, DigestFault> {
        Ok(self.0.finalize().to_vec())
    }
}

/// How a test's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The body is complete.
    Good,
    /// The client has gone.
    Gone,
    /// Nothing more comes.
    Stalled,
}

/// A body in pieces.
pub struct TestBody {
    pieces: VecDeque<Vec<u8>>,
    end: End,
}

impl TestBody {
    /// A body of these bytes, in pieces of that size.
    pub fn new(bytes: &[u8], piece: usize, end: End) -> Self {
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

/// The body of a streamed request, which behaves as its [`Script`] says.
pub struct TestSink {
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

/// The body of an answer to a request for a file.
pub struct TestDownload {
    /// What comes.
    pub bytes: Vec<u8>,
    /// The connection breaks after the bytes.
    pub breaks: bool,
}

impl Download for TestDownload {
    async fn read_up_to(self, most_bytes: usize) -> Result<Vec<u8>, CallFault> {
        if self.breaks && most_bytes > self.bytes.len() {
            return Err(CallFault::Network);
        }
        Ok(self.bytes.into_iter().take(most_bytes).collect())
    }
}

/// The body of a streamed reply, as the client got it.
#[derive(Debug, Default)]
pub struct Delivered {
    /// What `Content-Length` says, in bytes.
    pub length: u64,
    /// What came.
    pub bytes: RefCell<Vec<u8>>,
    /// It ended well, and has all its bytes.
    pub whole: Cell<bool>,
    /// It was broken off.
    pub broken: Cell<bool>,
}

/// Where a streamed reply goes.
pub struct TestReplySink(Rc<Delivered>);

impl ReplySink for TestReplySink {
    type Download = TestDownload;

    async fn pipe(&mut self, body: TestDownload) -> Result<(), PipeBroken> {
        self.0.bytes.borrow_mut().extend(&body.bytes);
        if body.breaks { Err(PipeBroken) } else { Ok(()) }
    }

    async fn pipe_range(
        &mut self,
        body: TestDownload,
        range: Range<u64>,
    ) -> Result<(), PipeBroken> {
        let end = usize::try_from(range.end)
            .expect("fits")
            .min(body.bytes.len());
        let start = usize::try_from(range.start).expect("fits").min(end);
        self.0.bytes.borrow_mut().extend(&body.bytes[start..end]);
        if (end as u64) < range.end {
            Err(PipeBroken)
        } else {
            Ok(())
        }
    }

    async fn close(self) -> Result<(), SinkClosed> {
        let whole = self.0.bytes.borrow().len() as u64 == self.0.length;
        self.0.whole.set(whole);
        if whole { Ok(()) } else { Err(SinkClosed) }
    }
}

impl Drop for TestReplySink {
    fn drop(&mut self) {
        self.0.broken.set(!self.0.whole.get());
    }
}
