//! Every lane, at every size that matters, with and without a `Content-Length`.

use serde_json::json;
use testkit::{
    form::{BOUNDARY, Form},
    harness::{HEAVY, Harness, Settings, assert_error},
    http::Framing,
    upload::{File, LANES, SMALL_FORM_BYTES, Shape},
};

const MB: usize = 1024 * 1024;
/// 50 MB is the limit of the whole request at Telegram; 16 KiB of it are the envelope's.
const DEFAULT_LIMIT_BYTES: usize = 50 * MB - 16 * 1024;

async fn every_way_stores(sizes: &[usize]) {
    let harness = Harness::usual().await;
    let mut credentials = "miss";
    for &size in sizes {
        let file = File::of_size(size);
        for shape in Shape::ALL {
            for framing in [Framing::Length, Framing::Chunked] {
                let what = format!("{shape:?} {framing:?} {size}");
                let user = &harness.demo;
                let request = shape.request(&user.auth_token, &file).framing(framing);
                let reply = harness.send(&request).await;
                let message = harness.assert_stored(user, &file, &reply).await;
                let told = reply.json();
                assert_eq!(message["file_name"], "data.bin", "{what}");
                assert_eq!(message["caption"], "Uploaded: data.bin", "{what}");
                assert_eq!(told["mimeType"], "application/octet-stream", "{what}");
                assert_eq!(told["downloadable"], size <= 20_971_520, "{what}");
                let timing = reply.header("server-timing").expect("server-timing");
                assert!(
                    timing.contains(&format!("desc=\"{credentials}\"")),
                    "{what}: {timing}"
                );
                credentials = "hit";
                let line = harness.logged(&reply).await;
                assert_eq!(line["lane"], shape.lane(&request), "{what}");
                assert_eq!(line["size"], size, "{what}");
                assert_eq!(line["userId"], user.user_id.as_str(), "{what}");
                harness.reset().await;
            }
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_around_a_page_and_of_a_megabyte_arrive_in_every_lane() {
    every_way_stores(&[1, 4095, 4096, 4097, MB]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_around_the_small_form_and_the_read_buffer_arrive_in_every_lane() {
    let small = usize::try_from(SMALL_FORM_BYTES).expect("fits");
    every_way_stores(&[
        small - 1,
        small,
        small + 1,
        2 * small - 1,
        2 * small,
        2 * small + 1,
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_49_megabytes_arrive_in_every_lane() {
    let _heavy = HEAVY.lock().await;
    every_way_stores(&[49 * MB]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_over_20_mib_is_not_downloadable_and_one_of_20_mib_is() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    for (size, downloadable) in [(20_971_520, true), (20_971_521, false)] {
        let file = File::of_size(size);
        let request = Shape::RawPut.request(&harness.demo.auth_token, &file);
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
        assert_eq!(reply.json()["downloadable"], downloadable, "{size}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_that_looks_like_a_delimiter_arrives_byte_for_byte() {
    let harness = Harness::usual().await;
    let delimiter = format!("\r\n--{BOUNDARY}");
    let mut content = Vec::new();
    // Every proper prefix of the delimiter, over and over, at shifting places of the read buffer.
    while content.len() < 3 * MB {
        for end in 1..delimiter.len() {
            content.extend_from_slice(&delimiter.as_bytes()[..end]);
            content.extend_from_slice(&b"\r\n\r\r\n-"[..end % 7]);
        }
    }
    content.extend_from_slice(&delimiter.as_bytes()[..delimiter.len() - 1]);
    let file = File::new("data.bin", content);
    for shape in Shape::ALL {
        for framing in [Framing::Length, Framing::Chunked] {
            let request = shape
                .request(&harness.demo.auth_token, &file)
                .framing(framing);
            let reply = harness.send(&request).await;
            harness.assert_stored(&harness.demo, &file, &reply).await;
            harness.reset().await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_channel_holds_is_what_was_sent() {
    let harness = Harness::usual().await;
    for (lane, shape, framing, size) in LANES {
        let file = File::of_size(size);
        let request = shape
            .request(&harness.demo.auth_token, &file)
            .framing(framing);
        let reply = harness.send(&request).await;
        let message = harness.assert_stored(&harness.demo, &file, &reply).await;
        let file_id = reply.json()["fileId"]
            .as_str()
            .expect("a file id")
            .to_owned();
        assert!(
            harness.stored_file(&file_id).await == file.content,
            "{lane}"
        );
        assert_eq!(
            message["parameters"],
            json!({
                "chat_id": harness.demo.channel_id,
                "caption": "Uploaded: data.bin",
                "disable_content_type_detection": "true",
            }),
            "{lane}"
        );
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telestores_other_path_takes_forms_too() {
    let harness = Harness::usual().await;
    for size in [3_000, 300_000] {
        let file = File::of_size(size);
        let mut request = Shape::FileFirst.request(&harness.demo.auth_token, &file);
        request.target = "/".to_owned();
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_file_is_refused_in_every_lane_and_nothing_is_stored() {
    let harness = Harness::usual().await;
    let file = File::of_size(0);
    for shape in Shape::ALL {
        for framing in [Framing::Length, Framing::Chunked] {
            let request = shape
                .request(&harness.demo.auth_token, &file)
                .framing(framing);
            let reply = harness.send(&request).await;
            let told = assert_error(&reply, 400, "file_empty");
            assert_eq!(told["error"], "Bad Request: file must be non-empty");
            assert_eq!(told["retryable"], false);
            harness
                .assert_nothing_stored(&format!("{shape:?} {framing:?}"))
                .await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_exactly_the_limit_is_stored_and_one_byte_more_is_not() {
    for limit in [4_096, 300_000] {
        let harness =
            Harness::start(Settings::default().set("MAX_UPLOAD_BYTES", limit.to_string())).await;
        for shape in Shape::ALL {
            for framing in [Framing::Length, Framing::Chunked] {
                let what = format!("{shape:?} {framing:?} {limit}");
                let user = &harness.demo;
                let fits = File::of_size(limit);
                let request = shape.request(&user.auth_token, &fits).framing(framing);
                let reply = harness.send(&request).await;
                harness.assert_stored(user, &fits, &reply).await;
                harness.reset().await;

                let over = File::of_size(limit + 1);
                let request = shape.request(&user.auth_token, &over).framing(framing);
                let reply = harness.send(&request).await;
                let told = assert_error(&reply, 413, "file_too_large");
                assert_eq!(
                    told["error"],
                    format!("File too large (max {limit} bytes)"),
                    "{what}"
                );
                assert_eq!(told["retryable"], false, "{what}");
                assert_eq!(
                    harness.logged(&reply).await["lane"],
                    shape.lane(&request),
                    "{what}"
                );
                harness.assert_nothing_stored(&what).await;
            }
        }
        harness.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_default_limit_is_what_telegram_takes() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    for (shape, framing) in [
        (Shape::RawPut, Framing::Length),
        (Shape::RawPut, Framing::Chunked),
        (Shape::TokenFirst, Framing::Length),
        (Shape::TokenFirst, Framing::Chunked),
        (Shape::FileFirst, Framing::Length),
    ] {
        let what = format!("{shape:?} {framing:?}");
        let user = &harness.demo;
        let fits = File::of_size(DEFAULT_LIMIT_BYTES);
        let request = shape.request(&user.auth_token, &fits).framing(framing);
        let reply = harness.send(&request).await;
        harness.assert_stored(user, &fits, &reply).await;
        harness.reset().await;

        let over = File::of_size(DEFAULT_LIMIT_BYTES + 1);
        let request = shape.request(&user.auth_token, &over).framing(framing);
        let reply = harness.send(&request).await;
        let told = assert_error(&reply, 413, "file_too_large");
        assert_eq!(told["error"], "File too large (max 49.98 MB)", "{what}");
        harness.assert_nothing_stored(&what).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_cannot_hold_a_file_that_fits_is_refused_unread() {
    let harness = Harness::start(Settings::default().set("MAX_UPLOAD_BYTES", "300000")).await;
    // By its own word it is larger than the file limit and all that may stand beside the file. None
    // of it is sent: the refusal comes without waiting for a byte.
    let request = Shape::FileFirst
        .request(&harness.demo.auth_token, &File::of_size(1))
        .framing(Framing::Claimed(200 * 1024 * 1024));
    let mut connection = harness.begin(&request, 0).await;
    let reply = connection.reply().await.expect("a reply");
    harness.note(&reply);
    assert_error(&reply, 413, "file_too_large");
    harness.assert_nothing_stored("refused by length").await;
    harness.finish().await;
}

/// Uploads a file with these fields: before it, after it, and after it with the token last.
async fn assert_stored_with(file: &File, beside: impl Fn(Form) -> Form, epilogue: usize) {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let token = |form: Form| form.field("authToken", &user.auth_token);
    let part = |form: Form| form.file("file", &file.name, "text/plain", file.content.clone());
    for (what, form) in [
        ("before", part(beside(token(Form::new())))),
        ("after", beside(part(token(Form::new())))),
        ("token last", token(beside(part(Form::new())))),
    ] {
        for framing in [Framing::Length, Framing::Chunked] {
            let mut request = form.clone().post().framing(framing);
            request.body.push(vec![b' '; epilogue].into());
            let reply = harness.send(&request).await;
            assert_eq!(reply.status, 200, "{what} {framing:?}: {}", reply.text());
            harness.assert_stored(user, file, &reply).await;
            harness.reset().await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_may_have_a_megabyte_beside_its_file() {
    let value = "v".repeat(60 * 1024);
    let beside = |form: Form| (0..17).fold(form, |form, n| form.field(&format!("f{n}"), &value));
    // Fields and epilogue are more than Telegram accepts as parameters. They are not forwarded.
    assert_stored_with(&File::of_size(300_000), beside, 60 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_exactly_the_default_limit_may_have_fields_beside_it() {
    let _heavy = HEAVY.lock().await;
    let value = "v".repeat(60 * 1024);
    let file = File::of_size(DEFAULT_LIMIT_BYTES);
    assert_stored_with(&file, |form| form.field("x", &value), 0).await;
}
