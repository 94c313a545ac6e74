use super::*;
use crate::ops::bulk::pax::tests::written;
use proptest::prelude::*;

/// A member as `tar` writes it: header, bytes, padding.
fn member(path: &str, kind: EntryType, bytes: &[u8]) -> Vec<u8> {
    sized(path, kind, bytes.len() as u64, bytes)
}

fn sized(path: &str, kind: EntryType, size: u64, bytes: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_cksum();
    let padding = vec![0; (512 - bytes.len() % 512) % 512];
    [header.as_bytes().as_slice(), bytes, &padding].concat()
}

const END: [u8; 1024] = [0; 1024];

/// What is in an archive: names, kinds and bytes.
async fn read(archive: &[u8]) -> (Vec<(String, Kind, Vec<u8>)>, Result<(), Broken>) {
    let mut archive = Archive::new(archive);
    let mut found = Vec::new();
    let ended = async {
        while let Some(member) = archive.next().await? {
            let mut bytes = Vec::new();
            while let Some(chunk) = archive.chunk().await? {
                bytes.extend_from_slice(&chunk);
            }
            found.push((String::from_utf8_lossy(&member.path).into_owned(), member.kind, bytes));
        }
        Ok(())
    };
    let ended = ended.await;
    (found, ended)
}

async fn broken(archive: &[u8]) -> Broken {
    read(archive).await.1.unwrap_err()
}

#[tokio::test]
async fn files_folders_and_long_names() {
    let big = vec![7; 200_000];
    let long = "d/".repeat(90) + "f";
    let archive = [
        member("d/", EntryType::Directory, b""),
        member("d/a", EntryType::Regular, b"abc"),
        member("old/", EntryType::Regular, b""),
        // Folders and links have no bytes, whatever they say.
        sized("l", EntryType::Symlink, 99, b""),
        member("././@LongLink", EntryType::GNULongName, format!("{long}\0").as_bytes()),
        member("d/d/", EntryType::Regular, &big),
        member("pax", EntryType::XHeader, &written("path", "ü".as_bytes())),
        member("x", EntryType::Continuous, b""),
        member("s", EntryType::GNUSparse, b"map"),
        END.to_vec(),
        b"rest".to_vec(),
    ];
    let (found, ended) = read(&archive.concat()).await;
    let expected = [
        ("d/".to_owned(), Kind::Other, Vec::new()),
        ("d/a".into(), Kind::File, b"abc".to_vec()),
        ("old/".into(), Kind::Other, Vec::new()),
        ("l".into(), Kind::Other, Vec::new()),
        (long, Kind::File, big),
        ("ü".into(), Kind::File, Vec::new()),
        ("s".into(), Kind::Sparse, b"map".to_vec()),
    ];
    assert_eq!((found, ended), (expected.to_vec(), Ok(())));
}

#[tokio::test]
async fn what_is_not_read_is_left_behind() {
    let bytes = [member("a", EntryType::Regular, &[1; 2000]), member("b", EntryType::Regular, b"b")].concat();
    let mut archive = Archive::new(bytes.as_slice());
    assert_eq!(archive.next().await.unwrap().unwrap().path, b"a");
    assert_eq!(archive.next().await.unwrap().unwrap().path, b"b");
    // An archive may end without saying so.
    assert_eq!(archive.next().await, Ok(None));
}

#[tokio::test]
async fn a_global_header_is_for_all_that_follow() {
    let global = written("SCHILY.xattr.user.mime_type", b"a/b");
    let own = written("SCHILY.xattr.user.mime_type", b"c/d");
    let bytes = [
        member("g", EntryType::XGlobalHeader, &global),
        member("a", EntryType::Regular, b""),
        member("x", EntryType::XHeader, &own),
        member("b", EntryType::Regular, b""),
        member("c", EntryType::Regular, b""),
    ];
    let bytes = bytes.concat();
    let mut archive = Archive::new(bytes.as_slice());
    for kind in [b"a/b", b"c/d", b"a/b"] {
        let member = archive.next().await.unwrap().unwrap();
        assert_eq!(member.extension.mime_type.as_deref(), Some(&kind[..]));
    }
}

#[tokio::test]
async fn what_is_no_archive_says_so() {
    assert_eq!(broken(b"").await, Broken::Empty);
    assert_eq!(broken(b"short").await, Broken::Truncated);
    assert_eq!(broken(&[b'x'; 512]).await, Broken::Checksum);
    let file = member("a", EntryType::Regular, &[1; 2000]);
    for cut in [513, 600, 512 + 2000, 512 + 2047] {
        let and_next = [&file[..cut]].concat();
        assert_eq!(broken(&and_next).await, Broken::Truncated, "{cut}");
    }
    let mut damaged = [file, member("b", EntryType::Regular, b"")].concat();
    let second = damaged.len() - 512;
    damaged[second] = b'B';
    let (found, ended) = read(&damaged).await;
    assert_eq!((found.len(), ended), (1, Err(Broken::Checksum)));
}

#[tokio::test]
async fn absurd_headers_cost_nothing() {
    // Claims of sizes that nobody has.
    let mut huge = Header::new_gnu();
    huge.set_size(u64::MAX);
    huge.set_entry_type(EntryType::XHeader);
    huge.set_cksum();
    assert_eq!(broken(huge.as_bytes()).await, Broken::LongExtension);
    huge.set_entry_type(EntryType::Regular);
    huge.set_cksum();
    assert!(matches!(broken(huge.as_bytes()).await, Broken::Header | Broken::Truncated));
    assert_eq!(broken(&sized("x", EntryType::GNULongName, (1 << 20) + 1, b"")).await, Broken::LongExtension);
    // Extended headers without end.
    let many = member("x", EntryType::XHeader, &written("comment", b"x")).repeat(20);
    assert_eq!(broken(&many).await, Broken::LongExtension);
    let mut nonsense = Header::new_ustar();
    nonsense.as_old_mut().size = *b"12 monkeys!!";
    nonsense.set_cksum();
    assert_eq!(broken(nonsense.as_bytes()).await, Broken::Header);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #[test]
    fn what_was_written_comes_back(files in proptest::collection::vec(("[a-z/]{1,90}f", proptest::collection::vec(any::<u8>(), 0..1500)), 0..6)) {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, bytes) in &files {
            let mut header = Header::new_ustar();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(bytes.len() as u64);
            header.set_entry_type(EntryType::Regular);
            header.set_cksum();
            builder.append(&header, bytes.as_slice()).unwrap();
        }
        let (found, ended) = runtime().block_on(read(&builder.into_inner().unwrap()));
        let expected: Vec<_> = files.into_iter().map(|(path, bytes)| (path, Kind::File, bytes)).collect();
        prop_assert_eq!((found, ended), (expected, Ok(())));
    }

    #[test]
    fn any_bytes_are_read_or_refused(kind in any::<u8>(), size in any::<[u8; 12]>(), rest in proptest::collection::vec(any::<u8>(), 0..1600)) {
        let mut header = Header::new_gnu();
        header.as_old_mut().size = size;
        header.as_old_mut().linkflag = [kind];
        header.set_cksum();
        let bytes = [header.as_bytes().as_slice(), &rest].concat();
        let _ = runtime().block_on(read(&bytes));
    }
}
