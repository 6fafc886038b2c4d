//! What the worker refuses, and how it says so.

use bytes::Bytes;
use serde_json::Value;
use testkit::{
    form::{BOUNDARY, Form},
    harness::{Harness, assert_error},
    http::{Framing, Request},
    upload::{File, LANES, Shape},
};

/// A refused request, and what is said of it.
struct Row {
    what: String,
    request: Request,
    status: u16,
    code: &'static str,
    error: String,
}

fn row(what: &str, request: Request, status: u16, code: &'static str, error: &str) -> Row {
    Row {
        what: what.to_owned(),
        request,
        status,
        code,
        error: error.to_owned(),
    }
}

/// Sends each, and checks the reply and that nothing came of it. Gives the replies' bodies.
async fn assert_refused(harness: &Harness, rows: Vec<Row>) -> Vec<Value> {
    let mut told = Vec::new();
    for row in rows {
        let reply = harness.send(&row.request).await;
        assert_eq!(
            (reply.status, &row.what),
            (row.status, &row.what),
            "{}",
            reply.text()
        );
        let body = assert_error(&reply, row.status, row.code);
        assert_eq!(body["error"], row.error, "{}", row.what);
        harness.assert_nothing_stored(&row.what).await;
        told.push(body);
    }
    told
}

/// Adds something odd to a form.
type Odd = Box<dyn Fn(Form) -> Form>;

