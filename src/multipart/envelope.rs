//! The outgoing `sendDocument` body, in the form that the Bot API server reads.
//!
//! The server's reader (`HttpReader` of tdlib) differs from RFC 7578 in how it reads names: it matches
//! `name` and `filename` case-sensitively, ignores `filename*`, undoes backslash escapes in a filename
//! and then *percent-decodes* it. The closing delimiter is the commit point: without it the server
//! answers 400 and stores nothing. So [`Envelope::closing`] is separate, and is written only when
//! everything else has succeeded.

/// Random bytes in a boundary: 192 bits, so that no file contains it by chance or by design.
pub const BOUNDARY_ENTROPY_BYTES: usize = 24;

/// The content type of a file without one, or with one that cannot be a header.
pub const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Most bytes of a content type that is forwarded.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// The framing of one outgoing request.
#[derive(Debug, Clone)]
pub struct Envelope {
    boundary: String,
}

impl Envelope {
    /// An envelope whose boundary is made from these bytes, which must come from a CSPRNG.
    #[must_use]
    pub fn new(entropy: [u8; BOUNDARY_ENTROPY_BYTES]) -> Self {
        Self {
            boundary: crate::text::hex(&entropy),
        }
    }

    /// The `Content-Type` header of the request.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The body before the file's bytes. The worker's own `chat_id` comes first, because the first of
    /// two parameters with the same name wins.
    ///
    /// Without a caption, pass it to [`Self::closing`].
    #[must_use]
    pub fn opening(
        &self,
        chat_id: &str,
        caption: Option<&str>,
        file_name: &str,
        content_type: &str,
    ) -> String {
        let mut text =
            String::with_capacity(512 + file_name.len() * 2 + caption.map_or(0, str::len));
        self.field(&mut text, "chat_id", chat_id);
        if let Some(caption) = caption {
            self.field(&mut text, "caption", caption);
        }
        self.field(&mut text, "disable_content_type_detection", "true");
        text.push_str("--");
        text.push_str(&self.boundary);
        text.push_str("\r\nContent-Disposition: form-data; name=\"document\"; filename=\"");
        escape_name(&mut text, file_name);
        text.push_str("\"\r\nContent-Type: ");
        text.push_str(content_type);
        text.push_str("\r\n\r\n");
        text
    }

    /// The body after the file's bytes: the caption, if the opening had none, and the closing delimiter.
    #[must_use]
    pub fn closing(&self, caption: Option<&str>) -> String {
        let mut text = String::from("\r\n");
        if let Some(caption) = caption {
            self.field(&mut text, "caption", caption);
        }
        text.push_str("--");
        text.push_str(&self.boundary);
        text.push_str("--\r\n");
        text
    }

    fn field(&self, text: &mut String, name: &str, value: &str) {
        for piece in [
            "--",
            &self.boundary,
            "\r\nContent-Disposition: form-data; name=\"",
            name,
            "\"\r\n\r\n",
            value,
            "\r\n",
        ] {
            text.push_str(piece);
        }
    }
}

/// A content type that can be a header: the given one if it looks like `type/subtype`.
#[must_use]
pub fn passable_content_type(given: Option<&str>) -> &str {
    given
        .map(str::trim)
        .filter(|text| text.len() <= MAX_CONTENT_TYPE_BYTES && text.contains('/'))
        .filter(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b)))
        .unwrap_or(DEFAULT_CONTENT_TYPE)
}

/// Escapes the characters that the server would interpret inside `filename="…"`. Non-ASCII stays raw
/// UTF-8.
fn escape_name(text: &mut String, name: &str) {
    for c in name.chars() {
        match c {
            '%' | '"' | '\\' | '\0'..='\x1f' | '\x7f' => {
                text.push('%');
                text.push_str(&crate::text::hex(&[c as u8]).to_ascii_uppercase());
            }
            _ => text.push(c),
        }
    }
}
