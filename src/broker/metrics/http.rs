//! As much of HTTP as monitoring speaks: one question without a body, one answer, then the connection ends.
//!
//! Always true: no bytes a client sends make this panic; a head larger than [`HEAD_BYTES_MAX`] is refused.

use httparse::Status as Parsed;

/// The largest head of a request.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Header lines of a request at most.
const HEADERS_MAX: usize = 64;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Page {
    /// `/metrics`.
    Metrics,
    /// `/health`.
    Health,
    /// `/ready`.
    Ready,
}

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// What is asked for.
    pub page: Page,
    /// `HEAD`: the answer without its body.
    pub head_only: bool,
}

/// What the bytes that have come so far are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Head {
    /// The begin of a question, perhaps.
    Incomplete,
    /// A question.
    Question(Question),
    /// Nothing that can be answered but by this.
    Refused(Status),
}

/// An answer's first line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Here it is.
    Ok,
    /// This is no HTTP.
    BadRequest,
    /// There is no such page.
    NotFound,
    /// Pages can be read, nothing else.
    MethodNotAllowed,
    /// The head is too large.
    HeadTooLarge,
    /// Not in a state to say yes.
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::HeadTooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Reads the head of a question.
pub fn read_head(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Parsed::Partial) if bytes.len() >= HEAD_BYTES_MAX => Head::Refused(Status::HeadTooLarge),
        Ok(Parsed::Partial) => Head::Incomplete,
        Err(httparse::Error::TooManyHeaders) => Head::Refused(Status::HeadTooLarge),
        Err(_) => Head::Refused(Status::BadRequest),
        Ok(Parsed::Complete(_)) => {
            question(request.method.unwrap_or_default(), request.path.unwrap_or_default())
        }
    }
}

fn question(method: &str, target: &str) -> Head {
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Head::Refused(Status::MethodNotAllowed),
    };
    let page = match target.split('?').next().unwrap_or_default() {
        "/metrics" => Page::Metrics,
        "/health" => Page::Health,
        "/ready" => Page::Ready,
        _ => return Head::Refused(Status::NotFound),
    };
    Head::Question(Question { page, head_only })
}

/// An answer's head; the connection ends behind its body.
pub fn answer_head(status: Status, content_type: &str, body_bytes: usize) -> String {
    let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {body_bytes}\r\n{allow}\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        status.line()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(page: Page) -> Head {
        Head::Question(Question { page, head_only: false })
    }

    #[test]
    fn the_pages_are_found_whatever_stands_behind_the_question_mark() {
        assert_eq!(read_head(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"), asks(Page::Metrics));
        assert_eq!(read_head(b"GET /ready?verbose HTTP/1.0\r\n\r\n"), asks(Page::Ready));
        let head = Head::Question(Question { page: Page::Health, head_only: true });
        assert_eq!(read_head(b"HEAD /health HTTP/1.1\r\n\r\n"), head);
    }

    #[test]
    fn what_is_no_question_is_refused_with_its_reason() {
        let refused = |bytes: &[u8], status| assert_eq!(read_head(bytes), Head::Refused(status));
        refused(b"GET /metrics/ HTTP/1.1\r\n\r\n", Status::NotFound);
        refused(b"POST /metrics HTTP/1.1\r\n\r\n", Status::MethodNotAllowed);
        refused(b"\x16\x03\x01\x02\x00\x01\x00", Status::BadRequest);
        refused(b"GET /metrics HTTP/9.9\r\n\r\n", Status::BadRequest);
        let many: String = (0..100).map(|number| format!("X-{number}: 1\r\n")).collect();
        refused(format!("GET /metrics HTTP/1.1\r\n{many}\r\n").as_bytes(), Status::HeadTooLarge);
        let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(HEAD_BYTES_MAX));
        refused(long.as_bytes(), Status::HeadTooLarge);
    }

    #[test]
    fn a_question_cut_anywhere_is_waited_for_and_noise_never_panics() {
        let whole = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(read_head(&whole[..end]), Head::Incomplete, "after {end} bytes");
        }
        let mut state = 7u64;
        for _ in 0..20_000 {
            let mut noise = whole.to_vec();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let place = (state >> 33) as usize % noise.len();
                noise[place] = (state >> 17) as u8;
            }
            read_head(&noise);
        }
    }
}
