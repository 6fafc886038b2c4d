//! Taking samples: one load on one worker, and what it cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use testkit::workerd::Workerd;
use tokio::time::timeout;

use crate::client::{Connections, Request};
use crate::content::Content;
use crate::sink::Sink;
use crate::worker::{Kind, Worker};

/// No sample takes so long, unless something hangs.
const HUNG: Duration = Duration::from_mins(2);

/// What all cases share.
pub(crate) struct Lab {
    /// The runtime of all workers.
    pub(crate) workerd: Workerd,
    pub(crate) content: Content,
    pub(crate) sink: Sink,
    /// How often everything is repeated.
    pub(crate) rounds: usize,
}

/// Uploads that go out together.
pub(crate) struct Load {
    /// How many at a time.
    pub(crate) connections: usize,
    pub(crate) requests: Arc<[Request]>,
}

/// What a load cost.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// From the first byte sent to the last reply.
    pub(crate) wall: Duration,
    /// Of the whole workerd.
    pub(crate) cpu: Duration,
    /// The highest resident memory of workerd, in bytes.
    pub(crate) peak_memory: u64,
    /// Each upload's, from its first byte to its reply.
    pub(crate) latencies: Vec<Duration>,
    /// Requests for credentials.
    pub(crate) credentials: u64,
}

/// A worker and the loads that it gets.
pub(crate) struct Contender<'a> {
    pub(crate) worker: Worker,
    /// The load of a round.
    pub(crate) load: Box<dyn Fn(usize) -> Load + 'a>,
    /// Its memory before the first round, in bytes.
    pub(crate) idle_memory: u64,
    pub(crate) samples: Vec<Sample>,
}

impl Load {
    /// The same request so many times.
    pub(crate) fn repeated(request: &Request, count: usize, connections: usize) -> Self {
        Self {
            connections,
            requests: vec![request.clone(); count].into(),
        }
    }
}

impl Lab {
    /// Starts a worker.
    pub(crate) fn start(&self, kind: Kind) -> Result<Worker> {
        Worker::start(&self.workerd, kind, self.sink.address)
    }

    /// Starts a worker and warms it up.
    pub(crate) async fn contender<'a>(
        &self,
        kind: Kind,
        warm_up: Load,
        load: impl Fn(usize) -> Load + 'a,
    ) -> Result<Contender<'a>> {
        let worker = self.start(kind)?;
        self.sample(&worker, warm_up).await?;
        Ok(Contender {
            idle_memory: worker.process.memory()?,
            worker,
            load: Box::new(load),
            samples: Vec::new(),
        })
    }

    /// Gives each contender its load, one after the other, `repeats` times a round. Who begins changes,
    /// so what the machine does meanwhile hits all alike. A round before the first is not counted.
    pub(crate) async fn alternate(
        &self,
        contenders: &mut [Contender<'_>],
        rounds: usize,
        repeats: usize,
    ) -> Result<()> {
        for contender in &*contenders {
            self.sample(&contender.worker, (contender.load)(0)).await?;
        }
        let count = contenders.len();
        for turn in 0..rounds * repeats {
            for place in 0..count {
                let contender = &mut contenders[(turn + place) % count];
                let load = (contender.load)(turn / repeats + 1);
                let sample = self.sample(&contender.worker, load).await?;
                contender.samples.push(sample);
            }
        }
        Ok(())
    }

    /// One load on one worker.
    ///
    /// # Errors
    /// When an upload fails, or the sink did not get each file once, whole, with one notification.
    pub(crate) async fn sample(&self, worker: &Worker, load: Load) -> Result<Sample> {
        self.guard(worker, self.take_sample(worker, load)).await
    }

    /// The same without measuring anything.
    pub(crate) async fn send(&self, worker: &Worker, load: Load) -> Result<()> {
        let sent = async {
            let connections = Connections::open(worker.address, load.connections).await?;
            connections.send_all(load.requests).await.map(drop)
        };
        self.guard(worker, sent).await
    }

    /// Says who failed, and what the others know of it.
    async fn guard<T>(&self, worker: &Worker, work: impl Future<Output = Result<T>>) -> Result<T> {
        timeout(HUNG, work)
            .await
            .unwrap_or_else(|_| Err(anyhow!("nothing happens any more")))
            .with_context(|| {
                format!(
                    "the {} failed.\nthe sink says: {}\nworkerd: {}",
                    worker.kind.name(),
                    self.sink.failure().unwrap_or_else(|| "nothing".to_owned()),
                    worker.last_words()
                )
            })
    }

    async fn take_sample(&self, worker: &Worker, load: Load) -> Result<Sample> {
        let uploads = load.requests.len() as u64;
        let connections = Connections::open(worker.address, load.connections).await?;
        let before = self.sink.arrived();
        let cpu = worker.process.idle_cpu().await?;
        worker.process.reset_peak_memory()?;

        let began = Instant::now();
        let latencies = connections.send_all(load.requests).await?;
        let wall = began.elapsed();

        let cpu = worker.process.idle_cpu().await?.saturating_sub(cpu);
        let arrived = self.sink.arrived().since(before);
        ensure!(
            arrived.documents == uploads && arrived.notifications == uploads,
            "after {uploads} uploads, these arrived: {arrived:?}"
        );
        Ok(Sample {
            wall,
            cpu,
            peak_memory: worker.process.peak_memory()?,
            latencies,
            credentials: arrived.credentials,
        })
    }
}

impl Contender<'_> {
    /// A figure of each sample.
    pub(crate) fn figures(&self, figure: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.samples.iter().map(figure).collect()
    }

    /// How far memory rose over idle, in bytes, in each sample.
    pub(crate) fn memory_growth(&self) -> Vec<f64> {
        self.figures(|sample| {
            crate::statistics::float(sample.peak_memory.saturating_sub(self.idle_memory))
        })
    }
}
