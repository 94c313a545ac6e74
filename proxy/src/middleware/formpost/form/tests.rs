use super::*;
use apus_base::body::{full, read_to_end};
use futures_util::stream;
use http_body_util::StreamBody;
use proptest::prelude::*;

const BOUNDARY: &str = "X-b";

/// A body of these pieces that counts how many were taken.
fn counted(pieces: Vec<Bytes>) -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&taken);
    let frames = pieces.into_iter().map(move |piece| {
        counter.fetch_add(1, Ordering::Relaxed);
        Ok(Frame::data(piece))
    });
    (StreamBody::new(stream::iter(frames)).boxed_unsync(), taken)
}

fn in_pieces(bytes: &[u8], size: usize) -> Body {
    counted(bytes.chunks(size).map(Bytes::copy_from_slice).collect()).0
}

/// The form of these contents.
fn written(contents: &[Vec<u8>]) -> Vec<u8> {
    let mut form = Vec::new();
    for content in contents {
        form.extend_from_slice(b"--X-b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n");
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--X-b--\r\n");
    form
}

async fn read(body: Body) -> Result<Vec<Vec<u8>>, Broken> {
    let (mut form, mut contents) = (Form::new(body, BOUNDARY), Vec::new());
    while let Some(part) = form.next().await? {
        contents.push(part.text(usize::MAX).await?);
    }
    Ok(contents)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[tokio::test]
async fn a_file_passes_piece_by_piece() {
    let mut pieces = vec![Bytes::from_static(b"--X-b\r\nContent-Disposition: form-data; filename=f\r\n\r\n")];
    pieces.extend(std::iter::repeat_n(Bytes::from(vec![b'x'; 1000]), 500));
    pieces.push(Bytes::from_static(b"\r\n--X-b--"));
    let (body, taken) = counted(pieces);
    let mut form = Form::new(body, BOUNDARY);
    let part = form.next().await.unwrap().unwrap();
    let mut file = part.into_file(1_000_000, Reason::default());
    let mut given = 0;
    while let Some(frame) = file.frame().await {
        given += frame.unwrap().data_ref().unwrap().len();
        // What was taken and not given is a boundary's worth.
        assert!(taken.load(Ordering::Relaxed) * 1000 <= given + 3000);
    }
    assert_eq!(given, 500_000);
    drop(file);
    assert!(form.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_file_that_breaks_says_why_to_both() {
    let form = written(&[b"12345".to_vec()]);
    for (bytes, max, whole, why) in [
        (&form[..], 5, true, None),
        (&form[..], 4, false, Some("max_file_size exceeded")),
        (&form[..form.len() - 9], 5, false, Some("field \"n\" received with incomplete data")),
    ] {
        let mut parts = Form::new(full(bytes.to_vec()), BOUNDARY);
        let reason = Reason::default();
        let file = parts.next().await.unwrap().unwrap().into_file(max, reason.clone());
        assert_eq!(read_to_end(file, 100).await.is_ok(), whole);
        assert_eq!(reason.take().map(|broken| broken.to_string()).as_deref(), why);
    }
}

#[tokio::test]
async fn as_much_of_a_field_is_kept_as_counts() {
    let mut form = Form::new(in_pieces(&written(&[b"123456789".to_vec(), b"next".to_vec()]), 4), BOUNDARY);
    assert_eq!(form.next().await.unwrap().unwrap().text(5).await.unwrap(), b"12345");
    assert_eq!(form.next().await.unwrap().unwrap().text(5).await.unwrap(), b"next");
}

#[tokio::test]
async fn nothing_without_an_end_is_collected() {
    for start in ["", "--X-b\r\nA: "] {
        let mut pieces = vec![Bytes::from_static(start.as_bytes())];
        pieces.extend(std::iter::repeat_n(Bytes::from(vec![b'x'; 1000]), 1000));
        let (body, taken) = counted(pieces);
        assert!(matches!(read(body).await, Err(Broken::Body(BodyError::TooLong(_)))));
        assert!(taken.load(Ordering::Relaxed) < 70);
    }
}

proptest! {
    #[test]
    fn contents_come_back_however_the_pieces_fall(
        contents in proptest::collection::vec("(\r\n|-|--|X-b|\r|\n|--X-|[a-z]|\u{1}){0,12}", 0..5),
        size in 1usize..60,
    ) {
        let contents: Vec<Vec<u8>> = contents.into_iter().map(String::into_bytes).collect();
        let is_clear = |content: &Vec<u8>| !format!("\r\n{}", String::from_utf8_lossy(content)).contains("\r\n--X-b");
        prop_assume!(contents.iter().all(is_clear));
        prop_assert_eq!(block_on(read(in_pieces(&written(&contents), size))).unwrap(), contents);
    }

    #[test]
    fn any_bytes_are_a_form_or_none(bytes in "(--X-b|\r\n|\r|-|[a-z:; =\"]|filename|Content-Disposition){0,40}", size in 1usize..9) {
        let _ = block_on(read(in_pieces(bytes.as_bytes(), size)));
    }
}
