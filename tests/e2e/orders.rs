//! Real clients append their fields in different orders. All of them work.

use backend_mock::Provisioned;
use bytes::Bytes;
use testkit::{
    form::Form,
    harness::Harness,
    http::Request,
    upload::{File, SMALL_FORM_BYTES},
};

const PART_NAME: &str = "part.bin";
const TRUE_NAME: &str = "true name.bin";
const CAPTION: &str = "A caption, with ümlauts";

/// All orders of the items (Heap's algorithm).
fn permutations<T: Copy>(items: &[T]) -> Vec<Vec<T>> {
    fn heap<T: Copy>(count: usize, items: &mut Vec<T>, all: &mut Vec<Vec<T>>) {
        if count <= 1 {
            all.push(items.clone());
            return;
        }
        for at in 0..count {
            heap(count - 1, items, all);
            items.swap(if count.is_multiple_of(2) { at } else { 0 }, count - 1);
        }
    }
    let mut all = Vec::new();
    heap(items.len(), &mut items.to_vec(), &mut all);
    all
}

fn form(order: &[&str], user: &Provisioned, content: &Bytes) -> Request {
    order
        .iter()
        .fold(Form::new(), |form, field| match *field {
            "file" => form.file(
                "file",
                PART_NAME,
                "application/octet-stream",
                content.clone(),
            ),
            "filepond" => form.file(
                "filepond",
                PART_NAME,
                "application/octet-stream",
                content.clone(),
            ),
            "authToken" => form.field("authToken", &user.auth_token),
            "userId" => form.field("userId", &user.user_id),
            "fileName" => form.field("fileName", TRUE_NAME),
            "caption" => form.field("caption", CAPTION),
            other => form.field(other, "ignored"),
        })
        .post()
}

/// Uploads in this order and checks that every field was heeded.
async fn assert_heeded(harness: &Harness, order: &[&str], with_header: bool, size: usize) {
    let user = &harness.demo;
    let content = File::of_size(size).content;
    let mut request = form(order, user, &content);
    if with_header {
        request = request.bearer(&user.auth_token);
    }
    let place = |field: &str| order.iter().position(|known| *known == field);
    let file_at = place("file").or(place("filepond")).expect("a file");
    let name = if place("fileName").is_some() {
        TRUE_NAME
    } else {
        PART_NAME
    };
    let caption = match place("caption") {
        Some(_) => CAPTION.to_owned(),
        None => format!("Uploaded: {name}"),
    };
    let streamed = request.body_bytes() > SMALL_FORM_BYTES
        && (with_header || place("authToken").is_some_and(|at| at < file_at));
    // The head of Telegram's part has gone out before the form says `fileName`.
    let late_name = streamed && place("fileName").is_some_and(|at| at > file_at);

    let what = format!("{order:?} header={with_header} {size}");
    let reply = harness.send(&request).await;
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    let message = harness
        .assert_stored(user, &File::new(name, content), &reply)
        .await;
    assert_eq!(message["caption"], caption, "{what}");
    assert_eq!(
        message["file_name"],
        if late_name { PART_NAME } else { name },
        "{what}"
    );
    assert_eq!(
        harness.logged(&reply).await["lane"],
        match (request.body_bytes() > SMALL_FORM_BYTES, streamed) {
            (false, _) => "small",
            (true, true) => "streamed",
            (true, false) => "buffered",
        },
        "{what}"
    );
    harness.reset().await;
}

const SMALL: usize = 5_000;
const LARGE: usize = 270_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_120_orders_of_the_five_fields_work_in_a_small_form() {
    let harness = Harness::usual().await;
    let orders = permutations(&["file", "authToken", "userId", "fileName", "caption"]);
    assert_eq!(orders.len(), 120);
    for order in orders {
        assert_heeded(&harness, &order, false, SMALL).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_120_orders_of_the_five_fields_work_in_a_large_form() {
    let harness = Harness::usual().await;
    for order in permutations(&["file", "authToken", "userId", "fileName", "caption"]) {
        assert_heeded(&harness, &order, false, LARGE).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_orders_work_with_the_token_in_the_header_and_none_in_the_form() {
    let harness = Harness::usual().await;
    for order in permutations(&["file", "userId", "fileName", "caption"]) {
        for size in [SMALL, LARGE] {
            assert_heeded(&harness, &order, true, size).await;
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_orders_of_known_clients_work() {
    let harness = Harness::usual().await;
    for order in [
        // TeleStore's two frontends.
        &["file", "authToken"][..],
        // TeleStore's documented snippet.
        &["file", "userId", "authToken", "fileName"],
        // Uppy: metadata first.
        &["relativePath", "name", "type", "authToken", "file"],
        &[
            "relativePath",
            "name",
            "type",
            "authToken",
            "fileName",
            "caption",
            "file",
        ],
        // FilePond: its own name for the file, and a field of the same name for its metadata.
        &["authToken", "filepond"],
        &["filepond", "authToken"],
        &["filepond", "authToken", "userId", "fileName"],
        // Unknown fields anywhere.
        &["a", "file", "b", "authToken", "c"],
        &["a", "authToken", "b", "file", "c"],
    ] {
        for size in [SMALL, LARGE] {
            for with_header in [false, true] {
                assert_heeded(&harness, order, with_header, size).await;
            }
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_not_forwarded() {
    let harness = Harness::usual().await;
    for size in [SMALL, LARGE] {
        for token_first in [false, true] {
            let mut form = Form::new()
                .field("chat_id", "-1009999999999")
                .field("parse_mode", "HTML")
                .field("document", "BQACAgIAAx-somebody-elses-file");
            let content = File::of_size(size).content;
            if token_first {
                form = form.field("authToken", &harness.demo.auth_token);
            }
            form = form.file("file", PART_NAME, "text/plain", content.clone());
            if !token_first {
                form = form.field("authToken", &harness.demo.auth_token);
            }
            let reply = harness.send(&form.field("reply_markup", "{}").post()).await;
            let file = File::new(PART_NAME, content);
            let message = harness.assert_stored(&harness.demo, &file, &reply).await;
            let parameters = message["parameters"].as_object().expect("parameters");
            let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
            assert_eq!(
                names,
                ["caption", "chat_id", "disable_content_type_detection"]
            );
            assert_eq!(parameters["chat_id"], harness.demo.channel_id.as_str());
        }
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_may_come_twice_and_the_user_id_by_header() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    for size in [SMALL, LARGE] {
        for order in [["file", "authToken"], ["authToken", "file"]] {
            let content = File::of_size(size).content;
            let request = form(&order, user, &content)
                .bearer(&user.auth_token)
                .header("x-user-id", &user.user_id);
            let reply = harness.send(&request).await;
            harness
                .assert_stored(user, &File::new(PART_NAME, content), &reply)
                .await;
        }
    }
    harness.finish().await;
}
