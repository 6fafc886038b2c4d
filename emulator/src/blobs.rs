//! The folder of file contents, beside the database.
//!
//! A content is written under a name that ends in `.part` and renamed when it is complete, so an upload
//! that breaks leaves no file. Contents are not synced to the disk: tests of power failures need no
//! emulated Telegram.

use std::{
    fs::{self, File},
    io::{self, Write},
    mem,
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::task::{self, JoinHandle};

/// Bytes that are gathered before they are hashed and written. Each batch crosses to a blocking
/// thread, which costs about as much as hashing some 20 KiB.
const BATCH_BYTES: usize = 1 << 20;
/// Leading bytes kept in memory, for telling the kind of content.
const HEAD_BYTES: usize = 64;
const PART_SUFFIX: &str = ".part";

/// The folder of file contents.
#[derive(Debug)]
pub(crate) struct BlobStore {
    folder: PathBuf,
    /// Whether the folder goes with this value.
    temporary: bool,
}

impl BlobStore {
    /// Opens the folder, making it if need be; removes what an earlier process left half written.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(PART_SUFFIX) {
                fs::remove_file(path)?;
            }
        }
        Ok(Self {
            folder,
            temporary: false,
        })
    }

    /// A new folder among the system's temporary ones, removed when the store is dropped.
    pub(crate) fn temporary() -> io::Result<Self> {
        let name = format!("telegram-files-{}", uuid::Uuid::new_v4().simple());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            temporary: true,
        })
    }

    /// Starts a content.
    pub(crate) fn writer(&self) -> BlobWriter {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let part = Arc::new(PartFile(self.folder.join(format!("{name}{PART_SUFFIX}"))));
        BlobWriter {
            name,
            part,
            sink: Sink::Idle(None),
            batch: Vec::new(),
            batched_bytes: 0,
            size: 0,
            head: Vec::new(),
        }
    }

    /// Gives a whole content its final name.
    pub(crate) async fn keep(&self, blob: &Blob) -> io::Result<()> {
        tokio::fs::rename(&blob.part.0, self.path(&blob.name)).await
    }

    /// Where the content called `name` is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes a kept content.
    pub(crate) async fn remove(&self, name: &str) -> io::Result<()> {
        tokio::fs::remove_file(self.path(name)).await
    }

    /// Removes every kept content; those being written go on.
    pub(crate) async fn clear(&self) -> io::Result<()> {
        let folder = self.folder.clone();
        blocking(move || {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if !path.to_string_lossy().ends_with(PART_SUFFIX) {
                    fs::remove_file(path)?;
                }
            }
            Ok(())
        })
        .await
    }
}

impl Drop for BlobStore {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            tracing::warn!(%error, "the temporary folder of files could not be removed");
        }
    }
}

/// A content on its way in. Dropped before [`BlobWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    name: String,
    part: Arc<PartFile>,
    sink: Sink,
    batch: Vec<Bytes>,
    batched_bytes: usize,
    size: u64,
    head: Vec<u8>,
}

/// A whole content, not yet kept. Dropped before [`BlobStore::keep`], it leaves nothing.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) name: String,
    pub(crate) size: u64,
    /// Lower-case hexadecimal.
    pub(crate) sha256: String,
    /// The leading bytes, at most 64.
    pub(crate) head: Vec<u8>,
    part: Arc<PartFile>,
}

impl BlobWriter {
    /// Takes bytes without copying them.
    pub(crate) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend(bytes.iter().take(wanted));
        self.size += bytes.len() as u64;
        self.batched_bytes += bytes.len();
        self.batch.push(bytes);
        if self.batched_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Ends the content.
    pub(crate) async fn finish(mut self) -> io::Result<Blob> {
        self.flush().await?;
        let output = self.sink.idle().await?;
        Ok(Blob {
            sha256: hex::encode(output.map_or_else(Sha256::new, |it| it.hasher).finalize()),
            name: self.name,
            size: self.size,
            head: self.head,
            part: self.part,
        })
    }

    /// Hands the batch to a blocking thread, once the batch before is through: one is gathered
    /// while one is hashed and written.
    async fn flush(&mut self) -> io::Result<()> {
        let batch = mem::take(&mut self.batch);
        self.batched_bytes = 0;
        let output = self.sink.idle().await?;
        // The thread holds the part too: were it removed while the thread is yet to make the file,
        // the file would stay.
        let part = Arc::clone(&self.part);
        self.sink = Sink::Busy(task::spawn_blocking(move || {
            let mut output = match output {
                Some(output) => output,
                None => Output::create(part)?,
            };
            for bytes in batch {
                output.hasher.update(&bytes);
                output.file.write_all(&bytes)?;
            }
            Ok(output)
        }));
        Ok(())
    }
}

#[derive(Debug)]
enum Sink {
    Idle(Option<Output>),
    Busy(JoinHandle<io::Result<Output>>),
}

impl Sink {
    async fn idle(&mut self) -> io::Result<Option<Output>> {
        match mem::replace(self, Self::Idle(None)) {
            Self::Idle(output) => Ok(output),
            Self::Busy(work) => work.await.map_err(io::Error::other)?.map(Some),
        }
    }
}

#[derive(Debug)]
struct Output {
    file: File,
    hasher: Sha256,
    _part: Arc<PartFile>,
}

impl Output {
    fn create(part: Arc<PartFile>) -> io::Result<Self> {
        Ok(Self {
            file: File::create_new(&part.0)?,
            hasher: Sha256::new(),
            _part: part,
        })
    }
}

/// The path of a content that is not kept yet; removed on drop if it is still there.
#[derive(Debug)]
struct PartFile(PathBuf);

impl Drop for PartFile {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "an incomplete file stays until the next start");
            }
            _ => {}
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work).await.map_err(io::Error::other)?
}
