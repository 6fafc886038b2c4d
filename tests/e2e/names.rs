//! The true name in reply and notification, and one that Telegram takes in the channel.

use bytes::Bytes;
use testkit::{
    form::Form,
    harness::{Harness, assert_error},
    http::{Framing, Request},
    upload::{File, Shape},
};

/// The name that is sent; how a browser writes it into `filename="…"`; what the worker calls the file, in
/// reply, caption and notification; what Telegram makes of that.
const NAMES: [(&str, &str, &str, &str); 26] = [
    ("plain.txt", "plain.txt", "plain.txt", "plain.txt"),
    (
        "two words.txt",
        "two words.txt",
        "two words.txt",
        "two words.txt",
    ),
    (
        "a\"quoted\".txt",
        "a%22quoted%22.txt",
        "a\"quoted\".txt",
        "a quoted.txt",
    ),
    (
        "line\r\nbreak.txt",
        "line%0D%0Abreak.txt",
        "linebreak.txt",
        "linebreak.txt",
    ),
    (
        "back\\slash.txt",
        "back\\slash.txt",
        "slash.txt",
        "slash.txt",
    ),
    ("100%.txt", "100%.txt", "100%.txt", "100%.txt"),
    (
        "a%41b%zz%.txt",
        "a%41b%zz%.txt",
        "a%41b%zz%.txt",
        "a%41b%zz%.txt",
    ),
    (
        "%2e%2e%2fetc.txt",
        "%2e%2e%2fetc.txt",
        "%2e%2e%2fetc.txt",
        "%2e%2e%2fetc.txt",
    ),
    (
        "semi;colon=1.txt",
        "semi;colon=1.txt",
        "semi;colon=1.txt",
        "semi;colon=1.txt",
    ),
    (
        "résumé Ünïcode.pdf",
        "résumé Ünïcode.pdf",
        "résumé Ünïcode.pdf",
        "résumé Ünïcode.pdf",
    ),
    ("文件名.txt", "文件名.txt", "文件名.txt", "文件名.txt"),
    ("имя.txt", "имя.txt", "имя.txt", "имя.txt"),
    ("party 🎉.png", "party 🎉.png", "party 🎉.png", "party.png"),
    ("🎉🎉", "🎉🎉", "🎉🎉", "file"),
    (".env", ".env", ".env", "env"),
    ("../../etc/passwd", "../../etc/passwd", "passwd", "passwd"),
    ("..", "..", "file", "file"),
    ("a/b\\c.txt", "a/b\\c.txt", "c.txt", "c.txt"),
    (
        "<script>.html",
        "<script>.html",
        "<script>.html",
        "script.html",
    ),
    (
        "what?*|&'`.txt",
        "what?*|&'`.txt",
        "what?*|&'`.txt",
        "what.txt",
    ),
    ("trailing...", "trailing...", "trailing...", "trailing"),
    (
        "  blanks  .txt",
        "  blanks  .txt",
        "  blanks  .txt",
        "blanks.txt",
    ),
    (
        "archive.tar.gz",
        "archive.tar.gz",
        "archive.tar.gz",
        "archive.tar.gz",
    ),
    ("name.", "name.", "name.", "name"),
    ("+plus+.txt", "+plus+.txt", "+plus+.txt", "+plus+.txt"),
    (
        "C:\\Users\\Ann\\a.txt",
        "C:\\Users\\Ann\\a.txt",
        "a.txt",
        "a.txt",
    ),
];

