//! The names of files, as clients send them.

/// The name of a file that has none.
const DEFAULT_FILE_NAME: &str = "file";

/// The first of the given names that is one, or `file`.
#[must_use]
pub fn first_name<'a>(given: impl IntoIterator<Item = &'a str>) -> String {
    let name = given.into_iter().find_map(file_name);
    name.unwrap_or_else(|| DEFAULT_FILE_NAME.to_owned())
}

/// The name that a client means, or `None` if it means none.
///
/// A path stays on the client's machine: of `C:\\dir\\a.txt` and `/home/ann/a.txt` the last segment is
/// the name (RFC 7578 section 4.2). Control characters have no place in a name: databases refuse NUL, and
/// terminals obey the others.
#[must_use]
pub fn file_name(given: &str) -> Option<String> {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|c| !c.is_control()).collect();
    let says_something = name.chars().any(|c| c != '.' && !c.is_whitespace());
    says_something.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_is_one_is_taken() {
        assert_eq!(first_name(["..", "a/b", "c"]), "b");
        assert_eq!(first_name(["/", ""]), "file");
        assert_eq!(first_name([]), "file");
    }

    #[test]
    fn a_path_is_not_part_of_a_name() {
        for (given, name) in [
            ("a.txt", "a.txt"),
            (r"C:\Users\Ann\a.txt", "a.txt"),
            ("/home/ann/a.dat", "a.dat"),
            ("../../etc/passwd", "passwd"),
            (r"a/b\c.txt", "c.txt"),
            (".env", ".env"),
            ("trailing...", "trailing..."),
            ("  blanks  ", "  blanks  "),
        ] {
            assert_eq!(file_name(given).as_deref(), Some(name), "{given}");
        }
    }

    #[test]
    fn control_characters_are_not_part_of_a_name() {
        // C0 with NUL, DEL, C1.
        for control in ('\0'..='\x1f').chain('\x7f'..='\u{9f}') {
            let given = format!("a{control}b.txt");
            assert_eq!(file_name(&given).as_deref(), Some("ab.txt"), "{given:?}");
        }
        let others = "résumé 文件 🎉 \u{a0}\u{2028}.txt";
        assert_eq!(file_name(others).as_deref(), Some(others));
    }

    #[test]
    fn nothing_but_separators_dots_blanks_and_controls_is_no_name() {
        for given in [
            "", ".", "..", "/", "\\", "dir/", "a/..", " ", ".\0.", "\0", "\r\n",
        ] {
            assert_eq!(file_name(given), None, "{given:?}");
        }
    }
}
