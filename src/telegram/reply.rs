//! Reads Telegram's answers.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::fault::TelegramFault;
use crate::host::Answer;
use crate::json::Object;

/// A file that Telegram has stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The message that holds it; never 0.
    pub message_id: i64,
    /// The id with which this bot can send or fetch the file again.
    pub file_id: String,
    /// An id that is the same for every bot. It cannot be used to fetch the file.
    pub file_unique_id: Option<String>,
    /// What Telegram stored it as: `document`, `video`, …
    pub kind: &'static str,
    /// The MIME type, according to Telegram.
    pub mime_type: Option<String>,
}

#[derive(Deserialize)]
struct Envelope<T> {
    ok: bool,
    result: Option<T>,
    error_code: Option<u16>,
    description: Option<String>,
    parameters: Option<Object<Parameters>>,
}

#[derive(Deserialize)]
struct Parameters {
    retry_after: Option<u32>,
    migrate_to_chat_id: Option<i64>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    message_id: i64,
    document: Option<Object<File>>,
    video: Option<Object<File>>,
    audio: Option<Object<File>>,
    animation: Option<Object<File>>,
    voice: Option<Object<File>>,
    sticker: Option<Object<File>>,
    video_note: Option<Object<File>>,
    #[serde(default)]
    photo: Vec<Object<File>>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    file_id: String,
    file_unique_id: Option<String>,
    mime_type: Option<String>,
    #[serde(default)]
    file_size: u64,
    #[serde(default)]
    width: u64,
    #[serde(default)]
    height: u64,
}

/// Reads the answer to a `sendDocument` whose whole body was sent.
///
/// # Errors
/// What the answer means, unless it is a stored file with ids.
pub fn read_answer(answer: &Answer) -> Result<Stored, TelegramFault> {
    read_result(answer).and_then(|Object(message)| stored(message).ok_or(TelegramFault::NoIds))
}

/// Reads the result of any method.
///
/// # Errors
/// What the answer means, unless it has a result.
pub fn read_result<T: DeserializeOwned>(answer: &Answer) -> Result<T, TelegramFault> {
    let Ok(Object(envelope)) = serde_json::from_slice::<Object<Envelope<T>>>(&answer.body) else {
        return Err(TelegramFault::from_foreign_answer(answer));
    };
    if !envelope.ok {
        let parameters = envelope.parameters.map(|Object(parameters)| parameters);
        return Err(TelegramFault::from_error(
            envelope.error_code.unwrap_or(answer.status),
            envelope.description,
            parameters
                .as_ref()
                .and_then(|p| p.retry_after)
                .or_else(|| answer.retry_after()),
            parameters.as_ref().and_then(|p| p.migrate_to_chat_id),
        ));
    }
    envelope.result.ok_or(TelegramFault::NoIds)
}

/// The message's file. An animation comes with a `document` too, so `animation` is looked for first.
fn stored(message: Message) -> Option<Stored> {
    let largest_photo = message
        .photo
        .into_iter()
        .max_by_key(|Object(photo)| (photo.width.saturating_mul(photo.height), photo.file_size));
    let (kind, file) = [
        ("animation", message.animation),
        ("video", message.video),
        ("audio", message.audio),
        ("voice", message.voice),
        ("video_note", message.video_note),
        ("sticker", message.sticker),
        ("document", message.document),
        ("photo", largest_photo),
    ]
    .into_iter()
    .find_map(|(kind, file)| file.map(|Object(file)| (kind, file)))?;
    // The message id 0 means that the message was scheduled: it identifies nothing yet.
    (message.message_id != 0 && !file.file_id.is_empty()).then_some(Stored {
        message_id: message.message_id,
        file_id: file.file_id,
        file_unique_id: file.file_unique_id,
        kind,
        mime_type: file.mime_type,
    })
}
