//! What an upload resource is asked, and what it answers.
//!
//! One request that appends asks in this order; each question is one short turn of the object.
//!
//! ```text
//! Begin ─▶ Granted ─┬─▶ Commit ─▶ Leave ─▶ (closing boundary, Telegram's ok) ─▶ Store ─▶ Progress ─┐
//!                   │        ▲ Renew while bytes come                                              │
//!                   │        └──────────────────────── next part ◀────────────────────────────────┤
//!                   └───────────────────────────▶ End ─▶ Progress ◀───────────────────────────────┘
//! complete: Finish ─▶ Work ─▶ Ledger… ─▶ Commit, Store (the manifest) ─▶ Keep (the reply)
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::manifest::Part;
use super::naming::Place;
use super::seal::Sealed;
use crate::host::UnixMillis;
use crate::webhook::Message;

/// A question to an upload resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Who asks: the id of the request, which holds the lease if it may append.
    pub request: String,
    /// Whose token came with the request. Without one only what needs no token is answered.
    pub user: Option<String>,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Make the resource, unless it is there.
    Create(Box<NewUpload>),
    /// How far is it?
    Look,
    /// May this request append?
    Begin(Append),
    /// Bytes are coming: keep the lease.
    Renew,
    /// May the closing boundary be written? What is sent from then on may be stored.
    Commit(Piece),
    /// Telegram has stored what [`Answer::Leave`] was given for.
    Store {
        /// The number that came with the leave.
        serial: u32,
        /// What is stored.
        part: Part,
    },
    /// The bot has another token now: keep it, sealed.
    Reseal {
        /// The token.
        sealed: Sealed,
        /// Its mark.
        token_mark: String,
    },
    /// Telegram did not say that it stored it.
    Fail {
        /// The number that came with the leave.
        serial: u32,
        /// Whether it may be stored all the same.
        is_unknown: bool,
    },
    /// The request's body has ended. The lease is given back.
    End {
        /// The body came whole, and its checksum, if any, is right.
        is_whole: bool,
    },
    /// May this request finish the file?
    Finish,
    /// The parts of the file, in order, after this place.
    Ledger {
        /// The last one that is known.
        after: Option<Place>,
    },
    /// The file is finished: keep the reply, and the notification until somebody has it.
    Keep(Finished),
    /// The next parts of a final upload are those of a partial one.
    Adopt {
        /// How many parts it has so far.
        after: u32,
        /// The partial upload's parts, in order.
        parts: Vec<Part>,
        /// The last of the partial uploads is in: the file is complete.
        is_last: bool,
    },
    /// The parts of this partial upload are about to belong to that final one.
    Merge {
        /// The final upload's object.
        into: String,
    },
    /// Take the upload back, and delete what Telegram has of it.
    Terminate {
        /// What becomes of a file that is finished.
        finished: FinishedFile,
    },
}

/// What becomes of a finished file when its upload resource is terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishedFile {
    /// It stays; the resource alone is forgotten.
    Stays,
    /// It is deleted as well.
    Goes,
}

/// Bot and chat: the parts of one file can't be spread over several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The bot's id, which is no secret.
    pub bot_id: String,
    /// The chat's id.
    pub chat_id: String,
    /// The user's destination by its id or label, if the client named one.
    pub name: Option<String>,
    /// Tells one token of the bot from another: see [`super::seal::token_mark`].
    pub token_mark: String,
}

/// What the client says of its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDescription {
    /// Its name.
    pub name: String,
    /// Its type.
    pub mime_type: String,
    /// The caption, if not the usual one.
    pub caption: Option<String>,
    /// Metadata of the client's own, for the notification.
    pub metadata: BTreeMap<String, String>,
}

/// How the bytes of an upload come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// One after the other.
    Sequential {
        /// Whether it is complete as soon as its length is reached. If not, a request says so.
        ends_at_length: bool,
    },
    /// One after the other; what comes is a stretch of a file that is put together later.
    Partial,
    /// It is put together from partial uploads.
    Final,
    /// In chunks of any order.
    Chunked {
        /// How many there are.
        total: u32,
    },
}

/// A resource to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUpload {
    /// The name of the resource's object.
    pub object: String,
    /// Where it goes.
    pub destination: Destination,
    /// What the client says of the file.
    pub file: FileDescription,
    /// Header fields that the dialect gives back as they came.
    pub echoed: BTreeMap<String, String>,
    /// How its bytes come.
    pub shape: Shape,
    /// Bytes, if they are known yet.
    pub length: Option<u64>,
    /// With what its messages can be deleted later.
    pub sealed: Sealed,
}

