//! Faults to order: the next requests at a point are delayed, answered otherwise, or cut off.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use backend::{ApiError, Connection};
use emulator::FileServer;
use serde::Deserialize;

use crate::stats::Stats;

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Point {
    /// The credentials route.
    Credentials,
    /// Every request of the Bot API, downloads included.
    Telegram,
    /// getFile.
    GetFile,
    /// A download.
    File,
    /// The webhook.
    Notify,
}

/// When a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cut {
    /// Without doing the work.
    Before,
    /// With the work done and no reply.
    After,
}

/// A fault as it is ordered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    on: Point,
    /// How many requests it strikes; -1 for all.
    #[serde(default = "once")]
    times: i64,
    status: Option<u16>,
    body: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    delay_ms: u64,
    drop: Option<Cut>,
    /// Whether the request's body is read before a reply that needs none of it. Without, a client
    /// that is still sending may see a reset connection instead of the reply.
    #[serde(default = "yes")]
    drain: bool,
    /// A download heeds no `Range`.
    #[serde(default)]
    ignore_range: bool,
    /// A download's connection breaks after so many bytes of its body.
    cut_after_bytes: Option<u64>,
    /// How long the path works that getFile gives out.
    path_ttl_seconds: Option<i64>,
}

fn once() -> i64 {
    1
}

fn yes() -> bool {
    true
}

impl Fault {
    /// Checks what the types do not.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        if self.times < -1 {
            return Err(ApiError::Unprocessable(
                "times: must be -1 or more".to_owned(),
            ));
        }
        self.reply().map(drop)
    }

    /// Whether there is a reply in place of the work's own.
    fn replies(&self) -> bool {
        self.status.is_some() || self.body.is_some() || !self.headers.is_empty()
    }

    /// What it makes of the file server.
    fn file_server(&self) -> FileServer {
        let usual = FileServer::default();
        FileServer {
            takes_range: !self.ignore_range,
            cut_after_bytes: self.cut_after_bytes,
            path_ttl_seconds: self.path_ttl_seconds.unwrap_or(usual.path_ttl_seconds),
        }
    }

    fn reply(&self) -> Result<Response, ApiError> {
        let wrong = |what: &str| ApiError::Unprocessable(format!("{what}: not valid in HTTP"));
        let status = self.status.map_or(Ok(StatusCode::OK), |status| {
            StatusCode::from_u16(status).map_err(|_| wrong("status"))
        })?;
        if status.is_informational() {
            return Err(wrong("status"));
        }
        let body = self.body.clone().unwrap_or_default();
        let content_type = if serde_json::from_str::<serde::de::IgnoredAny>(&body).is_ok() {
            "application/json"
        } else {
            "text/plain; charset=utf-8"
        };
        let mut response = (status, [(CONTENT_TYPE, content_type)], body).into_response();
        for (name, value) in &self.headers {
            let name: HeaderName = name.parse().map_err(|_| wrong("headers"))?;
            let value: HeaderValue = value.parse().map_err(|_| wrong("headers"))?;
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults(
    // A std mutex: it is held to look through a short list, never across an await.
    Mutex<Vec<Fault>>,
);

impl Faults {
    /// Puts these faults in force in place of those before.
    pub(crate) fn replace(&self, faults: Vec<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// The fault that strikes a request at one of these points: the first with times left.
    fn take(&self, points: &[Point]) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults
            .iter_mut()
            .find(|fault| points.contains(&fault.on) && fault.times != 0)?;
        if fault.times > 0 {
            fault.times -= 1;
        }
        Some(fault.clone())
    }
}

/// Middleware of the API's routes: where one is a [`Point`], counts the request and lets a fault strike it.
pub(crate) async fn inject(
    State((stats, faults)): State<(Arc<Stats>, Arc<Faults>)>,
    route: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let point = match route.as_str() {
        "/api/worker/credentials" => {
            stats.count_credentials();
            Point::Credentials
        }
        "/api/webhook/upload" => {
            stats.count_notification();
            Point::Notify
        }
        _ => return next.run(request).await,
    };
    strike(&faults, &[point], request, |request| next.run(request)).await
}

/// Does the work, unless a fault is in force that wants it otherwise.
pub(crate) async fn strike<W: Future<Output = Response>>(
    faults: &Faults,
    points: &[Point],
    mut request: Request,
    work: impl FnOnce(Request) -> W,
) -> Response {
    let Some(fault) = faults.take(points) else {
        return work(request).await;
    };
    request.extensions_mut().insert(fault.file_server());
    tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    let connection = request.extensions().get::<Connection>().cloned();
    match fault.drop {
        Some(Cut::Before) => cut(connection).await,
        Some(Cut::After) => {
            work(request).await;
            cut(connection).await
        }
        None if fault.replies() => {
            if fault.drain {
                emulator::drain(request.into_body()).await;
            }
            fault.reply().unwrap_or_else(IntoResponse::into_response)
        }
        None => work(request).await,
    }
}

async fn cut(connection: Option<Connection>) -> Response {
    match connection {
        Some(connection) => connection.cut().await,
        // A request that came over no connection of ours has none to cut.
        None => Response::new(Body::empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Faults {
        let faults = Faults::default();
        faults.replace(serde_json::from_str(text).unwrap());
        faults
    }

    fn status(fault: Option<Fault>) -> Option<u16> {
        fault.and_then(|fault| fault.status)
    }

    #[test]
    fn the_first_matching_fault_with_times_left_strikes() {
        let faults = faults(
            r#"[{"on":"telegram","status":500},
                {"on":"credentials","times":2,"status":501},
                {"on":"credentials","status":502}]"#,
        );
        let struck: Vec<_> = (0..4)
            .map(|_| status(faults.take(&[Point::Credentials])))
            .collect();
        assert_eq!(struck, [Some(501), Some(501), Some(502), None]);
        let download = [Point::Telegram, Point::File];
        assert_eq!(status(faults.take(&download)), Some(500));
        assert_eq!(status(faults.take(&[Point::Notify])), None);
    }

    #[test]
    fn a_fault_of_minus_one_times_strikes_for_ever() {
        let faults = faults(r#"[{"on":"notify","times":-1,"status":503}]"#);
        for _ in 0..100 {
            assert_eq!(status(faults.take(&[Point::Notify])), Some(503));
        }
        faults.replace(Vec::new());
        assert_eq!(status(faults.take(&[Point::Notify])), None);
    }

    #[test]
    fn a_fault_that_http_cannot_say_is_refused() {
        for text in [
            r#"{"on":"notify","status":99}"#,
            r#"{"on":"notify","status":101}"#,
            r#"{"on":"notify","times":-2}"#,
            r#"{"on":"notify","headers":{"a b":"c"}}"#,
            r#"{"on":"notify","headers":{"a":"\n"}}"#,
        ] {
            let fault: Fault = serde_json::from_str(text).unwrap();
            assert!(fault.check().is_err(), "{text}");
        }
        for text in [r#"{"on":"else"}"#, r#"{"on":"notify","x":1}"#, "{}"] {
            assert!(serde_json::from_str::<Fault>(text).is_err(), "{text}");
        }
    }
}
