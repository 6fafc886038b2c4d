//! sendDocument, sendMessage and deleteMessage.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::{
    blobs::{Blob, BlobStore},
    error::BotApiError,
    intake::{Incoming, IncomingFile},
    kind::Kind,
    random::random,
    store::{Attachment, Bot, Chat, MessageContent, NewFile, Posted, Store},
    telegram::{Telegram, describe_chat},
};

/// Longest caption after its entities were parsed, in code points.
const MAX_CAPTION_CHARS: usize = 1024;
/// Longest text of a message after its entities were parsed, in code points.
const MAX_TEXT_CHARS: usize = 4096;

impl Telegram {
    /// sendDocument: the file comes with the request, or is known by its `file_id`.
    pub(crate) async fn send_document(
        &self,
        bot: &Bot,
        mut incoming: Incoming,
    ) -> Result<Value, BotApiError> {
        let source = take_document(&mut incoming)?;
        let parameters = &incoming.parameters;
        let (chat, rights) = self.chat_and_rights(bot, parameters.get("chat_id")).await?;
        rights.require_post()?;
        let caption = parameters.get("caption");
        if code_points(caption, parameters.get("parse_mode")) > MAX_CAPTION_CHARS {
            return Err(BotApiError::bad_request("message caption is too long"));
        }
        let content = MessageContent {
            text: None,
            caption: (!caption.is_empty()).then(|| caption.to_owned()),
            parameters: parameters.to_json(),
        };
        let (file, attachment, blob) = match source {
            Document::Upload(upload) if upload.content.size == 0 => {
                return Err(BotApiError::bad_request("file must be non-empty"));
            }
            Document::Upload(upload) => {
                let detect = !parameters.flag("disable_content_type_detection");
                let file = describe_upload(bot, &upload, detect)?;
                (file.clone(), Attachment::New(file), Some(upload.content))
            }
            Document::FileId(file_id) => {
                let known = self.own_file(bot, &file_id).await?;
                (known.file, Attachment::Known(known.sequence), None)
            }
        };
        self.pace(bot, &chat, u64::try_from(file.size_bytes).ok())
            .await?;
        let posted = self
            .commit(&chat, bot, content.clone(), attachment, blob)
            .await?;
        let mut message = describe_message(&chat, posted);
        describe_file(&file, &mut message);
        if let Some(caption) = content.caption {
            message["caption"] = json!(caption);
        }
        Ok(message)
    }

    /// sendMessage.
    pub(crate) async fn send_message(
        &self,
        bot: &Bot,
        incoming: &Incoming,
    ) -> Result<Value, BotApiError> {
        let parameters = &incoming.parameters;
        let text = parameters.get("text");
        if text.trim().is_empty() {
            return Err(BotApiError::bad_request("message text is empty"));
        }
        let (chat, rights) = self.chat_and_rights(bot, parameters.get("chat_id")).await?;
        rights.require_post()?;
        if code_points(text, parameters.get("parse_mode")) > MAX_TEXT_CHARS {
            return Err(BotApiError::bad_request("message is too long"));
        }
        self.pace(bot, &chat, None).await?;
        let content = MessageContent {
            text: Some(text.to_owned()),
            caption: None,
            parameters: parameters.to_json(),
        };
        let posted = self
            .commit(&chat, bot, content, Attachment::Nothing, None)
            .await?;
        let mut message = describe_message(&chat, posted);
        message["text"] = json!(text);
        Ok(message)
    }

    /// deleteMessage.
    pub(crate) async fn delete_message(
        &self,
        bot: &Bot,
        incoming: &Incoming,
    ) -> Result<Value, BotApiError> {
        let parameters = &incoming.parameters;
        let (chat, rights) = self.chat_and_rights(bot, parameters.get("chat_id")).await?;
        rights.require_post()?;
        let message_id = parameters.get("message_id").trim().parse().unwrap_or(0);
        if !self.store.delete_message(chat.id, message_id).await? {
            return Err(BotApiError::bad_request("message to delete not found"));
        }
        Ok(json!(true))
    }

    /// Posts the message, and keeps its file.
    ///
    /// In a task of its own: a client that leaves after its request is complete cannot interrupt it midway.
    async fn commit(
        &self,
        chat: &Chat,
        bot: &Bot,
        content: MessageContent,
        attachment: Attachment,
        blob: Option<Blob>,
    ) -> Result<Posted, BotApiError> {
        let store = self.store.clone();
        let blobs = Arc::clone(&self.blobs);
        let (chat_id, bot_id) = (chat.id, bot.id);
        let committing = tokio::spawn(async move {
            commit(&store, &blobs, chat_id, bot_id, &content, &attachment, blob).await
        });
        committing.await.map_err(std::io::Error::other)?
    }
}