fn form_of(filename: &str, token: &str, size: usize, token_first: bool) -> Request {
    let content = File::of_size(size).content;
    let (mut form, file) = (Form::new(), content);
    if token_first {
        form = form.field("authToken", token);
    }
    form = form.file("file", filename, "application/octet-stream", file);
    if !token_first {
        form = form.field("authToken", token);
    }
    form.post()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_told_as_it_is_and_kept_as_telegram_cleans_it() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    for (_, written, name, cleaned) in NAMES {
        let ways = [
            form_of(written, &user.auth_token, 3_000, false),
            form_of(written, &user.auth_token, 300_000, false),
            form_of(written, &user.auth_token, 300_000, true),
        ];
        for request in ways {
            let size = if request.body_bytes() > 300_000 {
                300_000
            } else {
                3_000
            };
            let reply = harness.send(&request).await;
            let file = File::new(name, File::of_size(size).content);
            let message = harness.assert_stored(user, &file, &reply).await;
            assert_eq!(message["file_name"], cleaned, "{name:?}");
            assert_eq!(
                message["caption"].as_str().map(str::trim_end),
                Some(format!("Uploaded: {name}").trim_end()),
                "{name:?}"
            );
            harness.reset().await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_name_in_a_url_and_in_a_field_means_the_same() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    for (sent, _, name, cleaned) in NAMES {
        let mut file = File::of_size(2_000);
        file.name = sent.to_owned();
        let field = Form::new()
            .field("fileName", sent)
            .field("authToken", &user.auth_token)
            .file("file", "", "text/plain", file.content.clone())
            .post();
        let mut requests = vec![
            Shape::RawPost.request(&user.auth_token, &file),
            field.clone(),
            field.framing(Framing::Chunked),
        ];
        // Two dots are a step up in any URL, percent-encoded or not: there is no such file name.
        if sent != ".." {
            requests.push(Shape::RawPut.request(&user.auth_token, &file));
        }
        for request in requests {
            let reply = harness.send(&request).await;
            let file = File::new(name, file.content.clone());
            let message = harness.assert_stored(user, &file, &reply).await;
            assert_eq!(message["file_name"], cleaned, "{name:?} {}", request.target);
            harness.reset().await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_longer_than_telegrams_is_cut_there_and_nowhere_else() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let stem = "n".repeat(200);
    let extension = "e".repeat(40);
    let name = format!("{stem}.{extension}");
    for request in [
        form_of(&name, &user.auth_token, 3_000, false),
        form_of(&name, &user.auth_token, 300_000, true),
    ] {
        let size = if request.body_bytes() > 300_000 {
            300_000
        } else {
            3_000
        };
        let reply = harness.send(&request).await;
        let file = File::new(&name, File::of_size(size).content);
        let message = harness.assert_stored(user, &file, &reply).await;
        assert_eq!(
            message["file_name"],
            format!("{}.{}", &stem[..64], &extension[..16])
        );
        assert_eq!(message["caption"], format!("Uploaded: {name}"));
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_too_long_for_a_caption_is_cut_in_the_caption_alone() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let name = "é".repeat(2_000);
    let reply = harness
        .send(&form_of(&name, &user.auth_token, 3_000, false))
        .await;
    let file = File::new(&name, File::of_size(3_000).content);
    let message = harness.assert_stored(user, &file, &reply).await;
    let caption = message["caption"].as_str().expect("a caption");
    assert_eq!(caption, format!("Uploaded: {}", "é".repeat(1014)));
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_name_is_called_file() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    for size in [3_000, 300_000] {
        let content = File::of_size(size).content;
        for headers in [
            "Content-Disposition: form-data; name=\"file\"\r\n",
            "Content-Disposition: form-data; name=\"file\"; filename=\"\"\r\n",
            // RFC 7578 section 4.2 forbids it, and Telegram ignores it too.
            "Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''evil.exe\r\n",
        ] {
            let first = Form::new()
                .part(headers, content.clone())
                .field("authToken", &user.auth_token);
            let last = Form::new()
                .field("authToken", &user.auth_token)
                .part(headers, content.clone());
            for form in [first, last] {
                let reply = harness.send(&form.post()).await;
                let file = File::new("file", content.clone());
                let message = harness.assert_stored(user, &file, &reply).await;
                assert_eq!(message["file_name"], "file", "{headers}");
                harness.reset().await;
            }
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filename_star_beside_filename_is_ignored() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let headers = "Content-Disposition: form-data; name=\"file\"; filename=\"good.txt\"; \
                   filename*=UTF-8''evil.exe\r\n";
    let content = File::of_size(3_000).content;
    let form = Form::new()
        .part(headers, content.clone())
        .field("authToken", &user.auth_token);
    let reply = harness.send(&form.post()).await;
    let message = harness
        .assert_stored(user, &File::new("good.txt", content), &reply)
        .await;
    assert_eq!(message["file_name"], "good.txt");
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn escapes_of_clients_that_are_no_browsers_are_understood() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    for (written, name) in [
        // curl and others escape quotes and backslashes with a backslash.
        ("\"a\\\"b\\\\c.txt\"", "c.txt"),
        // A token needs no quotes (RFC 2183).
        ("bare.txt", "bare.txt"),
        ("\"x; name=y.txt\"", "x; name=y.txt"),
    ] {
        let headers = format!(
            "content-disposition: FORM-DATA; NAME=\"file\"; FileName={written}\r\n\
             content-type: text/plain\r\n"
        );
        let content = File::of_size(3_000).content;
        let form = Form::new()
            .part(&headers, content.clone())
            .field("authToken", &user.auth_token);
        let reply = harness.send(&form.post()).await;
        harness
            .assert_stored(user, &File::new(name, content), &reply)
            .await;
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_file_input_is_no_file() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let empty = |form: Form| form.file("file", "", "application/octet-stream", Bytes::new());
    for form in [
        empty(Form::new()).field("authToken", &user.auth_token),
        empty(Form::new().field("authToken", &user.auth_token)),
    ] {
        for framing in [Framing::Length, Framing::Chunked] {
            let reply = harness.send(&form.clone().post().framing(framing)).await;
            let told = assert_error(&reply, 400, "no_file");
            assert_eq!(told["error"], "No file provided");
            harness.assert_nothing_stored("an empty input").await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_files_type_goes_on_and_an_impossible_one_does_not() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    // The emulator, as the real server, goes by the name; a type that could break the header would
    // break the request.
    for content_type in [
        "image/png",
        "text/plain; charset=utf-8",
        "not a type",
        "a/ä",
        "",
    ] {
        for (size, framing) in [(3_000, Framing::Length), (3_000, Framing::Chunked)] {
            let mut file = File::of_size(size);
            file.name = "picture.png".to_owned();
            file.content_type = content_type.to_owned();
            let request = Shape::FileFirst
                .request(&user.auth_token, &file)
                .framing(framing);
            let reply = harness.send(&request).await;
            harness.assert_stored(user, &file, &reply).await;
            assert_eq!(reply.json()["mimeType"], "image/png");
            harness.reset().await;
        }
    }
    harness.finish().await;
}
