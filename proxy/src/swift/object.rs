//! `/v1/account/container/object`.

use apus_base::body::{self, Body};
use http::header::{ACCEPT_RANGES, CONNECTION, CONTENT_LENGTH, DATE, ETAG, LAST_MODIFIED, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Response, StatusCode};

use super::refusal::Refusal;
use super::response::page;
use super::{copy, links, slo, versions};
use crate::constraints::{is_true, message_length};
use crate::error::Error;
use crate::ops::get::Read;
use crate::ops::large::PARTS_COUNT;
use crate::ops::post::Posted;
use crate::ops::put::{Put, Stored};
use crate::ops::resource::ObjectName;
use crate::ops::versions::{VERSION_ID, VersionError, restore};
use crate::ops::{Call, delete, get, post, put};

/// What 405 lists.
const ALLOWED: &str = "DELETE, GET, HEAD, OPTIONS, POST, PUT";
/// What OPTIONS lists: Swift knows COPY in a step of its own, which adds it there only.
pub(super) const ALLOWED_WITH_COPY: &str = "DELETE, GET, HEAD, OPTIONS, POST, PUT, COPY";

pub(super) async fn answer(call: Call<'_>, name: &ObjectName, body: Body) -> Result<Response<Body>, Refusal> {
    let headers = &call.parts.headers;
    let large = slo::Asked::of(call.parts.uri.query());
    let copies = headers.get("x-copy-from").is_some_and(|from| !from.is_empty());
    match call.parts.method.as_str() {
        "GET" | "HEAD" => read(call, name).await,
        "PUT" if large.puts() && !copies => slo::put(call, name, &large, body).await,
        "DELETE" if large.deletes() => slo::delete(call, name, &large).await,
        _ if headers.contains_key(slo::RESERVED) => Err(Refusal::StaticLargeObject),
        "PUT" if copies => copy::from(call, name).await,
        "PUT" => {
            let put = Put::new(name.clone(), headers.clone(), message_length(headers), body);
            Ok(stored(&match versions::asked(call)? {
                Some(version) => restore(call, put, version).await?,
                None => put::put(call, put).await?,
            }))
        }
        "COPY" => copy::to(call, name).await,
        "POST" if versions::asked(call)?.is_some() => Err(Error::from(VersionError::Post).into()),
        "POST" => Ok(match post::post(call, name, headers).await? {
            Posted::Done => page(StatusCode::ACCEPTED),
            Posted::OnLink { path, etag } => links::redirect(&path, etag.as_deref()),
        }),
        "DELETE" => Ok(versions::deleted(&delete::delete_version(call, name, versions::asked(call)?).await?)),
        _ => Err(Refusal::Method(ALLOWED)),
    }
}

async fn read(call: Call<'_>, name: &ObjectName) -> Result<Response<Body>, Refusal> {
    let newest = is_true(&call.parts.headers, "x-newest");
    let method = if call.parts.method == Method::HEAD { Method::HEAD } else { Method::GET };
    Ok(answered(get::get(call, asked(call, name, method, newest)?).await?))
}

/// What a request reads.
pub(super) fn asked(call: Call<'_>, name: &ObjectName, method: Method, newest: bool) -> Result<Read, Refusal> {
    let query = call.parts.uri.query();
    let (view, as_link, version) = (slo::Asked::of(query).view(), links::as_link(query), versions::asked(call)?);
    Ok(Read { view, as_link, version, ..Read::asked(name.clone(), method, &call.parts.headers, newest) })
}

/// What a read of an object gave, or why it gave nothing: 412 has no body, 416 has the page of its status.
pub(super) fn answered(response: Response<Body>) -> Response<Body> {
    let mut response = shown(response);
    let page = match response.status() {
        // It says by itself that there is no such part.
        StatusCode::RANGE_NOT_SATISFIABLE if response.headers().contains_key(PARTS_COUNT) => return response,
        StatusCode::RANGE_NOT_SATISFIABLE => page(StatusCode::RANGE_NOT_SATISFIABLE),
        StatusCode::PRECONDITION_FAILED | StatusCode::NOT_MODIFIED => Response::new(body::empty()),
        _ => return response,
    };
    response.headers_mut().remove(CONTENT_LENGTH);
    let (parts, body) = page.into_parts();
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = body;
    response
}

/// The answer to a stored object.
pub(super) fn stored(stored: &Stored) -> Response<Body> {
    let Some(etag) = &stored.etag else {
        return page(StatusCode::ACCEPTED);
    };
    let mut response = page(StatusCode::CREATED);
    let values = [(ETAG, etag.clone()), (LAST_MODIFIED, stored.written.http_date())];
    for (name, value) in values {
        // Hexadecimal digits and a date always fit a header.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    versions::tell(response.headers_mut(), VERSION_ID, stored.version);
    response
}

/// A storage server's answer as clients see it: without what is between servers.
pub(super) fn shown(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for name in [CONNECTION, DATE, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers.remove("x-put-timestamp");
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_between_servers_stays_there() {
        let backend = Response::builder()
            .header("date", "now")
            .header("connection", "close")
            .header("x-put-timestamp", "1")
            .header("etag", "abc")
            .body(body::empty());
        let response = shown(backend.unwrap());
        let mut seen: Vec<_> = response.headers().iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
        seen.sort();
        assert_eq!(seen, ["accept-ranges=bytes", "etag=abc"]);
    }

    #[test]
    fn an_unmet_condition_keeps_what_it_says_of_the_object() {
        let backend = |status: u16| {
            let backend = Response::builder().status(status).header("etag", "abc").header("content-length", "9");
            backend.header("content-range", "bytes */9").body(body::full("whatever!")).unwrap()
        };
        let response = answered(backend(416));
        assert_eq!(response.headers()["content-range"], "bytes */9");
        assert_eq!(response.headers()["content-type"], "text/html; charset=UTF-8");
        let response = answered(backend(412));
        assert_eq!(response.headers()["etag"], "abc");
        assert!(response.headers().get("content-length").is_none());
    }

    #[test]
    fn a_newer_version_is_202() {
        let written = "1712345678.12345".parse().unwrap();
        let taken = stored(&Stored { etag: Some("abc".into()), written, ..Stored::default() });
        assert_eq!((taken.status(), &taken.headers()["etag"]), (StatusCode::CREATED, &HeaderValue::from_static("abc")));
        assert_eq!(taken.headers()["last-modified"], "Fri, 05 Apr 2024 19:34:39 GMT");
        assert_eq!(stored(&Stored { written, ..Stored::default() }).status(), StatusCode::ACCEPTED);
    }
}
