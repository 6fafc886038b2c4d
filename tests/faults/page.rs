//! RELIABILITY.md: what came out of a run, between the marks that it has for it.

use std::{env, fmt::Write as _, fs};

use crate::{runner::Ending, table::Step};

/// Where the page is, when it is to be written.
const PAGE_VARIABLE: &str = "RELIABILITY_MD";

const CHAPTERS: [(Step, &str); 6] = [
    (Step::Credentials, "Credentials of a new user"),
    (Step::Renewal, "Expired credentials in the cache"),
    (Step::Telegram, "Telegram"),
    (Step::Notification, "The notification"),
    (Step::Client, "The client"),
    (Step::Isolate, "The worker itself"),
];

/// Writes the table.
pub(crate) fn write_table(endings: &[Ending]) {
    let mut text = String::new();
    for (step, title) in CHAPTERS {
        let _ = write!(
            text,
            "### {title}\n\n| what goes wrong | lane | the client gets | stored | notified | next |\n|---|---|---|---:|---:|---|\n"
        );
        let mut rest: Vec<&Ending> = endings.iter().filter(|it| it.step == step).collect();
        while let Some(first) = rest.first().copied() {
            let (alike, others): (Vec<&Ending>, Vec<&Ending>) =
                rest.into_iter().partition(|it| is_alike(it, first));
            write_row(&mut text, first, &alike);
            rest = others;
        }
        text.push('\n');
    }
    let count = endings.len();
    let _ = write!(text, "{count} uploads, each with a fault of its own.");
    write("table", &text);
}

/// Whether two lanes end so much the same that they share a line.
fn is_alike(one: &Ending, other: &Ending) -> bool {
    let line = |it: &Ending| {
        (
            it.name,
            it.expected,
            it.messages,
            it.notifications,
            it.next.clone(),
        )
    };
    line(one) == line(other)
}

fn write_row(text: &mut String, first: &Ending, alike: &[&Ending]) {
    let lanes: Vec<&str> = alike.iter().map(|it| it.lane).collect();
    let lanes = if lanes.len() == 4 {
        "all".to_owned()
    } else {
        lanes.join(", ")
    };
    // What came first; then what would have been as true.
    let mut told = vec![first.told.as_str()];
    told.extend(first.expected.told.iter().filter(|it| **it != first.told));
    let told = told.join(" *or* ");
    let Ending {
        name,
        messages,
        notifications,
        next,
        ..
    } = first;
    let _ = writeln!(
        text,
        "| {name} | {lanes} | {told} | {messages} | {notifications} | {next} |"
    );
}

/// Puts the text between the page's marks of that name, if there is a page to write.
pub(crate) fn write(mark: &str, text: &str) {
    let Some(path) = env::var_os(PAGE_VARIABLE) else {
        return;
    };
    let page = fs::read_to_string(&path).expect("the page");
    let (begin, end) = (
        format!("<!-- {mark} -->\n"),
        format!("<!-- end of {mark} -->\n"),
    );
    let (before, rest) = page.split_once(&begin).expect("the mark");
    let (_, after) = rest.split_once(&end).expect("the mark's end");
    let page = format!("{before}{begin}\n{text}\n{end}{after}");
    fs::write(&path, page).expect("the page is written");
}
