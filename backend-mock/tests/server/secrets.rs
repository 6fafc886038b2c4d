//! A run through all routes, with everything logged: no secret of it is found in the log or on the
//! disk.

use std::{collections::BTreeSet, fs, net::TcpListener, path::Path};

use fastrand::Rng;
use memchr::memmem;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    command_line, on_postgresql,
    openapi::{Api, CLEARS_ALL, Texts},
    persistence::Folder,
    process::{Process, http_client, seed},
};

/// Draws of each route with each token.
const DRAWS: u32 = 3;
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ENCRYPTION_KEY: &str = "q83vEjRWeJAkfH2uPl9OaQI0VniQq83vmrze8BI0Vng=";
const JWT_SECRET: &str = "jwt-kJ8vQz2LmX4nR7tYw1pB6cHd9sFgA0eU";
const STATIC_TOKENS: [&str; 2] = ["static-4hGk2lPq8sVx", "static-9bNm3cXz7dQw"];
const DEPLOYMENT_BOT: &str = "7000000001:AAdeployment_bot_token_0123456789abcde";
/// Fields whose texts are secrets, in requests and in replies.
const SECRET_FIELDS: [&str; 12] = [
    "access_token",
    "api_hash",
    "api_key",
    "auth_token",
    "bot_token",
    "invite_link",
    "key",
    "password",
    "session",
    "session_string",
    "telegram_api_hash",
    "telegram_session",
];

/// Every secret of the run.
#[derive(Default)]
struct Secrets(BTreeSet<String>);

impl Secrets {
    fn add(&mut self, secret: &str) {
        self.0.insert(secret.to_owned());
        // A bot's token may stand in a URL, and its colon be written otherwise there.
        if let Some((_, secret)) = secret.split_once(':') {
            self.0.insert(secret.to_owned());
        }
    }

    /// Adds what a reply shows.
    fn learn(&mut self, json: &Value) {
        match json {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if SECRET_FIELDS.contains(&name.as_str()) => {
                            self.add(text);
                        }
                        value => self.learn(value),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| self.learn(value)),
            _ => {}
        }
    }

    fn found_in(&self, bytes: &[u8]) -> Vec<&str> {
        let found = |secret: &&String| memmem::find(bytes, secret.as_bytes()).is_some();
        self.0.iter().filter(found).map(String::as_str).collect()
    }
}

impl Texts for Secrets {
    fn text(&mut self, field: &str, random: &mut Rng) -> String {
        let text: String = (0..20).map(|_| random.alphanumeric()).collect();
        match field {
            "email" | "username" => format!("{text}@example.com"),
            "bot_token" => {
                let token = format!("{}:{text}{text}", random.u32(1..));
                self.add(&token);
                token
            }
            field if SECRET_FIELDS.contains(&field) => {
                self.add(&text);
                text
            }
            _ => text,
        }
    }
}

struct Run {
    client: Client,
    base_url: String,
    secrets: Secrets,
}

impl Run {
    fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base_url);
        self.client.request(method, url).bearer_auth(token)
    }

    /// The status and the JSON of the reply, whose secrets are known from here on.
    async fn send(&mut self, request: RequestBuilder) -> (u16, Value) {
        let reply = request.send().await.unwrap();
        let status = reply.status().as_u16();
        let json = reply.json().await.unwrap_or_default();
        self.secrets.learn(&json);
        (status, json)
    }

    async fn post(&mut self, path: &str, token: &str, body: Value) -> Value {
        let request = self.request(Method::POST, path, token).json(&body);
        let (status, json) = self.send(request).await;
        assert!((200..300).contains(&status), "{path}: {status} {json}");
        json
    }
}

