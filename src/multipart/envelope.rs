//! The outgoing `sendDocument` body, in the form that the Bot API server reads.
//!
//! Its reader (`HttpReader` of tdlib) differs from RFC 7578 in ways that decide how names are
//! written: `name` and `filename` are matched case-sensitively, `filename*` is ignored, and a
//! filename has its backslash escapes undone and is then *percent-decoded*. The closing delimiter
//! is the commit point: without it the server answers 400 and stores nothing. That is why
//! [`Envelope::closing`] is made apart, and written only when all else went well.

/// Bytes of randomness in a boundary: 192 bits, so that no file can hold it by chance or design.
pub const BOUNDARY_ENTROPY_BYTES: usize = 24;

/// The content type of a file that names none, or none that can be a header.
pub const DEFAULT_CONTENT_TYPE: &str = "application/octet-stream";

/// Most bytes of a content type that is passed on.
const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// The framing of one outgoing request.
#[derive(Debug, Clone)]
pub struct Envelope {
    boundary: String,
}

impl Envelope {
    /// An envelope whose boundary is made of these bytes, which come from a CSPRNG.
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

    /// What goes before the file's bytes. The worker's own `chat_id` comes first: of two parameters
    /// of one name the first wins.
    ///
    /// The caption is left out when it is not known yet; then [`Self::closing`] has it.
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

    /// What goes behind the file's bytes: the caption, when the opening had none, and the commit.
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

/// The content type that may go into a header: the given one if it looks like `type/subtype`.
#[must_use]
pub fn passable_content_type(given: Option<&str>) -> &str {
    given
        .map(str::trim)
        .filter(|text| text.len() <= MAX_CONTENT_TYPE_BYTES && text.contains('/'))
        .filter(|text| text.bytes().all(|b| (b' '..=b'~').contains(&b)))
        .unwrap_or(DEFAULT_CONTENT_TYPE)
}

/// Escapes what would be read as something else inside `filename="…"`. Non-ASCII stays raw UTF-8.
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
