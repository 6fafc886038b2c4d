//! Many and large uploads: time and memory stay within bounds.

use std::{sync::Arc, time::Duration};

use testkit::{
    harness::{HEAVY, Harness, assert_error},
    http::{Connection, Framing, Request},
    memory,
    upload::{File, Shape},
};
use tokio::{task::JoinSet, time::sleep};

const MB: usize = 1024 * 1024;
/// What an upload of 49 MB may add to workerd's memory over one of 1 MB, in bytes. The file itself
/// is more than twice that: a lane that held it would show.
const MOST_GROWTH_BYTES: u64 = 24 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_uploads_of_20_megabytes_at_once_arrive_whole() {
    let _heavy = HEAVY.lock().await;
    let harness = Arc::new(Harness::usual().await);
    let mut tasks = JoinSet::new();
    for at in 0..20 {
        let harness = Arc::clone(&harness);
        tasks.spawn(async move {
            // No two are alike, so that one in the other's place would show.
            let file = File::seeded(20 * MB, at);
            let shape = if at % 2 == 0 {
                Shape::TokenFirst
            } else {
                Shape::TokenInHeader
            };
            let request = shape.request(&harness.demo.auth_token, &file);
            let reply = harness.send(&request).await;
            // On a slow machine the backend may take its time to acknowledge all of them.
            harness
                .assert_in_channel(&harness.demo, &file, &reply)
                .await;
            assert_eq!(harness.logged(&reply).await["lane"], "streamed");
        });
    }
    tasks.join_all().await;
    assert_eq!(harness.messages().await.len(), 20);
    Arc::into_inner(harness)
        .expect("the tasks have ended")
        .finish()
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_that_is_not_held_takes_no_more_memory_than_a_small_one() {
    let _heavy = HEAVY.lock().await;
    for (shape, framing) in [
        (Shape::RawPut, Framing::Length),
        (Shape::RawPut, Framing::Chunked),
        (Shape::TokenFirst, Framing::Length),
        (Shape::TokenFirst, Framing::Chunked),
    ] {
        let harness = Harness::usual().await;
        let upload = async |size: usize| {
            let file = File::of_size(size);
            let request = shape
                .request(&harness.demo.auth_token, &file)
                .framing(framing);
            let reply = harness.send(&request).await;
            harness.assert_stored(&harness.demo, &file, &reply).await;
        };
        for _ in 0..10 {
            upload(MB).await;
        }
        let Ok(before) = memory::peak(harness.worker_pid()) else {
            println!("skipped: the system tells no memory");
            return harness.finish().await;
        };
        for _ in 0..3 {
            upload(49 * MB).await;
        }
        let after = memory::peak(harness.worker_pid()).expect("as before");
        let growth = after - before;
        println!("{shape:?} {framing:?}: {before} + {growth}");
        assert!(
            growth < MOST_GROWTH_BYTES,
            "{shape:?} {framing:?}: {growth} bytes more than {before}"
        );
        harness.finish().await;
    }
}

fn buffered(harness: &Harness, size: usize) -> Request {
    Shape::FileFirst.request(&harness.demo.auth_token, &File::of_size(size))
}

/// Sends all but the last bytes; a connection that the worker has already answered stays as it is.
async fn begin_all_but_the_end(harness: &Harness, request: &Request) -> Connection {
    let mut connection = Connection::open(harness.address())
        .await
        .expect("a connection");
    connection.write(&[request.head()]).await.expect("sent");
    let most = usize::try_from(request.body_bytes()).expect("fits") - 10;
    // An upload that finds no room is answered and closed while it is sent.
    let _ = connection
        .write(&request.clone().truncated(most).framed_body())
        .await;
    connection
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_uploads_beyond_the_budget_are_asked_to_come_again() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    let request = buffered(&harness, 30 * MB);
    let (body, last) = {
        let whole: Vec<u8> = request.body.concat();
        let at = whole.len() - 10;
        (
            request.clone().truncated(at),
            bytes::Bytes::copy_from_slice(&whole[at..]),
        )
    };
    // Two of them fill the budget of 80 MB, and hold it: their last bytes are still to come.
    let mut holders = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::open(harness.address())
            .await
            .expect("a connection");
        connection.write(&[request.head()]).await.expect("sent");
        connection.write(&body.body).await.expect("sent");
        holders.push(connection);
    }
    harness.turn().await;
    for _ in 0..3 {
        let reply = harness.send(&request).await;
        let told = assert_error(&reply, 503, "buffer_full");
        assert_eq!(told["retryable"], true);
        assert!(
            told["retryAfter"]
                .as_u64()
                .is_some_and(|seconds| seconds > 0),
            "{told}"
        );
        assert_eq!(harness.logged(&reply).await["lane"], "buffered");
    }
    // Who needs no buffer is served.
    for shape in [Shape::TokenFirst, Shape::RawPut] {
        let file = File::of_size(30 * MB);
        let reply = harness
            .send(&shape.request(&harness.demo.auth_token, &file))
            .await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    // Those that had room end well, and their room serves again.
    let file = File::of_size(30 * MB);
    for mut connection in holders {
        connection
            .write(std::slice::from_ref(&last))
            .await
            .expect("sent");
        let reply = connection.reply().await.expect("a reply");
        harness.note(&reply);
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    for _ in 0..4 {
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    assert_eq!(harness.messages().await.len(), 8);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_buffered_uploads_end_with_a_file_or_with_a_retry_later() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    let request = buffered(&harness, 40 * MB);
    let whole: Vec<u8> = request.body.concat();
    let last = bytes::Bytes::copy_from_slice(&whole[whole.len() - 10..]);
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(begin_all_but_the_end(&harness, &request).await);
    }
    let (mut stored, mut refused) = (0, 0);
    for mut connection in connections {
        let _ = connection.write(std::slice::from_ref(&last)).await;
        // A refused client that was still sending may find its connection reset.
        let Ok(reply) = connection.reply().await else {
            refused += 1;
            continue;
        };
        harness.note(&reply);
        if reply.status == 200 {
            harness
                .assert_stored(&harness.demo, &File::of_size(40 * MB), &reply)
                .await;
            stored += 1;
        } else {
            assert_error(&reply, 503, "buffer_full");
            refused += 1;
        }
    }
    assert!(
        stored >= 1 && refused >= 1,
        "{stored} stored, {refused} refused"
    );
    assert_eq!(harness.messages().await.len(), stored);
    let file = File::of_size(40 * MB);
    let reply = harness.send(&request).await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_uploads_whose_clients_leave_give_their_room_back() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    let request = buffered(&harness, 45 * MB);
    let file = File::of_size(45 * MB);
    for round in 0..4 {
        let before = harness.uploads_logged().len();
        let connection = begin_all_but_the_end(&harness, &request).await;
        harness.turn().await;
        match round % 2 {
            0 => connection.reset(),
            _ => drop(connection),
        }
        harness.uploads_ended(before + 1).await;
        let reply = harness.send(&request).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    assert_eq!(harness.messages().await.len(), 4);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffered_uploads_that_fail_give_their_room_back() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    let file = File::of_size(45 * MB);
    let whole = buffered(&harness, 45 * MB);
    let unknown = Shape::FileFirst.request("unknown", &file);
    let cut = usize::try_from(whole.body_bytes()).expect("fits") - 100;
    for (request, status) in [
        (unknown, 401),
        (whole.clone().truncated(cut), 400),
        (whole.clone().header("x-user-id", "nobody"), 403),
    ] {
        assert_eq!(harness.send(&request).await.status, status);
    }
    harness
        .faults(serde_json::json!([{ "on": "telegram", "status": 500 }]))
        .await;
    assert_eq!(harness.send(&whole).await.status, 502);
    let reply = harness.send(&whole).await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_do_not_hold_fast_ones_up() {
    let harness = Harness::usual().await;
    let mut slow = Vec::new();
    let request = Shape::TokenFirst.request(&harness.demo.auth_token, &File::of_size(300_000));
    let whole: bytes::Bytes = request.body.concat().into();
    for _ in 0..4 {
        slow.push(harness.begin(&request, 1_000).await);
    }
    for _ in 0..20 {
        let file = File::of_size(2_000);
        let reply = harness
            .send(&Shape::FileFirst.request(&harness.demo.auth_token, &file))
            .await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    // They come to their end piece by piece.
    for mut connection in slow {
        for piece in whole.slice(1_000..).chunks(60_000) {
            connection
                .write(&[bytes::Bytes::copy_from_slice(piece)])
                .await
                .expect("sent");
            sleep(Duration::from_millis(2)).await;
        }
        let reply = connection.reply().await.expect("a reply");
        harness.note(&reply);
        harness
            .assert_stored(&harness.demo, &File::of_size(300_000), &reply)
            .await;
    }
    harness.finish().await;
}

/// Each announces 30 MB whose token comes last, and stops after a little: two of them would fill the
/// budget if it went by what is announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_that_stop_in_the_middle_keep_nobody_out() {
    let _heavy = HEAVY.lock().await;
    let harness = Harness::usual().await;
    let slow = buffered(&harness, 30 * MB);
    let mut stopped = Vec::new();
    for _ in 0..100 {
        stopped.push(harness.begin(&slow, 40_000).await);
    }
    harness.turn().await;
    for shape in [Shape::FileFirst, Shape::TokenFirst, Shape::RawPut] {
        for size in [1000, 30 * MB] {
            let file = File::of_size(size);
            let request = shape.request(&harness.demo.auth_token, &file);
            let reply = harness.send(&request).await;
            harness.assert_stored(&harness.demo, &file, &reply).await;
        }
    }
    drop(stopped);
    harness.uploads_ended(106).await;
    assert_eq!(harness.messages().await.len(), 6);
    harness.finish().await;
}
