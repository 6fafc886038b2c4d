//! Which route a request takes.

use percent_encoding::percent_decode_str;

use super::hooks::Hook;
use crate::error::Error;
use crate::http::RequestHead;
use crate::multipart::boundary_of;
use crate::upload::{Content, RawFile};

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A CORS preflight, or any other `OPTIONS`.
    Preflight,
    /// `GET /health`.
    Health,
    /// `GET /check`.
    Check,
    /// An upload.
    Upload(Content),
    /// A request from the backend.
    Hook(Hook),
    /// `GET /`.
    Page,
    /// `GET /config`.
    Config,
    /// `GET /files/{fileId}`, with this id as it came.
    File(String),
    /// `POST /files/{fileId}/link`, with this id as it came.
    MakeLink(String),
    /// `GET /l/{sealed}`.
    Link(String),
}

/// Finds the route.
///
/// # Errors
/// 404, 405, 415, or a form without boundary.
pub fn route(head: &RequestHead) -> Result<Route, Error> {
    if head.method == "OPTIONS" {
        return Ok(Route::Preflight);
    }
    match (head.path.as_str(), head.method.as_str()) {
        ("/health", "GET" | "HEAD") => Ok(Route::Health),
        ("/hooks/outbox", "POST") => Ok(Route::Hook(Hook::Outbox)),
        ("/hooks/credentials", "POST") => Ok(Route::Hook(Hook::Credentials)),
        ("/check", "GET") => Ok(Route::Check),
        ("/check", _) => Err(Error::MethodNotAllowed {
            allow: "GET, OPTIONS",
        }),
        ("/", "GET" | "HEAD") => Ok(Route::Page),
        ("/config", "GET" | "HEAD") => Ok(Route::Config),
        ("/health" | "/config", _) => Err(Error::MethodNotAllowed {
            allow: "GET, HEAD, OPTIONS",
        }),
        ("/" | "/upload", "POST") => match media(head) {
            Media::Form => Ok(Route::Upload(Content::Form {
                boundary: boundary_of(head.content_type.as_deref().unwrap_or_default())?,
            })),
            Media::Other => {
                let name =
                    query_value(&head.query, "fileName")?.ok_or(Error::UnsupportedMediaType)?;
                raw(head, name)
            }
            Media::OtherMultipart => Err(Error::UnsupportedMediaType),
        },
        ("/", _) => Err(Error::MethodNotAllowed {
            allow: "GET, HEAD, POST, OPTIONS",
        }),
        ("/upload" | "/hooks/outbox" | "/hooks/credentials", _) => Err(Error::MethodNotAllowed {
            allow: "POST, OPTIONS",
        }),
        (path, method) => {
            if let Some(route) = file_route(path, method) {
                return route;
            }
            let name = path
                .strip_prefix("/upload/")
                .filter(|name| !name.contains('/'))
                .ok_or(Error::NotFound)?;
            match (method, media(head)) {
                ("PUT", Media::Other) => raw(head, decode(name)?),
                ("PUT", _) => Err(Error::UnsupportedMediaType),
                _ => Err(Error::MethodNotAllowed {
                    allow: "PUT, OPTIONS",
                }),
            }
        }
    }
}

/// The routes of files that come back. An id that begins with `up_` is an upload's.
fn file_route(path: &str, method: &str) -> Option<Result<Route, Error>> {
    let only = |allow| Err(Error::MethodNotAllowed { allow });
    if let Some(sealed) = path.strip_prefix("/l/") {
        return Some(match method {
            "GET" | "HEAD" => Ok(Route::Link(sealed.to_owned())),
            _ => only("GET, HEAD, OPTIONS"),
        });
    }
    let rest = path.strip_prefix("/files/")?;
    let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
    if id.is_empty() || id.starts_with("up_") {
        return None;
    }
    match (below, method) {
        ("", "GET" | "HEAD") => Some(Ok(Route::File(id.to_owned()))),
        ("", _) => Some(only("GET, HEAD, OPTIONS")),
        ("link", "POST") => Some(Ok(Route::MakeLink(id.to_owned()))),
        ("link", _) => Some(only("POST, OPTIONS")),
        _ => None,
    }
}

fn raw(head: &RequestHead, name: String) -> Result<Route, Error> {
    Ok(Route::Upload(Content::Raw(RawFile {
        name,
        caption: query_value(&head.query, "caption")?,
        user_id: query_value(&head.query, "userId")?,
    })))
}

enum Media {
    Form,
    OtherMultipart,
    Other,
}

fn media(head: &RequestHead) -> Media {
    let full = head.content_type.as_deref().unwrap_or_default();
    let media = full
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match media.as_str() {
        "multipart/form-data" => Media::Form,
        media if media.starts_with("multipart/") => Media::OtherMultipart,
        _ => Media::Other,
    }
}