async fn commit(
    store: &Store,
    blobs: &BlobStore,
    chat_id: i64,
    bot_id: i64,
    content: &MessageContent,
    attachment: &Attachment,
    blob: Option<Blob>,
) -> Result<Posted, BotApiError> {
    if let Some(blob) = &blob {
        blobs.keep(blob).await?;
    }
    let posted = store
        .post_message(chat_id, bot_id, content, attachment)
        .await;
    if let (Err(_), Some(blob)) = (&posted, &blob) {
        blobs.remove(&blob.name).await?;
    }
    Ok(posted?)
}

/// Where the document is.
enum Document {
    Upload(IncomingFile),
    FileId(String),
}

fn take_document(incoming: &mut Incoming) -> Result<Document, BotApiError> {
    let given = incoming.parameters.get("document").trim().to_owned();
    let field = given.strip_prefix("attach://").unwrap_or("document");
    if let Some(at) = incoming.files.iter().position(|file| file.field == field) {
        return Ok(Document::Upload(incoming.files.swap_remove(at)));
    }
    if given.is_empty() || given.starts_with("attach://") {
        return Err(BotApiError::bad_request(
            "there is no document in the request",
        ));
    }
    if given.contains("://") {
        return Err(BotApiError::bad_request("failed to get HTTP URL content"));
    }
    Ok(Document::FileId(given))
}

fn describe_upload(
    bot: &Bot,
    upload: &IncomingFile,
    detect: bool,
) -> Result<NewFile, getrandom::Error> {
    let kind = if detect {
        Kind::detect(&upload.content.head)
    } else {
        Kind::Document
    };
    // The server goes by the name, not by the part's Content-Type.
    let mime_type = mime_guess::from_path(&upload.name).first_or_octet_stream();
    // Tagged as real ones are, so that they look right in a log.
    let file_id = format!("BQACAgIAAx{}", URL_SAFE_NO_PAD.encode(random::<45>()?));
    let file_unique_id = format!("AgAD{}", URL_SAFE_NO_PAD.encode(random::<9>()?));
    Ok(NewFile {
        file_id,
        file_unique_id,
        bot_id: bot.id,
        kind: kind.name().to_owned(),
        file_name: upload.name.clone(),
        mime_type: mime_type.to_string(),
        size_bytes: i64::try_from(upload.content.size).unwrap_or(i64::MAX),
        sha256: upload.content.sha256.clone(),
        blob: upload.content.name.clone(),
    })
}

fn describe_message(chat: &Chat, posted: Posted) -> Value {
    json!({
        "message_id": posted.message_id,
        "sender_chat": describe_chat(chat),
        "chat": describe_chat(chat),
        "date": posted.date,
    })
}

fn describe_file(file: &NewFile, message: &mut Value) {
    let described = json!({
        "file_id": file.file_id,
        "file_unique_id": file.file_unique_id,
        "file_name": file.file_name,
        "mime_type": file.mime_type,
        "file_size": file.size_bytes,
    });
    let kind = Kind::from_name(&file.kind);
    if kind == Kind::Animation {
        // For clients that know no animations.
        message[Kind::Document.name()] = described.clone();
    }
    message[kind.name()] = described;
}

/// Length of a text in code points, as tdlib counts (`utf8_length`), without the tags of its entities.
fn code_points(text: &str, parse_mode: &str) -> usize {
    if !parse_mode.eq_ignore_ascii_case("html") {
        return text.chars().count();
    }
    let mut count = 0;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let end = match character {
            '<' => rest.find('>'),
            '&' => rest.find(';'),
            _ => None,
        };
        count += usize::from(character != '<' || end.is_none());
        rest = rest
            .get(end.map_or(character.len_utf8(), |at| at + 1)..)
            .unwrap_or_default();
    }
    count
}

#[cfg(test)]
mod tests {
    use super::code_points;

    #[test]
    fn a_caption_is_counted_in_code_points_without_its_tags() {
        for (text, parse_mode, count) in [
            ("", "", 0),
            ("abc", "", 3),
            ("é😀", "", 2),
            ("<b>a</b>", "", 8),
            ("<b>a</b>&amp;😀", "HTML", 3),
            ("a < b & c", "HTML", 9),
        ] {
            assert_eq!(code_points(text, parse_mode), count, "{text}");
        }
    }
}
