//! Bodies that end before their time: nothing of them may be stored.

use bytes::Bytes;
use testkit::{
    form::{BOUNDARY, Form},
    harness::{Harness, assert_error},
    http::{Framing, Request},
    upload::{File, LANES, SMALL_FORM_BYTES, Shape},
};

fn form(harness: &Harness, token_first: bool, content: Bytes) -> Request {
    let user = &harness.demo;
    let token = |form: Form| {
        form.field("authToken", &user.auth_token)
            .field("userId", &user.user_id)
    };
    let mut form = Form::new();
    if token_first {
        form = token(form);
    }
    form = form.file("file", "a.bin", "text/plain", content);
    if !token_first {
        form = token(form);
    }
    form.post()
}

/// The position right after the closing delimiter: whoever cuts before it has not sent
/// the whole form.
fn end_of(request: &Request) -> usize {
    let bytes = usize::try_from(request.body_bytes()).expect("fits");
    bytes - "\r\n".len()
}

async fn assert_truncated(harness: &Harness, request: &Request, what: &str) {
    let reply = harness.send(request).await;
    let told = assert_error(&reply, 400, "body_truncated");
    assert_eq!(
        told["error"], "Malformed request: the body ended before the closing boundary",
        "{what}"
    );
    assert_eq!(told["retryable"], true, "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_form_cut_at_any_byte_is_refused_and_nothing_is_stored() {
    let harness = Harness::usual().await;
    for token_first in [true, false] {
        let whole = form(&harness, token_first, File::of_size(40).content);
        for cut in 0..end_of(&whole) {
            let request = whole.clone().truncated(cut);
            assert_truncated(&harness, &request, &format!("cut at {cut}")).await;
        }
        harness.assert_nothing_stored("cut forms").await;
        assert_eq!(harness.count("send_document").await, 0);
        // The line break after the closing delimiter is not part of it.
        for cut in [end_of(&whole), end_of(&whole) + 1, end_of(&whole) + 2] {
            assert_eq!(
                harness.send(&whole.clone().truncated(cut)).await.status,
                200,
                "{cut}"
            );
        }
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_a_length_cut_at_any_byte_is_refused_and_nothing_is_stored() {
    let harness = Harness::usual().await;
    for token_first in [true, false] {
        let whole =
            form(&harness, token_first, File::of_size(40).content).framing(Framing::Chunked);
        for cut in 0..end_of(&whole) {
            let request = whole.clone().truncated(cut);
            assert_truncated(&harness, &request, &format!("cut at {cut}")).await;
        }
        harness.assert_nothing_stored("cut forms").await;
        for cut in [end_of(&whole), end_of(&whole) + 1, end_of(&whole) + 2] {
            assert_eq!(
                harness.send(&whole.clone().truncated(cut)).await.status,
                200,
                "{cut}"
            );
        }
        harness.reset().await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_form_cut_where_it_matters_is_refused_and_nothing_is_stored() {
    let harness = Harness::usual().await;
    let size = 600_000;
    for token_first in [true, false] {
        let whole = form(&harness, token_first, File::of_size(size).content);
        let file_begins = whole
            .body
            .iter()
            .take_while(|piece| piece.len() != size)
            .map(Bytes::len)
            .sum::<usize>();
        let file_ends = file_begins + size;
        let delimiter_ends = file_ends + "\r\n--".len() + BOUNDARY.len();
        let small = usize::try_from(SMALL_FORM_BYTES).expect("fits");
        let mut cuts = vec![small + 1, 2 * small, 2 * small + 1, file_ends - 1];
        // Every byte of the delimiter after the file, and of the rest until the end.
        cuts.extend(file_ends..delimiter_ends + 4);
        cuts.extend((delimiter_ends + 4..end_of(&whole)).step_by(7));
        cuts.push(end_of(&whole) - 1);
        cuts.retain(|&cut| cut < end_of(&whole));
        for cut in cuts {
            let request = whole.clone().truncated(cut);
            assert_truncated(
                &harness,
                &request,
                &format!("cut at {cut} of {}", end_of(&whole)),
            )
            .await;
        }
        harness.assert_nothing_stored("cut forms").await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_shorter_than_its_content_length_is_never_stored() {
    let harness = Harness::usual().await;
    let mut ended = 0;
    for (lane, shape, _, size) in LANES {
        let whole = shape.request(&harness.demo.auth_token, &File::of_size(size));
        let length = whole.body_bytes();
        // The form is whole, and its length lies: more should come. And it is cut for true.
        for (claimed, sent) in [
            (length + 1, length),
            (length + 1000, length),
            (length, length - 1),
            (length, length / 2),
            (length, 0),
        ] {
            let what = format!("{lane}: {sent} of {claimed}");
            let request = whole.clone().framing(Framing::Claimed(claimed));
            let mut connection = harness
                .begin(&request, usize::try_from(sent).expect("fits"))
                .await;
            connection.finish().await.expect("a FIN");
            // workerd may close without a word, as a client that has closed reads none.
            if let Ok(reply) = connection.reply().await {
                harness.note(&reply);
                assert!(reply.status >= 400, "{what}: {}", reply.text());
            }
            ended += 1;
            let lines = harness.uploads_ended(ended).await;
            let line = lines.last().expect("a line");
            assert_eq!(line["status"], 400, "{what}: {line}");
            harness.assert_nothing_stored(&what).await;
        }
    }
    let file = File::of_size(10);
    let reply = harness
        .send(&Shape::RawPut.request(&harness.demo.auth_token, &file))
        .await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    assert_eq!(harness.messages().await.len(), 1);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_without_its_last_chunk_is_never_stored() {
    let harness = Harness::usual().await;
    let mut ended = 0;
    for shape in Shape::ALL {
        for size in [2_000, 300_000] {
            let whole = shape
                .request(&harness.demo.auth_token, &File::of_size(size))
                .framing(Framing::Chunked);
            let length = usize::try_from(whole.body_bytes()).expect("fits");
            for sent in [length, length / 2, 1] {
                let what = format!("{shape:?}: {sent} of {length}");
                let mut connection = harness.begin(&whole, sent).await;
                connection.finish().await.expect("a FIN");
                if let Ok(reply) = connection.reply().await {
                    harness.note(&reply);
                    assert!(reply.status >= 400, "{what}: {}", reply.text());
                }
                ended += 1;
                let lines = harness.uploads_ended(ended).await;
                let line = lines.last().expect("a line");
                assert_eq!(line["status"], 400, "{what}: {line}");
                harness.assert_nothing_stored(&what).await;
            }
        }
    }
    harness.finish().await;
}
