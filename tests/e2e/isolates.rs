//! Two isolates of one worker: they share its Durable Objects, and nothing else.

use testkit::{
    harness::{Harness, Settings},
    http::Request,
    upload::{File, Shape},
};

async fn in_two_isolates() -> Harness {
    Harness::start(Settings::default().isolates(2)).await
}

fn upload(harness: &Harness, file: &File) -> Request {
    Shape::FileFirst.request(&harness.demo.auth_token, file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_isolate_asks_for_a_users_credentials_itself() {
    let harness = in_two_isolates().await;
    let file = File::of_size(1000);
    for count in [1, 2] {
        for isolate in harness.isolates() {
            let reply = harness.send_to(*isolate, &upload(&harness, &file)).await;
            harness
                .assert_in_channel(&harness.demo, &file, &reply)
                .await;
            let timing = reply.header("server-timing").expect("server-timing");
            let source = if count == 1 { "miss" } else { "hit" };
            assert!(timing.contains(source), "{timing}");
        }
    }
    assert_eq!(harness.count("credentials").await, 2);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_in_another_isolate_is_answered_like_the_first_one_and_stores_nothing() {
    let harness = in_two_isolates().await;
    let file = File::of_size(1000);
    let request = upload(&harness, &file).header("idempotency-key", "one-key");
    let [first, second] = harness.isolates() else {
        panic!("two isolates");
    };
    let reply = harness.send_to(*first, &request).await;
    harness.assert_stored(&harness.demo, &file, &reply).await;
    let repeat = harness.send_to(*second, &request).await;
    assert_eq!(repeat.status, 200, "{}", repeat.text());
    assert_eq!(repeat.header("idempotency-replayed"), Some("true"));
    assert_eq!(repeat.json()["messageId"], reply.json()["messageId"]);
    assert_eq!(harness.messages().await.len(), 1);
    harness.finish().await;
}
