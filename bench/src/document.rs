//! Checks a `sendDocument` body while it arrives.
//!
//! The file's name says how long the file is. So its end is known without searching for the boundary, and
//! the boundary must be exactly there.

use memchr::memmem;

use crate::content::{Content, File};
use crate::users;

/// Most bytes before the file, and again after it.
const MAX_ENVELOPE_BYTES: usize = 16 * 1024;

/// A body that is arriving.
pub(crate) struct Document<'a> {
    content: &'a Content,
    /// Whose bot receives it.
    user: u64,
    delimiter: String,
    stage: Stage,
    /// What came before the file's bytes.
    opening: Vec<u8>,
    /// What came after them.
    closing: Vec<u8>,
}

enum Stage {
    Opening,
    File { file: File, received: usize },
}

impl<'a> Document<'a> {
    /// The body of a request to that user's bot, with that content type.
    pub(crate) fn new(content: &'a Content, user: u64, content_type: &str) -> Result<Self, String> {
        let (_, boundary) = content_type
            .split_once("boundary=")
            .ok_or_else(|| format!("no boundary in {content_type}"))?;
        Ok(Self {
            content,
            user,
            delimiter: format!("\r\n--{}", boundary.trim_matches('"')),
            stage: Stage::Opening,
            opening: Vec::new(),
            closing: Vec::new(),
        })
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        if matches!(self.stage, Stage::Opening) {
            let seen = self.opening.len();
            self.opening.extend_from_slice(bytes);
            let Some((file, begin)) = self.find_file()? else {
                return Ok(());
            };
            self.stage = Stage::File { file, received: 0 };
            // Everything that was kept so far came before the file.
            bytes = &bytes[begin - seen..];
        }
        if let Stage::File { file, received } = &mut self.stage {
            let (inside, after) = bytes.split_at(bytes.len().min(file.size - *received));
            if !self.content.matches(file.offset + *received, inside) {
                return Err(format!("{} is wrong after byte {received}", file.name()));
            }
            *received += inside.len();
            self.closing.extend_from_slice(after);
        }
        if self.closing.len() > MAX_ENVELOPE_BYTES {
            return Err("too much after the file".to_owned());
        }
        Ok(())
    }

    /// Ends the check.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub(crate) fn finish(self) -> Result<File, String> {
        let Stage::File { file, received } = self.stage else {
            return Err("no document in the body".to_owned());
        };
        if received != file.size {
            return Err(format!("{} ends after {received} bytes", file.name()));
        }
        let closing = String::from_utf8_lossy(&self.closing);
        let closed = closing
            .trim_end_matches("\r\n")
            .ends_with(&format!("{}--", self.delimiter));
        if !closed || !closing.starts_with(&self.delimiter) {
            return Err(format!(
                "no closing boundary after {}: {closing:?}",
                file.name()
            ));
        }
        let chat = format!("name=\"chat_id\"\r\n\r\n{}\r\n", users::chat_id(self.user));
        if memmem::find(&self.opening, chat.as_bytes()).is_none() {
            return Err(format!("{} is for another channel", file.name()));
        }
        Ok(file)
    }

    /// The file, and where in the opening its bytes begin, once its part's head is complete.
    fn find_file(&self) -> Result<Option<(File, usize)>, String> {
        let part = memmem::find(&self.opening, b"name=\"document\"").and_then(|part| {
            let length = memmem::find(&self.opening[part..], b"\r\n\r\n")?;
            Some(part..part + length)
        });
        let Some(part) = part else {
            return if self.opening.len() > MAX_ENVELOPE_BYTES {
                Err("too much before the file".to_owned())
            } else {
                Ok(None)
            };
        };
        let head = String::from_utf8_lossy(&self.opening[part.clone()]);
        let file = head
            .split_once("filename=\"")
            .and_then(|(_, rest)| File::from_name(rest.split('"').next()?))
            .ok_or_else(|| format!("a document with another name: {head}"))?;
        if file.user == self.user {
            Ok(Some((file, part.end + 4)))
        } else {
            Err(format!(
                "{} went to the bot of user {}",
                file.name(),
                self.user
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: File = File {
        user: 3,
        offset: 10,
        size: 9000,
    };

    fn body(content: &Content, file: File, closing: &str) -> Vec<u8> {
        let mut body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"chat_id\"\r\n\r\n{}\r\n--b\r\n\
             Content-Disposition: form-data; name=\"document\"; filename=\"{}\"\r\n\r\n",
            users::chat_id(3),
            file.name()
        )
        .into_bytes();
        body.extend_from_slice(&content.of(FILE));
        body.extend_from_slice(closing.as_bytes());
        body
    }

    fn check(content: &Content, body: &[u8], step: usize) -> Result<File, String> {
        let mut document = Document::new(content, 3, "multipart/form-data; boundary=b")?;
        for bytes in body.chunks(step) {
            document.push(bytes)?;
        }
        document.finish()
    }

    #[test]
    fn a_whole_document_is_good_however_it_is_cut() {
        let content = Content::new();
        let last =
            "\r\n--b\r\nContent-Disposition: form-data; name=\"caption\"\r\n\r\nx\r\n--b--\r\n";
        for closing in ["\r\n--b--\r\n", "\r\n--b--", last] {
            for step in [1, 7, 100_000] {
                assert_eq!(
                    check(&content, &body(&content, FILE, closing), step),
                    Ok(FILE)
                );
            }
        }
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let content = Content::new();
        let mut lost = body(&content, FILE, "\r\n--b--\r\n");
        lost.remove(4000);
        assert!(check(&content, &lost, 1000).is_err());
        let shorter = File { size: 8999, ..FILE };
        let other = File { user: 4, ..FILE };
        for (file, closing) in [
            (FILE, ""),
            (FILE, "\r\n--b\r\n"),
            (shorter, "\r\n--b--\r\n"),
            (other, "\r\n--b--\r\n"),
        ] {
            assert!(check(&content, &body(&content, file, closing), 1000).is_err());
        }
    }
}
