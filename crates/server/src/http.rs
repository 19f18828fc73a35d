//! HTTP/1.1 for what people and their tools look at: small pages, asked for by GET. Peers are bounded in number, in the size
//! of what they ask and in time; what they send beside a request's head is not read.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// How long a request's head may take to come, and so how long a connection may be silent.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(120);
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long to wait after the system refused to accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A page as it is answered.
#[derive(Debug)]
pub(crate) struct Page {
    /// The status.
    pub(crate) status: StatusCode,
    /// The body's media type.
    pub(crate) content_type: &'static str,
    /// The body.
    pub(crate) body: String,
}

impl Page {
    /// A JSON document.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        // Indented: people read it too.
        let body = serde_json::to_string_pretty(value).unwrap_or_default() + "\n";
        Self {
            status: StatusCode::OK,
            content_type: "application/json",
            body,
        }
    }

    /// A text that says why there is no other page.
    pub(crate) fn refusal(status: StatusCode, why: &str) -> Self {
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{why}\n"),
        }
    }

    /// The same with another status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

/// Whoever has pages.
pub(crate) trait Pages: Send + Sync + 'static {
    /// The page of a path, for a query; none if there is no such page.
    fn page(&self, path: &str, query: &Query<'_>) -> Option<Page>;
}

/// What comes after the question mark: `name=value&...`.
#[derive(Debug)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// The value of a name.
    pub(crate) fn lookup(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// A value that is a text, of which some letters may be written as `%2A`.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let mut bytes = self.lookup(name)?.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            decoded.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let mut digit = || char::from(bytes.next()?).to_digit(16);
                    let (high, low) = (digit()?, digit()?);
                    u8::try_from(high << 4 | low).ok()?
                }
                byte => byte,
            });
        }
        String::from_utf8(decoded).ok()
    }

    /// A value that is a count.
    pub(crate) fn count(&self, name: &str) -> Option<usize> {
        self.lookup(name)?.parse().ok()
    }
}

/// Serves for ever.
pub(crate) async fn serve(listener: TcpListener, pages: Arc<dyn Pages>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let response = answer(&request, pages.as_ref());
                async move { Ok::<_, Infallible>(response) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_headers(HEADERS_MAX)
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(socket), service);
            // However it ends: there is nobody to tell.
            drop(tokio::time::timeout(CONNECTION_TIMEOUT, connection).await);
            drop(place);
        });
    }
}

fn answer(request: &Request<Incoming>, pages: &dyn Pages) -> Response<Full<Bytes>> {
    let page = if matches!(*request.method(), Method::GET | Method::HEAD) {
        let query = Query(request.uri().query().unwrap_or_default());
        pages
            .page(request.uri().path(), &query)
            .unwrap_or_else(|| Page::refusal(StatusCode::NOT_FOUND, "there is no such page"))
    } else {
        Page::refusal(StatusCode::METHOD_NOT_ALLOWED, "pages are asked for by GET")
    };
    let mut response = Response::new(Full::new(Bytes::from(page.body)));
    *response.status_mut() = page.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn texts_of_a_query_are_decoded() {
        let query = Query("a=orders.%3E&b=x+y&c=%4&d=%zz&e=%ff");
        let text = |name| query.text(name);
        assert_eq!(text("a").as_deref(), Some("orders.>"));
        assert_eq!(text("b").as_deref(), Some("x y"));
        for bad in ["c", "d", "e", "f"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }

    struct Echo;

    impl Pages for Echo {
        fn page(&self, path: &str, query: &Query<'_>) -> Option<Page> {
            let body = serde_json::json!({ "limit": query.count("limit") });
            (path == "/known").then(|| Page::json(&body))
        }
    }

    async fn ask(address: std::net::SocketAddr, request: &str) -> String {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn pages_are_given_and_nothing_else() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, Arc::new(Echo)));
        let get =
            |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let told = ask(address, &get("/known?x=1&limit=5")).await;
        assert!(told.starts_with("HTTP/1.1 200 OK\r\n"), "{told}");
        assert!(
            told.contains("application/json") && told.contains("\"limit\": 5"),
            "{told}"
        );
        assert!(
            ask(address, &get("/other"))
                .await
                .starts_with("HTTP/1.1 404")
        );
        let post = "POST /known HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nConnection: close\r\n\r\n";
        assert!(ask(address, post).await.starts_with("HTTP/1.1 405"));
        let long = format!("GET /known HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(100_000));
        let told = ask(address, &long).await;
        assert!(
            told.starts_with("HTTP/1.1 431") || told.is_empty(),
            "{told}"
        );
        assert!(
            ask(address, "no request\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400")
        );
    }
}
