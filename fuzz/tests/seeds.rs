//! Every target over its seeds, and over each seed cut short: what can be had without libFuzzer.

use std::fs;
use std::path::Path;

use fuzz::targets;

/// Runs a target over its folder of seeds, of which there have to be some.
fn run(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("seeds")
        .join(name);
    let mut seeds = 0;
    for entry in fs::read_dir(&folder).expect("a folder of seeds") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        let seed = fs::read(&path).expect("a seed");
        for end in 0..=seed.len() {
            target(&seed[..end]);
        }
        seeds += 1;
    }
    assert!(seeds >= 10, "{seeds} seeds in {}", folder.display());
}

#[test]
fn forms_are_read_as_a_naive_reader_reads_them() {
    run("multipart", targets::multipart::run);
}

#[test]
fn an_upload_stores_what_its_request_holds_or_nothing() {
    run("upload", targets::upload::run);
}

#[test]
fn heads_go_where_the_routes_say() {
    run("request_head", targets::request_head::run);
}

#[test]
fn names_come_to_telegram_as_they_are() {
    run("file_name", targets::file_name::run);
}

#[test]
fn of_telegrams_answers_nothing_false_is_told() {
    run("telegram_answer", targets::telegram_answer::run);
}

#[test]
fn the_backends_answers_are_taken_at_their_word() {
    run("credentials_answer", targets::credentials_answer::run);
}

#[test]
fn a_tokens_end_is_what_its_payload_says() {
    run("jwt_expiry", targets::jwt_expiry::run);
}
