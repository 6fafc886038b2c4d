//! Credentials that change, and what `GET /check` finds.

use serde_json::{Value, json};
use testkit::{
    harness::{Harness, assert_cors, assert_error},
    http::Request,
    upload::{File, Shape},
};

use crate::hook::{SECRET, hook, signed, unix_now};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_makes_the_next_upload_use_fresh_credentials() {
    let harness = Harness::start(signed()).await;
    let file = File::of_size(1000);
    let upload = Shape::FileFirst.request(&harness.demo.auth_token, &file);
    for _ in 0..3 {
        let reply = harness.send(&upload).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
    }
    assert_eq!(harness.count("credentials").await, 1);
    for (user_id, asked) in [("nobody", 1), (harness.demo.user_id.as_str(), 2)] {
        let body = json!({ "user_id": user_id }).to_string();
        let told = harness
            .send(&hook("/hooks/credentials", SECRET, unix_now(), &body))
            .await;
        assert_eq!(told.status, 200, "{}", told.text());
        assert_eq!(told.json(), json!({ "success": true, "propagated": true }));
        let reply = harness.send(&upload).await;
        harness.assert_stored(&harness.demo, &file, &reply).await;
        assert_eq!(harness.count("credentials").await, asked, "{user_id}");
    }
    let body = json!({ "user_id": harness.demo.user_id }).to_string();
    let late = unix_now() - 301;
    let refused = harness
        .send(&hook("/hooks/credentials", SECRET, late, &body))
        .await;
    assert_error(&refused, 403, "signature_refused");
    harness.finish().await;
}

async fn check(harness: &Harness, token: &str) -> Value {
    let reply = harness
        .send(&Request::new("GET", "/check").header("authorization", &format!("Bearer {token}")))
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_cors(&reply);
    reply.json()
}

fn codes(told: &Value) -> [&str; 5] {
    ["backend", "credentials", "bot", "channel", "post"].map(|name| {
        let check = &told["checks"][name];
        let code = check["code"].as_str().or(check["status"].as_str());
        code.expect("a status")
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_tells_beforehand_what_an_upload_would_run_into() {
    let harness = Harness::usual().await;
    let told = check(&harness, &harness.demo.auth_token).await;
    assert_eq!(told["status"], "ok", "{told}");
    assert_eq!(codes(&told), ["ok"; 5]);
    assert_eq!(harness.count("send_document").await, 0);

    for (setup, expected) in [
        (
            json!({ "bot_rights": "administrator_no_post" }),
            ["ok", "ok", "ok", "ok", "chat_refused"],
        ),
        (
            json!({ "bot_rights": "member" }),
            ["ok", "ok", "ok", "ok", "chat_refused"],
        ),
        (
            json!({ "bot_rights": "kicked" }),
            ["ok", "ok", "ok", "chat_refused", "unknown"],
        ),
        (
            json!({ "configured": false }),
            ["ok", "not_configured", "unknown", "unknown", "unknown"],
        ),
    ] {
        let user = harness
            .add_user_with(&serde_json::from_value(setup.clone()).expect("a set-up"))
            .await;
        let told = check(&harness, &user.auth_token).await;
        assert_eq!(codes(&told), expected, "{setup}");
        assert_eq!(told["status"], "failed");
        // An upload says the same.
        let file = File::of_size(1000);
        let reply = harness
            .send(&Shape::FileFirst.request(&user.auth_token, &file))
            .await;
        let code = reply.json()["code"].clone();
        assert!(expected.iter().any(|expected| code == *expected), "{code}");
    }
    let user = harness.add_user().await;
    harness.revoke_bot(&user).await;
    let told = check(&harness, &user.auth_token).await;
    let expected = ["ok", "ok", "bot_token_rejected", "unknown", "unknown"];
    assert_eq!(codes(&told), expected);

    let told = check(&harness, "unknown").await;
    assert_eq!(codes(&told)[1], "token_refused");
    let bare = harness.send(&Request::new("GET", "/check")).await;
    assert_error(&bare, 401, "token_required");
    harness.finish().await;
}
