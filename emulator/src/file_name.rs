//! How the Bot API server cleans the name of an uploaded file (tdlib, `clean_filename`).

const MAX_STEM_CHARACTERS: usize = 64;
const MAX_EXTENSION_CHARACTERS: usize = 16;
/// The name of a file whose own name comes to nothing.
const FALLBACK: &str = "file";

/// The name that a file gets: basename, stem and extension cut, what could harm a file system made
/// spaces, emoji and control characters dropped, dots and spaces trimmed.
pub(crate) fn clean(raw: &[u8]) -> String {
    let Ok(name) = std::str::from_utf8(raw) else {
        return FALLBACK.to_owned();
    };
    let base = name.rsplit('/').next().unwrap_or(name);
    let (stem, extension) = match base.rfind('.') {
        // A leading dot begins the stem of a hidden file, not an extension.
        Some(dot) if dot > 0 => (&base[..dot], &base[dot + 1..]),
        _ => (base, ""),
    };
    let stem = clean_part(stem, MAX_STEM_CHARACTERS);
    let extension = clean_part(extension, MAX_EXTENSION_CHARACTERS);
    match (stem.is_empty(), extension.is_empty()) {
        (true, true) => FALLBACK.to_owned(),
        (true, false) => extension,
        (false, true) => stem,
        (false, false) => format!("{stem}.{extension}"),
    }
}

fn clean_part(part: &str, max_characters: usize) -> String {
    let kept: String = part
        .chars()
        .filter_map(clean_character)
        .skip_while(|&character| is_trimmed(character))
        .take(max_characters)
        .collect();
    kept.trim_end_matches(is_trimmed).to_owned()
}

/// The character as it may stand in a name; `None` if it is dropped.
fn clean_character(character: char) -> Option<char> {
    match character {
        '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' | '&' | '`' | '\'' => Some(' '),
        ' '..='~' => Some(character),
        _ if character.is_control() => None,
        _ if character.is_alphanumeric() => Some(character),
        _ if character.is_whitespace() => Some(' '),
        _ => None,
    }
}

fn is_trimmed(character: char) -> bool {
    matches!(character, ' ' | '.')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn names_are_cleaned_as_the_server_does_it() {
        let long = "é".repeat(100);
        let rows: &[(&str, &str)] = &[
            ("report.pdf", "report.pdf"),
            ("Отчёт за май.pdf", "Отчёт за май.pdf"),
            ("/etc/passwd", "passwd"),
            ("a/b/../c.txt", "c.txt"),
            (r"C:\dir\file.txt", "C  dir file.txt"),
            ("a<b>c:d\"e|f?g*h&i.txt", "a b c d e f g h i.txt"),
            ("it's `it`.txt", "it s  it.txt"),
            ("cat 😀.png", "cat.png"),
            ("tab\there\nnow.txt", "tabherenow.txt"),
            (".env", "env"),
            ("..", "file"),
            ("", "file"),
            ("dir/", "file"),
            ("😀", "file"),
            ("  spaced . txt ", "spaced.txt"),
            ("archive.tar.gz", "archive.tar.gz"),
            ("trailing.", "trailing"),
            ("😀.jpg", "jpg"),
            (
                &format!("{long}.{}", "x".repeat(40)),
                &format!("{}.{}", "é".repeat(64), "x".repeat(16)),
            ),
        ];
        for (raw, cleaned) in rows {
            assert_eq!(clean(raw.as_bytes()), *cleaned, "{raw:?}");
        }
    }

    #[test]
    fn a_name_that_is_not_utf_8_comes_to_nothing() {
        assert_eq!(clean(b"caf\xe9.txt"), "file");
    }
}
