//! Multipart bodies with exactly these parts, in exactly this order.

use bytes::Bytes;

use crate::http::Request;

/// The boundary that forms have unless a test is about boundaries.
pub const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

/// A form under construction.
#[derive(Clone, Debug)]
pub struct Form {
    boundary: String,
    body: Vec<Bytes>,
}

impl Default for Form {
    fn default() -> Self {
        Self::new()
    }
}

impl Form {
    /// A form without parts.
    #[must_use]
    pub fn new() -> Self {
        Self::with_boundary(BOUNDARY)
    }

    /// A form without parts, and with this boundary.
    #[must_use]
    pub fn with_boundary(boundary: &str) -> Self {
        Self {
            boundary: boundary.to_owned(),
            body: Vec::new(),
        }
    }

    /// A text field, as browsers write it.
    #[must_use]
    pub fn field(self, name: &str, value: &str) -> Self {
        self.part(
            &format!("Content-Disposition: form-data; name=\"{name}\"\r\n"),
            Bytes::copy_from_slice(value.as_bytes()),
        )
    }

    /// A file, as browsers write it. `filename` goes in as it is: escape it as the client would.
    #[must_use]
    pub fn file(self, name: &str, filename: &str, content_type: &str, content: Bytes) -> Self {
        self.part(
            &format!(
                "Content-Disposition: form-data; name=\"{name}\"; filename=\"{filename}\"\r\n\
                 Content-Type: {content_type}\r\n"
            ),
            content,
        )
    }

    /// A part with this header block, each line ended by CRLF, and the content.
    #[must_use]
    pub fn part(mut self, headers: &str, content: Bytes) -> Self {
        self.body
            .push(format!("--{}\r\n{headers}\r\n", self.boundary).into());
        self.body.push(content);
        self.body.push(Bytes::from_static(b"\r\n"));
        self
    }

    /// The bytes as they are, at this place.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.body.push(Bytes::copy_from_slice(bytes));
        self
    }

    /// The `Content-Type` of the form.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The body with its closing delimiter.
    #[must_use]
    pub fn closed(mut self) -> Vec<Bytes> {
        self.body.push(format!("--{}--\r\n", self.boundary).into());
        self.body
    }

    /// The upload of this form.
    #[must_use]
    pub fn post(self) -> Request {
        self.post_to("/upload")
    }

    /// A request that posts this form to a target.
    #[must_use]
    pub fn post_to(self, target: &str) -> Request {
        Request::new("POST", target)
            .header("content-type", &self.content_type())
            .body(self.closed())
    }
}