/// A request that wants to append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Where the user's files go now.
    pub destination: Destination,
    /// Where its bytes belong.
    pub at: Position,
    /// Bytes of its body, if it says so.
    pub content_length: Option<u64>,
    /// Bytes of the whole file, if it says so.
    pub length: Option<u64>,
    /// Its end is the file's end.
    pub completes: bool,
    /// A checksum covers its whole body: nothing of it counts until that is checked.
    pub is_checked: bool,
}

/// Where the bytes of a request belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// From this byte on.
    Offset(u64),
    /// They are this chunk.
    Chunk {
        /// From 0.
        index: u32,
        /// How many the client says there are.
        total: u32,
    },
}

/// What is about to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// A part of the file.
    Part {
        /// Bytes.
        size: u64,
        /// The body has ended with it.
        is_last: bool,
    },
    /// The manifest.
    Manifest,
}

/// The reply to the request that finished a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The receipt's JSON.
    pub reply: String,
    /// The file's id.
    pub file_id: String,
    /// The file's message.
    pub message_id: i64,
    /// The notification, unless backend or outbox has it.
    pub undelivered: Option<Message>,
}

/// What a resource answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It may append.
    Granted(Box<Grant>),
    /// The closing boundary may be written.
    Leave {
        /// To be named when Telegram has answered.
        serial: u32,
    },
    /// How far it is. `End`, `Store` and everything else without an answer of its own ask for this.
    State(Box<State>),
    /// What is left to do.
    Work(Box<Work>),
    /// Parts of the file, in order; none when there are no more.
    Ledger(Vec<(Place, Part)>),
    /// Not so.
    Refused(Refusal),
}

/// What a request may append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Where its first part stands.
    pub place: Place,
    /// Bytes that it may bring at most.
    pub room: u64,
    /// The first part is likely the whole file, and has its name.
    pub is_whole_file: bool,
    /// What the alarm needs is sealed for another token of the bot: [`Ask::Reseal`] mends that.
    pub needs_reseal: bool,
    /// How far the upload is.
    pub state: State,
}

/// How far an upload is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Bytes that Telegram has acknowledged.
    pub offset: u64,
    /// Bytes, if they are known yet.
    pub length: Option<u64>,
    /// How its bytes come.
    pub shape: Shape,
    /// What the client says of the file.
    pub file: FileDescription,
    /// Where it goes.
    pub destination: Destination,
    /// Header fields that the dialect gives back as they came.
    pub echoed: BTreeMap<String, String>,
    /// The chunks that are there.
    pub received: Vec<u32>,
    /// How many parts it has.
    pub parts: u32,
    /// Whether all bytes are there.
    pub is_complete: bool,
    /// The file, once it is finished.
    pub finished: Option<Finished>,
    /// When it ends, if nothing more comes.
    pub expires_at: UnixMillis,
    /// When it began.
    pub created_at: UnixMillis,
    /// Messages of which nobody knows whether Telegram stored them.
    pub unknown_orphans: u32,
}

/// What is left to do of a file that is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// How far it is.
    pub state: State,
    /// The manifest, if Telegram has it already.
    pub manifest: Option<Part>,
}

/// Why a resource does not do what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such upload.
    NotFound,
    /// It has ended: it expired or was terminated.
    Gone,
    /// It is another user's.
    Foreign,
    /// It began with another bot or chat.
    DestinationChanged,
    /// The offset is another.
    Offset {
        /// The upload's.
        expected: u64,
    },
    /// Another request appends at the moment.
    Locked {
        /// Seconds until it is worth asking again.
        retry_after: u32,
    },
    /// Another request has taken over. Nothing may be committed any more.
    Overtaken,
    /// All bytes are there.
    Complete,
    /// Not all bytes are there.
    Incomplete,
    /// The file has no bytes, and Telegram stores no empty files.
    Empty,
    /// The file's name is too long.
    NameTooLong,
    /// More bytes than its length.
    LengthExceeded {
        /// Bytes.
        length: u64,
    },
    /// Two requests named two lengths, or two numbers of chunks.
    LengthDiffers,
    /// The file is larger than any may be.
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// It has as many parts as a file may have.
    TooManyParts,
    /// There is no chunk of this index.
    NoSuchChunk,
    /// The chunk is there already.
    ChunkStored,
    /// The upload takes no bytes of this kind: it is a final one, or its bytes come another way.
    WrongShape,
}