fn file(form: Form, size: usize) -> Form {
    form.file("file", "a.bin", "text/plain", File::of_size(size).content)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_route_is_told_apart() {
    let harness = Harness::usual().await;
    let token = &harness.demo.auth_token;
    let multipart = "multipart/form-data; boundary=x";
    let rows = vec![
        row(
            "DELETE /",
            Request::new("DELETE", "/"),
            405,
            "method_not_allowed",
            "Method not allowed",
        ),
        row(
            "GET /upload",
            Request::new("GET", "/upload"),
            405,
            "method_not_allowed",
            "Method not allowed",
        ),
        row(
            "PUT /upload",
            Request::new("PUT", "/upload"),
            405,
            "method_not_allowed",
            "Method not allowed",
        ),
        row(
            "DELETE /upload/a",
            Request::new("DELETE", "/upload/a"),
            405,
            "method_not_allowed",
            "Method not allowed",
        ),
        row(
            "POST /upload/a",
            Request::new("POST", "/upload/a").body(vec![]),
            405,
            "method_not_allowed",
            "Method not allowed",
        ),
        row(
            "POST /health",
            Request::new("POST", "/health").body(vec![]),
            405,
            "method_not_allowed",
            "Method not allowed",
        ),
        row(
            "POST /other",
            Request::new("POST", "/other").body(vec![]),
            404,
            "not_found",
            "Not found",
        ),
        row(
            "GET /favicon.ico",
            Request::new("GET", "/favicon.ico"),
            404,
            "not_found",
            "Not found",
        ),
        row(
            "PUT /upload/a/b",
            Request::new("PUT", "/upload/a/b")
                .bearer(token)
                .body(vec!["x".into()]),
            404,
            "not_found",
            "Not found",
        ),
        row(
            "JSON",
            Request::new("POST", "/upload")
                .bearer(token)
                .header("content-type", "application/json")
                .body(vec!["{}".into()]),
            415,
            "unsupported_media_type",
            "Unsupported media type",
        ),
        row(
            "no type",
            Request::new("POST", "/upload")
                .bearer(token)
                .body(vec!["x".into()]),
            415,
            "unsupported_media_type",
            "Unsupported media type",
        ),
        row(
            "urlencoded",
            Request::new("POST", "/")
                .bearer(token)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(vec!["a=b".into()]),
            415,
            "unsupported_media_type",
            "Unsupported media type",
        ),
        row(
            "another multipart",
            Request::new("POST", "/upload?fileName=a")
                .bearer(token)
                .header("content-type", "multipart/mixed; boundary=x")
                .body(vec!["x".into()]),
            415,
            "unsupported_media_type",
            "Unsupported media type",
        ),
        row(
            "PUT of a form",
            Request::new("PUT", "/upload/a")
                .bearer(token)
                .header("content-type", multipart)
                .body(vec!["x".into()]),
            415,
            "unsupported_media_type",
            "Unsupported media type",
        ),
        row(
            "a name that is not UTF-8",
            Request::new("PUT", "/upload/%FF")
                .bearer(token)
                .body(vec!["x".into()]),
            400,
            "bad_file_name",
            "Malformed request: the file name is not percent-encoded UTF-8",
        ),
    ];
    assert_refused(&harness, rows).await;
    for (method, target, allow) in [
        ("PUT", "/", "GET, HEAD, POST, OPTIONS"),
        ("PATCH", "/upload", "POST, OPTIONS"),
        ("GET", "/upload/a", "PUT, OPTIONS"),
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
    ] {
        let reply = harness.send(&Request::new(method, target)).await;
        assert_eq!(reply.header("allow"), Some(allow), "{method} {target}");
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_without_a_usable_token_is_a_401_that_asks_for_one() {
    let harness = Harness::usual().await;
    let mut rows = Vec::new();
    for size in [3_000, 300_000] {
        let content = File::of_size(size).content;
        let raw = || {
            Request::new("PUT", "/upload/a")
                .header("content-type", "text/plain")
                .body(vec![content.clone()])
        };
        let form = || file(Form::new(), size);
        let required =
            |what, request| row(what, request, 401, "token_required", "Auth token required");
        let malformed = |what, request| row(what, request, 401, "token_malformed", "Invalid token");
        rows.extend([
            required("raw", raw()),
            required(
                "raw, basic",
                raw().header("authorization", "Basic dXNlcjpwYXNz"),
            ),
            required("raw, no token", raw().header("authorization", "Bearer")),
            required("form", form().post()),
            required(
                "form, empty field after the file",
                form().field("authToken", "").post(),
            ),
            required(
                "form, empty field before",
                file(Form::new().field("authToken", ""), size).post(),
            ),
            required("form, blanks", form().field("authToken", "  \r\n ").post()),
            required("chunked form", form().post().framing(Framing::Chunked)),
            malformed("header with a blank inside", raw().bearer("a b")),
            malformed("header not ASCII", raw().bearer("tökén")),
            malformed("header too long", raw().bearer(&"t".repeat(8193))),
            malformed(
                "line break in the field",
                form().field("authToken", "a\r\nX-Evil: 1").post(),
            ),
            malformed(
                "line break in an early field",
                file(Form::new().field("authToken", "a\r\nX-Evil: 1"), size).post(),
            ),
            malformed("NUL in the field", form().field("authToken", "a\0b").post()),
            malformed(
                "not ASCII in the field",
                form().field("authToken", "tökén").post(),
            ),
            malformed(
                "too long a field",
                form().field("authToken", &"t".repeat(8193)).post(),
            ),
        ]);
    }
    for row in rows {
        let bare = row.code == "token_required";
        let reply = harness.send(&row.request).await;
        let told = assert_error(&reply, row.status, row.code);
        assert_eq!(told["error"], row.error, "{}", row.what);
        let challenge = reply.header("www-authenticate").expect("a challenge");
        assert_eq!(challenge == "Bearer", bare, "{}: {challenge}", row.what);
        assert_eq!(
            challenge.contains("error=\"invalid_token\""),
            !bare,
            "{}",
            row.what
        );
    }
    harness.assert_nothing_stored("no token").await;
    assert_eq!(
        harness.count("credentials").await,
        0,
        "the backend is not asked"
    );
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_backend_does_not_know_is_a_401_in_every_lane() {
    let harness = Harness::usual().await;
    for (at, (lane, shape, framing, size)) in LANES.into_iter().enumerate() {
        let request = shape
            .request(&format!("unknown-{at}"), &File::of_size(size))
            .framing(framing);
        let reply = harness.send(&request).await;
        let told = assert_error(&reply, 401, "token_refused");
        assert_eq!(told["error"], "Invalid token", "{lane}");
        assert_eq!(harness.logged(&reply).await["lane"], lane);
    }
    harness.assert_nothing_stored("unknown tokens").await;
    assert_eq!(harness.count("send_document").await, 0);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tokens_that_differ_are_refused_wherever_they_stand() {
    let harness = Harness::usual().await;
    let other = harness.add_user().await;
    let user = &harness.demo;
    let error = "Malformed request: the Authorization header and the field authToken differ";
    let mut rows = Vec::new();
    for size in [3_000, 300_000] {
        let before = file(Form::new().field("authToken", &user.auth_token), size);
        let after = file(Form::new(), size).field("authToken", &user.auth_token);
        for form in [before, after] {
            rows.push(row(
                "header and field",
                form.post().bearer(&other.auth_token),
                400,
                "tokens_differ",
                error,
            ));
        }
    }
    assert_refused(&harness, rows).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_id_that_is_not_the_tokens_is_a_403_wherever_it_stands() {
    let harness = Harness::usual().await;
    let other = harness.add_user().await;
    let user = &harness.demo;
    let error = "userId does not match the token";
    let (id, token) = (&other.user_id, &user.auth_token);
    let mut rows = Vec::new();
    for size in [3_000, 300_000] {
        let content = File::of_size(size).content;
        for form in [
            file(
                Form::new().field("userId", id).field("authToken", token),
                size,
            ),
            file(Form::new().field("authToken", token), size).field("userId", id),
            file(Form::new(), size)
                .field("userId", id)
                .field("authToken", token),
            file(Form::new(), size)
                .field("authToken", token)
                .field("userId", id),
        ] {
            rows.push(row("field", form.post(), 403, "wrong_user", error));
        }
        let form = file(Form::new().field("authToken", token), size);
        rows.push(row(
            "header",
            form.post().header("x-user-id", id),
            403,
            "wrong_user",
            error,
        ));
        // The right one beside it does not help.
        let form = file(
            Form::new()
                .field("authToken", token)
                .field("userId", &user.user_id),
            size,
        );
        rows.push(row(
            "both",
            form.post().header("x-user-id", id),
            403,
            "wrong_user",
            error,
        ));
        let raw = Request::new("PUT", "/upload/a")
            .bearer(token)
            .body(vec![content.clone()]);
        rows.push(row(
            "raw, header",
            raw.header("x-user-id", id),
            403,
            "wrong_user",
            error,
        ));
        let raw = Request::new("PUT", &format!("/upload/a?userId={id}"))
            .bearer(token)
            .body(vec![content]);
        rows.push(row("raw, query", raw, 403, "wrong_user", error));
    }
    assert_refused(&harness, rows).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_has_not_set_telegram_up_reads_the_backends_own_words() {
    let harness = Harness::usual().await;
    let user = harness
        .add_user_with(&backend_mock::Setup {
            configured: false,
            ..Default::default()
        })
        .await;
    for (lane, shape, framing, size) in LANES {
        let request = shape
            .request(&user.auth_token, &File::of_size(size))
            .framing(framing);
        let told = assert_error(&harness.send(&request).await, 400, "not_configured");
        assert_eq!(
            told["error"],
            "Telegram not fully configured. Please connect Telegram and add bot token in settings.",
            "{lane}"
        );
        assert_eq!(told["retryable"], false);
    }
    assert_eq!(harness.count("send_document").await, 0);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_has_run_out_is_a_401() {
    let harness = Harness::usual().await;
    let user = harness
        .add_user_with(&backend_mock::Setup {
            token_ttl_seconds: -60,
            ..Default::default()
        })
        .await;
    let request = Shape::RawPut.request(&user.auth_token, &File::of_size(10));
    assert_error(&harness.send(&request).await, 401, "token_refused");
    harness.assert_nothing_stored("expired").await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_a_file_is_told_so() {
    let harness = Harness::usual().await;
    let token = &harness.demo.auth_token;
    let forms = [
        Form::new(),
        Form::new().field("authToken", token),
        Form::new()
            .field("authToken", token)
            .field("fileName", "a")
            .field("caption", "b"),
        Form::new().raw(b"a preamble\r\n").field("authToken", token),
    ];
    for form in forms {
        for framing in [Framing::Length, Framing::Chunked] {
            let reply = harness.send(&form.clone().post().framing(framing)).await;
            let told = assert_error(&reply, 400, "no_file");
            assert_eq!(told["error"], "No file provided");
        }
    }
    harness.assert_nothing_stored("no file").await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_file_is_refused_and_nothing_of_the_first_is_stored() {
    let harness = Harness::usual().await;
    let token = &harness.demo.auth_token;
    let error = "Malformed request: there is more than one file in the request";
    let mut rows = Vec::new();
    for size in [3_000, 300_000] {
        let second =
            |form: Form, name| form.file(name, "b.bin", "text/plain", Bytes::from_static(b"b"));
        for name in ["file", "other", "filepond"] {
            for form in [
                second(file(Form::new().field("authToken", token), size), name),
                second(file(Form::new(), size), name).field("authToken", token),
                second(file(Form::new(), size).field("authToken", token), name),
            ] {
                for framing in [Framing::Length, Framing::Chunked] {
                    let request = form.clone().post().framing(framing);
                    rows.push(row(
                        &format!("{name} {size}"),
                        request,
                        400,
                        "second_file",
                        error,
                    ));
                }
            }
        }
        // A part that is only called file is one too.
        let form = file(Form::new().field("authToken", token), size).field("file", "text");
        rows.push(row(
            "a field called file",
            form.post(),
            400,
            "second_file",
            error,
        ));
    }
    assert_refused(&harness, rows).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caption_may_have_1024_characters_and_no_more() {
    let harness = Harness::usual().await;
    let user = harness.demo.clone();
    let error = "Bad Request: message caption is too long";
    for size in [3_000, 300_000] {
        let content = File::of_size(size).content;
        let forms = |caption: &str| {
            let token = &user.auth_token;
            [
                file(
                    Form::new()
                        .field("authToken", token)
                        .field("caption", caption),
                    size,
                ),
                file(Form::new().field("authToken", token), size).field("caption", caption),
                file(Form::new(), size)
                    .field("caption", caption)
                    .field("authToken", token),
            ]
        };
        let longest = "é".repeat(1024);
        for form in forms(&longest) {
            let reply = harness.send(&form.post()).await;
            let message = harness
                .assert_stored(&user, &File::new("a.bin", content.clone()), &reply)
                .await;
            assert_eq!(message["caption"], longest.as_str());
            harness.reset().await;
        }
        for form in forms(&"é".repeat(1025)) {
            let rows = vec![row("1025", form.post(), 400, "caption_too_long", error)];
            assert_refused(&harness, rows).await;
        }
    }
    let raw = |caption: &str| {
        Request::new("PUT", &format!("/upload/a.bin?caption={caption}"))
            .bearer(&user.auth_token)
            .body(vec![File::of_size(10).content])
    };
    let reply = harness.send(&raw("a%20caption%26more")).await;
    let message = harness
        .assert_stored(
            &user,
            &File::new("a.bin", File::of_size(10).content),
            &reply,
        )
        .await;
    assert_eq!(message["caption"], "a caption&more");
    harness.reset().await;
    let rows = vec![row(
        "raw",
        raw(&"x".repeat(1025)),
        400,
        "caption_too_long",
        error,
    )];
    assert_refused(&harness, rows).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_comes_twice_may_not_differ() {
    let harness = Harness::usual().await;
    let user = harness.demo.clone();
    let other = harness.add_user().await;
    let mut rows = Vec::new();
    for size in [3_000, 300_000] {
        for (name, one, two) in [
            ("authToken", &user.auth_token, &other.auth_token),
            ("userId", &user.user_id, &other.user_id),
            ("fileName", &"a".to_owned(), &"b".to_owned()),
            ("caption", &"a".to_owned(), &"b".to_owned()),
        ] {
            let error = format!("Malformed request: the field {name:?} came twice, and differs");
            let mut start = Form::new();
            if name != "authToken" {
                start = start.field("authToken", &user.auth_token);
            }
            for form in [
                file(start.clone().field(name, one).field(name, two), size),
                file(start.clone().field(name, one), size).field(name, two),
                file(start.clone(), size).field(name, one).field(name, two),
            ] {
                rows.push(row(
                    &format!("{name} {size}"),
                    form.post(),
                    400,
                    "malformed_form",
                    &error,
                ));
            }
        }
    }
    assert_refused(&harness, rows).await;
    // The same twice is no contradiction.
    for size in [3_000, 300_000] {
        let form = file(Form::new().field("authToken", &user.auth_token), size)
            .field("authToken", &user.auth_token);
        let reply = harness.send(&form.post()).await;
        harness
            .assert_stored(
                &user,
                &File::new("a.bin", File::of_size(size).content),
                &reply,
            )
            .await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bounds_of_the_form_are_kept_in_every_lane() {
    let harness = Harness::usual().await;
    let token = harness.demo.auth_token.clone();
    let disposition = "Content-Disposition: form-data; name=\"x\"\r\n";
    let text = |what: &str| format!("Malformed request: {what}");
    let mut rows = Vec::new();
    for size in [3_000, 300_000] {
        // Before the file, after it, and after it with the token last.
        let places = |odd: &dyn Fn(Form) -> Form| {
            [
                file(odd(Form::new().field("authToken", &token)), size),
                odd(file(Form::new().field("authToken", &token), size)),
                odd(file(Form::new(), size)).field("authToken", &token),
            ]
        };
        let odd: Vec<(&str, Odd, &str)> = vec![
            (
                "a part has no name",
                Box::new(|form| {
                    form.part(
                        "Content-Disposition: form-data\r\n",
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part has no name",
                Box::new(|form| {
                    form.part(
                        "Content-Disposition: form-data; filename=\"a\"\r\n",
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part has no name",
                Box::new(|form| {
                    form.part("Content-Type: text/plain\r\n", Bytes::from_static(b"x"))
                }),
                "malformed_form",
            ),
            (
                "a part has no name",
                Box::new(|form| form.part("", Bytes::from_static(b"x"))),
                "malformed_form",
            ),
            (
                "a part has no name",
                Box::new(|form| {
                    form.part(
                        "Content-Disposition: attachment; name=\"x\"\r\n",
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part's header is not `name: value`",
                Box::new(move |form| {
                    form.part(
                        &format!("{disposition}no colon\r\n"),
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part's header is not `name: value`",
                Box::new(move |form| {
                    form.part(
                        &format!("{disposition} folded: 1\r\n"),
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part's header is not `name: value`",
                Box::new(move |form| {
                    form.part(
                        &format!("{disposition}a: b\nc: d\r\n"),
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part has over 32 headers",
                Box::new(move |form| {
                    form.part(
                        &format!("{disposition}{}", "a: b\r\n".repeat(32)),
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "a part's headers are over 16 KiB",
                Box::new(move |form| {
                    form.part(
                        &format!("{disposition}a: {}\r\n", "b".repeat(16 * 1024)),
                        Bytes::from_static(b"x"),
                    )
                }),
                "malformed_form",
            ),
            (
                "the field \"x\" is over 64 KiB",
                Box::new(|form| form.field("x", &"v".repeat(64 * 1024 + 1))),
                "field_too_large",
            ),
            (
                "the field \"caption\" is over 64 KiB",
                Box::new(|form| form.field("caption", &"v".repeat(64 * 1024 + 1))),
                "field_too_large",
            ),
            (
                "the field \"caption\" is not UTF-8",
                Box::new(|form| {
                    form.part(
                        "Content-Disposition: form-data; name=\"caption\"\r\n",
                        Bytes::from_static(b"\xff"),
                    )
                }),
                "malformed_form",
            ),
            (
                "there are over 100 parts",
                Box::new(|form| (0..100).fold(form, |form, n| form.field(&format!("f{n}"), "v"))),
                "malformed_form",
            ),
            (
                "a boundary is not followed by the end of its line",
                Box::new(|form| form.raw(format!("--{BOUNDARY}x\r\n").as_bytes())),
                "malformed_form",
            ),
            (
                "a boundary is not followed by the end of its line",
                Box::new(|form| form.raw(format!("--{BOUNDARY}\n").as_bytes())),
                "malformed_form",
            ),
        ];
        for (what, odd, code) in &odd {
            for form in places(odd) {
                rows.push(row(
                    &format!("{what} {size}"),
                    form.post(),
                    400,
                    code,
                    &text(what),
                ));
            }
        }
        let bytes = |n: usize| vec![b'p'; n];
        let padded = file(
            Form::new()
                .raw(&bytes(65 * 1024))
                .raw(b"\r\n")
                .field("authToken", &token),
            size,
        );
        rows.push(row(
            "preamble",
            padded.post(),
            400,
            "malformed_form",
            &text("over 64 KiB come before the first boundary"),
        ));
        for form in [
            file(Form::new().field("authToken", &token), size),
            file(Form::new(), size).field("authToken", &token),
        ] {
            let mut request = form.post();
            request.body.push(bytes(65 * 1024).into());
            rows.push(row(
                "epilogue",
                request,
                400,
                "malformed_form",
                &text("over 64 KiB come after the closing boundary"),
            ));
        }
    }
    // Fields of 60 KiB each, 18 of them: over 1 MiB together.
    let many = (0..18).fold(Form::new().field("authToken", &token), |form, n| {
        form.field(&format!("f{n}"), &"v".repeat(60 * 1024))
    });
    rows.push(row(
        "fields",
        file(many, 300_000).post(),
        400,
        "field_too_large",
        &text("the fields are over 1 MiB together"),
    ));
    assert_refused(&harness, rows).await;
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_just_within_the_bounds_is_taken() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let disposition = "Content-Disposition: form-data; name=\"x\"\r\n";
    for size in [3_000, 300_000] {
        let form = Form::new()
            .raw(&vec![b'p'; 60 * 1024])
            .raw(b"\r\n")
            .field("authToken", &user.auth_token)
            .part(
                &format!("{disposition}{}", "a: b\r\n".repeat(31)),
                Bytes::new(),
            )
            .part(
                &format!("{disposition}a: {}\r\n", "b".repeat(16_000)),
                Bytes::new(),
            )
            .field("x", &"v".repeat(64 * 1024));
        let form = file(form, size);
        // 5 parts so far.
        let form = (0..95).fold(form, |form, n| form.field(&format!("f{n}"), ""));
        let reply = harness.send(&form.post()).await;
        let file = File::new("a.bin", File::of_size(size).content);
        harness.assert_stored(user, &file, &reply).await;
    }
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_boundary_is_1_to_70_of_the_characters_that_rfc_2046_allows() {
    let harness = Harness::usual().await;
    let user = &harness.demo;
    let post = |content_type: &str, form: Form| {
        Request::new("POST", "/upload")
            .header("content-type", content_type)
            .body(form.closed())
    };
    let build = |boundary: &str| {
        file(
            Form::with_boundary(boundary).field("authToken", &user.auth_token),
            3_000,
        )
    };
    let error =
        "Malformed request: the boundary is not 1 to 70 characters that a boundary may have";
    let mut rows = vec![row(
        "none",
        post("multipart/form-data", build("x")),
        400,
        "malformed_form",
        "Malformed request: the Content-Type names no boundary",
    )];
    for boundary in ["", &"b".repeat(71), "a<b", "trailing "] {
        rows.push(row(
            boundary,
            post(
                &format!("multipart/form-data; boundary=\"{boundary}\""),
                build(boundary),
            ),
            400,
            "malformed_form",
            error,
        ));
    }
    assert_refused(&harness, rows).await;
    for (boundary, written) in [
        ("x", "x"),
        (&"b".repeat(70)[..], &"b".repeat(70)[..]),
        ("'()+_,-./:=? a", "\"'()+_,-./:=? a\""),
        ("----x", "\"----x\"; charset=utf-8"),
    ] {
        let reply = harness
            .send(&post(
                &format!("multipart/form-data; boundary={written}"),
                build(boundary),
            ))
            .await;
        harness
            .assert_stored(
                user,
                &File::new("a.bin", File::of_size(3_000).content),
                &reply,
            )
            .await;
        harness.reset().await;
    }
    harness.finish().await;
}
