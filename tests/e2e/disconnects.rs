//! Clients that disconnect midway leave nothing stored, and the next client is served.

use testkit::{
    harness::Harness,
    http::Framing,
    upload::{File, Shape},
};

#[derive(Clone, Copy, Debug)]
enum Leave {
    /// Closes both ways, in order.
    Fin,
    /// As a process that dies.
    Reset,
}

/// Begins an upload, leaves, and waits until the worker is done with it.
async fn leave(
    harness: &Harness,
    shape: Shape,
    framing: Framing,
    size: usize,
    sent: usize,
    how: Leave,
) {
    let what = format!("{shape:?} {framing:?} {how:?} after {sent} of {size}");
    let before = harness.uploads_logged().len();
    let request = shape
        .request(&harness.demo.auth_token, &File::of_size(size))
        .framing(framing);
    let connection = harness.begin(&request, sent).await;
    // A reset throws away what the other side has not read yet: the very request, at worst.
    harness.turn().await;
    match how {
        Leave::Fin => drop(connection),
        Leave::Reset => connection.reset(),
    }
    let lines = harness.uploads_ended(before + 1).await;
    let line = lines.last().expect("a line");
    assert_eq!(line["status"], 400, "{what}: {line}");
    // A native pipe, as the raw lane has one, cannot tell whose connection broke.
    let codes = ["client_disconnected", "upload_interrupted"];
    let code = line["code"].as_str().expect("a code");
    assert!(codes.contains(&code), "{what}: {line}");
    harness.assert_nothing_stored(&what).await;
}

async fn assert_still_serves(harness: &Harness) {
    for size in [2_000, 300_000] {
        let file = File::of_size(size);
        for shape in Shape::ALL {
            let reply = harness
                .send(&shape.request(&harness.demo.auth_token, &file))
                .await;
            harness.assert_stored(&harness.demo, &file, &reply).await;
        }
    }
    // What had been cut off has not come after all.
    assert_eq!(harness.messages().await.len(), 2 * Shape::ALL.len());
    harness.reset().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_midway_stores_nothing_in_any_lane() {
    let harness = Harness::usual().await;
    // So that nothing of an upload waits for credentials.
    assert_still_serves(&harness).await;
    for how in [Leave::Fin, Leave::Reset] {
        for shape in Shape::ALL {
            for framing in [Framing::Length, Framing::Chunked] {
                for (size, sent) in [
                    (2_000, 1),
                    (2_000, 1_000),
                    (1_000_000, 1),
                    (1_000_000, 300_000),
                    (1_000_000, 999_000),
                    (8_000_000, 6_000_000),
                ] {
                    leave(&harness, shape, framing, size, sent, how).await;
                }
            }
        }
    }
    assert_still_serves(&harness).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_at_the_last_byte_stores_nothing() {
    let harness = Harness::usual().await;
    for how in [Leave::Fin, Leave::Reset] {
        for shape in Shape::ALL {
            for size in [2_000, 300_000] {
                let request = shape.request(&harness.demo.auth_token, &File::of_size(size));
                let all = usize::try_from(request.body_bytes()).expect("fits");
                leave(&harness, shape, Framing::Length, size, all - 1, how).await;
                // The last chunk is what a body without a length ends with.
                leave(&harness, shape, Framing::Chunked, size, all, how).await;
            }
        }
    }
    assert_still_serves(&harness).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_leave_at_once_do_not_keep_others_from_being_served() {
    let harness = Harness::usual().await;
    let mut connections = Vec::new();
    for round in 0..40 {
        let shape = Shape::ALL[round % Shape::ALL.len()];
        let request = shape.request(&harness.demo.auth_token, &File::of_size(1_000_000));
        connections.push(harness.begin(&request, 500_000).await);
    }
    harness.turn().await;
    for (at, connection) in connections.into_iter().enumerate() {
        if at % 2 == 0 {
            connection.reset();
        } else {
            drop(connection);
        }
    }
    harness.uploads_ended(40).await;
    harness.assert_nothing_stored("forty left").await;
    assert_still_serves(&harness).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_after_its_last_byte_has_its_file_stored_and_told_of() {
    let harness = Harness::usual().await;
    for (shape, size) in [
        (Shape::RawPut, 300_000),
        (Shape::TokenFirst, 300_000),
        (Shape::FileFirst, 300_000),
        (Shape::FileFirst, 2_000),
    ] {
        let request = shape.request(&harness.demo.auth_token, &File::of_size(size));
        // Telegram takes its time, and the client does not wait for it.
        harness
            .faults(serde_json::json!([{ "on": "telegram", "delay_ms": 300 }]))
            .await;
        let before = harness.uploads_logged().len();
        let connection = harness.begin(&request, usize::MAX).await;
        harness
            .eventually("Telegram to be called", || async {
                (harness.count("send_document").await == 1).then_some(())
            })
            .await;
        drop(connection);
        harness.uploads_ended(before + 1).await;
        let (messages, notifications) = (harness.messages().await, harness.notifications().await);
        // Whether it was stored is Telegram's to say; if it was, the backend knows.
        assert_eq!(messages.len(), notifications.len(), "{shape:?} {size}");
        harness.reset().await;
    }
    harness.finish().await;
}
