//! The kinds of files in messages.

/// The field of the message that a file is in
/// (<https://core.telegram.org/bots/api#message>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Document,
    Video,
    Audio,
    Animation,
    Voice,
    Sticker,
}

impl Kind {
    /// What the server makes of a file whose content it may look at: the leading bytes decide.
    pub(crate) fn detect(head: &[u8]) -> Self {
        let brand = head.get(8..12);
        match head {
            [b'G', b'I', b'F', b'8', ..] => Self::Animation,
            [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3 | 0xf2, ..] => Self::Audio,
            [b'O', b'g', b'g', b'S', ..] if contains(head, b"OpusHead") => Self::Voice,
            [b'R', b'I', b'F', b'F', ..] if brand == Some(b"WEBP") => Self::Sticker,
            [_, _, _, _, b'f', b't', b'y', b'p', ..] if brand == Some(b"M4A ") => Self::Audio,
            [_, _, _, _, b'f', b't', b'y', b'p', ..] if brand != Some(b"heic") => Self::Video,
            _ => Self::Document,
        }
    }

    /// The field's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Animation => "animation",
            Self::Voice => "voice",
            Self::Sticker => "sticker",
        }
    }

    /// The kind with this name, as it was stored.
    pub(crate) fn from_name(name: &str) -> Self {
        [
            Self::Video,
            Self::Audio,
            Self::Animation,
            Self::Voice,
            Self::Sticker,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
        .unwrap_or(Self::Document)
    }

    /// The folder in the paths that getFile gives out.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Document => "documents",
            Self::Video => "videos",
            Self::Audio => "music",
            Self::Animation => "animations",
            Self::Voice => "voice",
            Self::Sticker => "stickers",
        }
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(bytes, part).is_some()
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn the_leading_bytes_tell_the_kind() {
        for (head, kind) in [
            (&b"GIF89a"[..], Kind::Animation),
            (b"\0\0\0\x18ftypisom", Kind::Video),
            (b"\0\0\0\x18ftypM4A ", Kind::Audio),
            (b"ID3\x04", Kind::Audio),
            (b"OggS\0\x02OpusHead", Kind::Voice),
            (b"OggS\0\x02vorbis", Kind::Document),
            (b"RIFF\0\0\0\0WEBPVP8 ", Kind::Sticker),
            (b"\xff\xd8\xff\xe0", Kind::Document),
            (b"plain text", Kind::Document),
            (b"", Kind::Document),
        ] {
            assert_eq!(Kind::detect(head), kind, "{head:?}");
            assert_eq!(Kind::from_name(kind.name()), kind);
        }
    }
}