/// The first value with this name in a query, as forms write it: `+` is a space.
pub(super) fn query_value(query: &str, wanted: &str) -> Result<Option<String>, Error> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| decode(&value.replace('+', " ")))
        .transpose()
}

fn decode(text: &str) -> Result<String, Error> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| Error::FileName)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, path_and_query: &str, content_type: &str) -> RequestHead {
        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        RequestHead {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            content_type: Some(content_type.to_owned()).filter(|text| !text.is_empty()),
            ..RequestHead::default()
        }
    }

    fn raw_name(method: &str, path: &str, content_type: &str) -> Result<String, Error> {
        match route(&head(method, path, content_type))? {
            Route::Upload(Content::Raw(raw)) => Ok(raw.name),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn telestores_two_paths_take_forms() {
        for path in ["/", "/upload"] {
            let form = route(&head(
                "POST",
                path,
                "Multipart/Form-Data; charset=x; boundary=\"a b\"",
            ));
            assert_eq!(
                form,
                Ok(Route::Upload(Content::Form {
                    boundary: "a b".to_owned()
                }))
            );
        }
    }

    #[test]
    fn raw_names_are_percent_decoded() {
        assert_eq!(
            raw_name(
                "PUT",
                "/upload/r%C3%A9sum%C3%A9%20%2B+1.pdf",
                "application/pdf"
            ),
            Ok("résumé ++1.pdf".to_owned())
        );
        assert_eq!(
            raw_name("POST", "/upload?fileName=a%2Fb+c&x=1", ""),
            Ok("a/b c".to_owned())
        );
        assert_eq!(raw_name("PUT", "/upload/", "text/plain"), Ok(String::new()));
        assert_eq!(raw_name("PUT", "/upload/%FF", ""), Err(Error::FileName));
    }

    #[test]
    fn files_come_back_by_id_and_by_link() {
        for (method, path, wanted) in [
            ("GET", "/files/abc?inline=1", Route::File("abc".to_owned())),
            ("HEAD", "/files/abc", Route::File("abc".to_owned())),
            ("POST", "/files/abc/link", Route::MakeLink("abc".to_owned())),
            ("GET", "/l/xyz", Route::Link("xyz".to_owned())),
        ] {
            assert_eq!(route(&head(method, path, "")), Ok(wanted), "{path}");
        }
    }

    #[test]
    fn the_query_may_carry_a_caption_and_a_user() {
        let route = route(&head("PUT", "/upload/a?caption=x%26y&userId=u%201", "")).expect("route");
        let raw = RawFile {
            name: "a".to_owned(),
            caption: Some("x&y".to_owned()),
            user_id: Some("u 1".to_owned()),
        };
        assert_eq!(route, Route::Upload(Content::Raw(raw)));
    }

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn what_is_no_route_is_told_apart() {
        for (method, path, content_type, error) in [
            (
                "DELETE",
                "/",
                "",
                Error::MethodNotAllowed {
                    allow: "GET, HEAD, POST, OPTIONS",
                },
            ),
            (
                "PUT",
                "/files/abc",
                "",
                Error::MethodNotAllowed {
                    allow: "GET, HEAD, OPTIONS",
                },
            ),
            (
                "GET",
                "/files/abc/link",
                "",
                Error::MethodNotAllowed {
                    allow: "POST, OPTIONS",
                },
            ),
            ("GET", "/files/", "", Error::NotFound),
            ("GET", "/files/up_abc", "", Error::NotFound),
            ("GET", "/files/abc/other", "", Error::NotFound),
            (
                "PUT",
                "/upload",
                "",
                Error::MethodNotAllowed {
                    allow: "POST, OPTIONS",
                },
            ),
            (
                "POST",
                "/upload/a",
                "",
                Error::MethodNotAllowed {
                    allow: "PUT, OPTIONS",
                },
            ),
            (
                "POST",
                "/health",
                "",
                Error::MethodNotAllowed {
                    allow: "GET, HEAD, OPTIONS",
                },
            ),
            (
                "POST",
                "/other",
                "multipart/form-data; boundary=a",
                Error::NotFound,
            ),
            ("PUT", "/upload/a/b", "", Error::NotFound),
            (
                "POST",
                "/upload",
                "application/json",
                Error::UnsupportedMediaType,
            ),
            ("POST", "/upload", "", Error::UnsupportedMediaType),
            (
                "POST",
                "/upload?fileName=a",
                "multipart/mixed; boundary=a",
                Error::UnsupportedMediaType,
            ),
            (
                "PUT",
                "/upload/a",
                "multipart/form-data; boundary=a",
                Error::UnsupportedMediaType,
            ),
            (
                "POST",
                "/upload",
                "multipart/form-data",
                crate::multipart::Malformed::NoBoundary.into(),
            ),
        ] {
            assert_eq!(
                route(&head(method, path, content_type)),
                Err(error),
                "{method} {path} {content_type}"
            );
        }
    }
}
