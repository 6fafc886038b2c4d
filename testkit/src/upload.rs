//! The shapes in which clients upload, and files for them to upload.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::{
    form::Form,
    http::{Framing, Request, percent_encode},
    random::Random,
};

/// The worker reads a form of up to this `Content-Length` at once.
pub const SMALL_FORM_BYTES: u64 = 256 * 1024;

/// A client's way to upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `PUT /upload/{fileName}`, token in the header.
    RawPut,
    /// `POST /upload?fileName=…`, token in the header.
    RawPost,
    /// A form with `authToken` before the file.
    TokenFirst,
    /// A form with the file alone, token in the header.
    TokenInHeader,
    /// TeleStore's own form: the file, then `authToken`.
    FileFirst,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 5] = [
        Self::RawPut,
        Self::RawPost,
        Self::TokenFirst,
        Self::TokenInHeader,
        Self::FileFirst,
    ];

    /// The upload of this file with this token.
    #[must_use]
    pub fn request(self, token: &str, file: &File) -> Request {
        match self {
            Self::RawPut => Request::new("PUT", &format!("/upload/{}", percent_encode(&file.name)))
                .bearer(token)
                .header("content-type", &file.content_type)
                .body(vec![file.content.clone()]),
            Self::RawPost => Request::new(
                "POST",
                &format!("/upload?fileName={}", percent_encode(&file.name)),
            )
            .bearer(token)
            .header("content-type", &file.content_type)
            .body(vec![file.content.clone()]),
            Self::TokenFirst => file.add_to(Form::new().field("authToken", token)).post(),
            Self::TokenInHeader => file.add_to(Form::new()).post().bearer(token),
            Self::FileFirst => file.add_to(Form::new()).field("authToken", token).post(),
        }
    }

    /// The lane in which the worker takes such a request, by its name in the log.
    #[must_use]
    pub fn lane(self, request: &Request) -> &'static str {
        match self {
            Self::RawPut | Self::RawPost => "raw",
            _ if request.framing != Framing::Chunked
                && request.body_bytes() <= SMALL_FORM_BYTES =>
            {
                "small"
            }
            Self::TokenFirst | Self::TokenInHeader => "streamed",
            Self::FileFirst => "buffered",
        }
    }
}

/// The four lanes, each by one shape, framing and size of file that lead into it.
pub const LANES: [(&str, Shape, Framing, usize); 4] = [
    ("raw", Shape::RawPut, Framing::Length, 300_000),
    ("streamed", Shape::TokenFirst, Framing::Length, 300_000),
    ("buffered", Shape::FileFirst, Framing::Length, 300_000),
    ("small", Shape::FileFirst, Framing::Length, 3_000),
];

/// A file to upload.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its `Content-Type`.
    pub content_type: String,
    /// Its bytes.
    pub content: Bytes,
}

impl File {
    /// A file of so many bytes that look random and are the same in every run.
    #[must_use]
    pub fn of_size(bytes: usize) -> Self {
        Self::seeded(bytes, 0x9E37_79B9_7F4A_7C15)
    }

    /// Files of different seeds differ.
    #[must_use]
    pub fn seeded(bytes: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut content = Vec::with_capacity(bytes + 8);
        while content.len() < bytes {
            content.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        content.truncate(bytes);
        Self::new("data.bin", content)
    }

    /// A file of this name and content.
    #[must_use]
    pub fn new(name: &str, content: impl Into<Bytes>) -> Self {
        Self {
            name: name.to_owned(),
            content_type: "application/octet-stream".to_owned(),
            content: content.into(),
        }
    }

    /// The SHA-256 of its bytes, in lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.content)
    }

    fn add_to(&self, form: Form) -> Form {
        form.file("file", &self.name, &self.content_type, self.content.clone())
    }
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
