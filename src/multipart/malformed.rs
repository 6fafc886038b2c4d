//! What can be wrong with a multipart body.

/// What is wrong with a multipart body. The text addresses the person who wrote the client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The `Content-Type` has no boundary.
    NoBoundary,
    /// The boundary is empty, over 70 bytes, or has a character that neither RFC 2046 nor a token allows.
    Boundary,
    /// The body ended before the closing delimiter.
    Truncated,
    /// Over 64 KiB come before the first delimiter.
    Preamble,
    /// Over 64 KiB come after the closing delimiter.
    Epilogue,
    /// A delimiter is not followed by the end of its line.
    Delimiter,
    /// A delimiter comes right after a part's header block.
    EmptyPart,
    /// A part's header block is over 16 KiB.
    HeaderTooLong,
    /// A part has over 32 header lines.
    TooManyHeaders,
    /// A line of a part's header block is not `name: value`.
    Header,
    /// A part has no `Content-Disposition: form-data` with a name.
    NoName,
    /// Over 100 parts.
    TooManyParts,
    /// A field's value is over 64 KiB.
    FieldTooLong(String),
    /// The fields' values are over 1 MiB together.
    FieldsTooLong,
    /// A field's value is not UTF-8.
    FieldNotUtf8(&'static str),
    /// A field came twice with different values.
    FieldTwice(&'static str),
    /// A second file came.
    SecondFile,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::NoBoundary => "the Content-Type names no boundary",
            Self::Boundary => "the boundary is not 1 to 70 characters that a boundary may have",
            Self::Truncated => "the body ended before the closing boundary",
            Self::Preamble => "over 64 KiB come before the first boundary",
            Self::Epilogue => "over 64 KiB come after the closing boundary",
            Self::Delimiter => "a boundary is not followed by the end of its line",
            Self::EmptyPart => "a boundary comes right after a part's headers",
            Self::HeaderTooLong => "a part's headers are over 16 KiB",
            Self::TooManyHeaders => "a part has over 32 headers",
            Self::Header => "a part's header is not `name: value`",
            Self::NoName => "a part has no name",
            Self::TooManyParts => "there are over 100 parts",
            Self::FieldTooLong(name) => return write!(f, "the field {name:?} is over 64 KiB"),
            Self::FieldsTooLong => "the fields are over 1 MiB together",
            Self::FieldNotUtf8(name) => return write!(f, "the field {name:?} is not UTF-8"),
            Self::FieldTwice(name) => {
                return write!(f, "the field {name:?} came twice, and differs");
            }
            Self::SecondFile => "there is more than one file in the request",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Malformed {}
