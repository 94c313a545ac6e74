use super::*;
use apus_base::body::read_to_end;
use futures_util::stream;
use http_body_util::StreamBody;

fn asked(uri: &str) -> String {
    let mut uri: Uri = uri.parse().unwrap();
    ask_for_json(&mut uri);
    uri.to_string()
}

#[test]
fn the_backend_is_asked_for_json_and_everything_else() {
    assert_eq!(asked("/v1/a"), "/v1/a?format=json");
    assert_eq!(
        asked("/v1/a/c?format=xml&prefix=a%20b&&f%6Frmat=x&limit=2"),
        "/v1/a/c?prefix=a%20b&limit=2&format=json"
    );
    assert_eq!(asked("http://host/v1/a?x"), "http://host/v1/a?x&format=json");
}

fn wanted(uri: &str, accept: Option<&str>) -> Result<(Format, bool), StatusCode> {
    let mut request = Request::builder().uri(uri);
    if let Some(accept) = accept {
        request = request.header(ACCEPT, accept);
    }
    let wanted = Wanted::by(&request.body(body::empty()).unwrap());
    wanted.map(|wanted| (wanted.format, wanted.by_accept)).map_err(|refusal| refusal.status())
}

#[test]
fn the_query_comes_before_the_header() {
    assert_eq!(wanted("/?format=JSON", Some("text/xml")), Ok((Format::Json, false)));
    assert_eq!(wanted("/?format=yaml", Some("text/xml")), Ok((Format::Text, false)));
    assert_eq!(wanted("/?format=", Some("text/xml")), Ok((Format::TextXml, false)));
    assert_eq!(wanted("/", Some("application/json")), Ok((Format::Json, true)));
    assert_eq!(wanted("/", None), Ok((Format::Text, true)));
    assert_eq!(wanted("/", Some("image/png")), Err(StatusCode::NOT_ACCEPTABLE));
    assert_eq!(wanted("/", Some("nonsense")), Err(StatusCode::BAD_REQUEST));
    assert_eq!(wanted("/?format=%ff", None), Err(StatusCode::BAD_REQUEST));
}

/// A listing of `rows` names of eleven characters, arriving in pieces of 1000 bytes, cut off at `end`.
fn listing(rows: usize, end: usize) -> Body {
    let names: Vec<_> = (0..rows).map(|i| serde_json::json!({ "name": format!("name-{i:06}") })).collect();
    let text = serde_json::to_vec(&names).unwrap();
    let text = &text[..text.len().min(end)];
    let pieces: Vec<_> = text.chunks(1000).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    StreamBody::new(stream::iter(pieces)).boxed_unsync()
}

async fn as_text(body: Body) -> Response<Body> {
    rendered(Response::new(body), Renderer::new(Listed::Container("c".into()), Format::Text)).await
}

#[tokio::test]
async fn short_listings_have_a_length_and_long_ones_flow() {
    let short = as_text(listing(3, usize::MAX)).await;
    assert_eq!((short.status(), short.body().size_hint().exact()), (StatusCode::OK, Some(36)));
    let long = as_text(listing(40_000, usize::MAX)).await;
    assert_eq!(long.body().size_hint().exact(), None);
    let text = read_to_end(long.into_body(), 1 << 20).await.unwrap();
    assert_eq!((text.len(), &text[text.len() - 12..]), (480_000, &b"name-039999\n"[..]));
}

#[tokio::test]
async fn plain_rows_go_on_as_they_come() {
    let rendered_as = async |format, is_plain: bool| {
        let renderer = Renderer::new(Listed::Container("c".into()), format);
        // A row that is left out wherever rows are looked at.
        let mut response = Response::new(body::full(r#"[{"name":"a"}, {"name":"\u0000b"}]"#));
        if is_plain {
            response.headers_mut().insert("x-backend-plain-rows", HeaderValue::from_static("yes"));
        }
        let rendered = rendered(response, renderer).await;
        assert!(rendered.body().size_hint().exact().is_some());
        String::from_utf8(read_to_end(rendered.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    };
    assert_eq!(rendered_as(Format::Json, true).await, r#"[{"name":"a"}, {"name":"\u0000b"}]"#);
    assert_eq!(rendered_as(Format::Json, false).await, r#"[{"name":"a"}]"#);
    assert_eq!(rendered_as(Format::Text, true).await, "a\n");
}

#[tokio::test]
async fn an_empty_text_is_no_content() {
    for empty in [listing(0, usize::MAX), body::empty()] {
        assert_eq!(as_text(empty).await.status(), StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn a_listing_that_breaks_off_is_never_taken_for_whole() {
    // Before anything was sent there is still a status to say so; afterwards only the connection.
    assert_eq!(as_text(listing(10, 100)).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    let long = as_text(listing(40_000, 800_000)).await;
    assert_eq!(long.status(), StatusCode::OK);
    assert!(read_to_end(long.into_body(), 1 << 20).await.unwrap_err().to_string().contains("ended early"));
}