#[tokio::test]
async fn no_secret_of_a_run_through_all_routes_is_in_the_log_or_on_the_disk() {
    if on_postgresql::is_here() {
        // The files that are searched are SQLite's.
        return;
    }
    let folder = Folder::new();
    let log_path = folder.data().with_extension("log");
    fs::create_dir_all(log_path.parent().unwrap()).unwrap();
    // The server asks itself as it would ask Telegram: over the network.
    let listen = free_address();
    let telegram_api_url = format!("http://{listen}");
    let api_tokens = format!("admin:{},{}", STATIC_TOKENS[0], STATIC_TOKENS[1]);
    let variables = [
        ("RUST_LOG", "trace"),
        ("ENCRYPTION_KEY", ENCRYPTION_KEY),
        ("JWT_SECRET", JWT_SECRET),
        ("WEBHOOK_SECRET", WEBHOOK_SECRET),
        ("API_TOKENS", &api_tokens),
        ("TELEGRAM_API_URL", &telegram_api_url),
        ("TELEGRAM_BOT_TOKEN", DEPLOYMENT_BOT),
        ("TELEGRAM_CHANNEL_ID", "-1001234567890"),
    ];
    let log = fs::File::create(&log_path).unwrap();
    let arguments = ["--listen", &listen, "--control", "--demo"];
    let process = Process::start(&folder, &arguments, &variables, Some(log)).await;
    let mut run = Run {
        client: http_client(),
        base_url: process.base_url.clone(),
        secrets: Secrets::default(),
    };
    for secret in [ENCRYPTION_KEY, JWT_SECRET, WEBHOOK_SECRET, DEPLOYMENT_BOT]
        .into_iter()
        .chain(STATIC_TOKENS)
    {
        run.secrets.add(secret);
    }

    let user = ways_that_work(&mut run).await;
    let mut random = Rng::with_seed(seed());
    all_routes(&mut run, &user, &mut random).await;
    // What is gathered in memory is written by now: a key's use is.
    while !uses_are_written(&mut run, &user).await {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let clear = run.request(Method::DELETE, CLEARS_ALL, &user);
    assert!(run.send(clear).await.0 < 300);
    process.kill();

    assert!(run.secrets.0.len() > 50, "{}", run.secrets.0.len());
    let data = folder.data();
    let log = fs::read(&log_path).unwrap();
    // Had they been there, they would have been found.
    let all: Vec<&str> = run.secrets.0.iter().map(String::as_str).collect();
    let with_all = [log.as_slice(), all.join("…").as_bytes(), &log].concat();
    assert_eq!(run.secrets.found_in(&with_all), all);
    // All that is logged was logged, and what is on the disk is what was written.
    for told in ["TRACE", "/api/keys", "credentials", "Bot API"] {
        assert!(memmem::find(&log, told.as_bytes()).is_some(), "{told}");
    }
    let wal = fs::read(data.with_extension("sqlite3-wal")).unwrap();
    let email = b"ada@example.com";
    assert!(memmem::find(&wal, email).is_some());
    assert_no_secret(&run.secrets, data.parent().unwrap());
    // The log of writes is folded into the file when the next one closes it.
    command_line::json(&folder, "users list").await;
    assert!(memmem::find(&fs::read(&data).unwrap(), email).is_some());
    assert_no_secret(&run.secrets, data.parent().unwrap());
}

/// Uses every kind of secret where it does something; returns the token of a user.
async fn ways_that_work(run: &mut Run) -> String {
    let passwords = ["correct horse battery", "wrong staple battery"];
    for password in passwords {
        run.secrets.add(password);
    }
    let ada = json!({ "email": "ada@example.com", "password": passwords[0], "name": "Ada" });
    let registered = run.post("/api/auth/register", "", ada).await;
    let token = registered["access_token"].as_str().unwrap().to_owned();
    let key = registered["api_key"].as_str().unwrap().to_owned();
    for password in passwords {
        let login = [("username", "ada@example.com"), ("password", password)];
        let request = run.request(Method::POST, "/api/auth/login", "");
        let form = serde_urlencoded::to_string(login).unwrap();
        let kind = "application/x-www-form-urlencoded";
        run.send(request.header("content-type", kind).body(form))
            .await;
    }
    let user = run.post("/_control/users", "", json!({})).await;
    let bot = json!({ "bot_token": user["bot_token"], "channel_id": user["channel_id"] });
    run.post("/api/settings/bot-token", &token, bot).await;
    let user_token = user["auth_token"].as_str().unwrap().to_owned();
    for token in [
        &token,
        &key,
        &user_token,
        STATIC_TOKENS[0],
        STATIC_TOKENS[1],
    ] {
        let request = run.request(Method::GET, "/api/worker/credentials", token);
        assert_eq!(run.send(request).await.0, 200);
    }
    let made = run
        .post("/api/keys", &key, json!({ "name": "laptop" }))
        .await;
    let id = made["id"].as_str().unwrap().to_owned();
    run.post(&format!("/api/keys/{id}/rotate"), &key, json!(null))
        .await;
    // Secrets where they do not belong: a key for an id, a token as a parameter, a bot's token cut
    // short and as a number.
    let misplaced = [
        run.request(Method::DELETE, &format!("/api/keys/{key}"), &token),
        run.request(Method::GET, &format!("/api/files?limit={token}"), &token),
        run.request(Method::GET, &format!("/api/{key}"), &token),
        run.request(Method::GET, &format!("/bot{DEPLOYMENT_BOT}/getMe"), &token),
        run.request(Method::POST, "/api/settings/bot-token", &token)
            .json(&json!({ "bot_token": &DEPLOYMENT_BOT[..20], "channel_id": [DEPLOYMENT_BOT] })),
    ];
    for request in misplaced {
        assert!(run.send(request).await.0 >= 400);
    }
    let bot_token = user["bot_token"].as_str().unwrap();
    for path in [
        format!("/bot{bot_token}/getMe"),
        format!("/bot{bot_token}/getChat"),
    ] {
        let request = run.request(Method::GET, &path, "");
        run.send(request).await;
    }
    let revoke = format!("/_control/bots/{bot_token}/revoke");
    run.post(&revoke, "", json!({})).await;
    key
}

/// Requests for every route that is documented, with several tokens.
async fn all_routes(run: &mut Run, key: &str, random: &mut Rng) {
    let document = run.request(Method::GET, "/api/openapi.json", "");
    let api = Api::of(document.send().await.unwrap().json().await.unwrap());
    let operations = api.operations.iter();
    for operation in operations.filter(|operation| operation.path != CLEARS_ALL) {
        for _ in 0..DRAWS {
            for token in [key, STATIC_TOKENS[0], "tsk_nonsense"] {
                let drawn = api.draw(operation, &mut run.secrets, random);
                let mut request = run.request(drawn.method, &drawn.path, token);
                if let Some((kind, body)) = drawn.body {
                    request = request.header("content-type", kind).body(body);
                }
                let (status, json) = run.send(request).await;
                assert!(status < 500, "{status} {json} from {}", drawn.path);
            }
        }
    }
}

async fn uses_are_written(run: &mut Run, key: &str) -> bool {
    let request = run.request(Method::GET, "/api/keys", key);
    let (status, keys) = run.send(request).await;
    assert_eq!(status, 200);
    keys[0]["request_count"].as_i64() > Some(0)
}

fn assert_no_secret(secrets: &Secrets, folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_secret(secrets, &path);
        } else {
            let found = secrets.found_in(&fs::read(&path).unwrap());
            assert!(found.is_empty(), "{found:?} in {}", path.display());
        }
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
