use std::sync::Arc;

use super::*;
use crate::db::Databases;
use crate::db::codec::{Decoder, Encoder, Malformed};
use crate::fs::{Devices, Reserve};
use crate::timestamp::Timestamp;

/// A row of a size.
#[derive(Clone, Debug, PartialEq)]
struct Sized(u64);

impl Row for Sized {
    fn encode(&self, to: &mut Encoder) {
        to.number(self.0);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Malformed> {
        from.number().map(Self)
    }

    fn is_deleted(&self) -> bool {
        self.0 == 0
    }

    fn counts(&self, space: PolicyIndex) -> (PolicyIndex, Stats) {
        (space, if self.0 == 0 { Stats::default() } else { Stats { rows: 1, objects: 0, bytes: self.0 } })
    }

    fn merge(&mut self, other: &Self) -> bool {
        let newer = other.0 > self.0;
        self.0 = self.0.max(other.0);
        newer
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_secs(self.0)
    }
}

struct Disk {
    root: tempfile::TempDir,
    databases: Databases,
    salt: HashPath,
}

impl Disk {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let databases = Self::databases(root.path());
        Self { root, databases, salt: HashPath::new("", "end") }
    }

    fn databases(root: &Path) -> Databases {
        Databases::new(Arc::new(Devices::new(root, 2)), Reserve::Bytes(0)).with_copies(true)
    }

    fn id(&self, container: &str) -> ListingId {
        ListingId { kind: Kind::Container, hash: self.salt.container("a", container) }
    }

    /// A container of `many` rows, the last of them deleted.
    async fn fill(&self, container: &'static str, many: u64) -> ListingId {
        let id = self.id(container);
        let database = self.databases.get_writable("d1").await.unwrap();
        let fill = move |tx: &mut crate::db::Transaction<'_>| {
            let mut info = Info::new("a", container, PolicyIndex(0), Timestamp::from_secs(1));
            for size in 0..many {
                let name = format!("o{size}");
                let slot = Slot { listing: id, space: PolicyIndex(0), name: &name };
                table::replace(tx, &mut info, slot, None, &Sized(size));
            }
            info.store(tx, id)
        };
        database.commit::<_, DbError, _>(fill).await.unwrap();
        id
    }

    async fn check(&self, id: ListingId) -> Result<Verdict, DbError> {
        let (database, salt) = (self.databases.get("d1").await?, self.salt.clone());
        database.read_slowly(move |view| check::<Sized>(view, &salt, id, &mut || true)).await
    }

    async fn put(&self, key: Vec<u8>, value: Option<Vec<u8>>) {
        let database = self.databases.get_writable("d1").await.unwrap();
        let change = move |tx: &mut crate::db::Transaction<'_>| {
            match value {
                Some(value) => tx.put(key, value),
                None => tx.delete(key),
            }
            Ok(())
        };
        database.commit::<_, DbError, _>(change).await.unwrap();
    }

    async fn get(&self, key: Vec<u8>) -> Option<Vec<u8>> {
        let database = self.databases.get("d1").await.unwrap();
        database.read::<_, DbError, _>(move |view| view.get(&key)).await.unwrap()
    }
}

#[tokio::test]
async fn a_sound_database_is_left_alone_and_found() {
    let disk = Disk::new();
    let (c, d) = (disk.fill("c", 1200).await, disk.fill("d", 0).await);
    assert_eq!(disk.check(c).await.unwrap(), Verdict::Sound(1200));
    assert_eq!(disk.check(d).await.unwrap(), Verdict::Sound(0));
    assert_eq!(disk.check(disk.id("none")).await.unwrap(), Verdict::Gone);
    let database = disk.databases.get("d1").await.unwrap();
    let found = database.read(|view| databases(view, Kind::Container, None)).await.unwrap();
    assert!(found.len() == 2 && found.is_sorted() && found.contains(&c.hash) && found.contains(&d.hash));
    let (salt, id) = (disk.salt.clone(), c);
    let stopped = database.read_slowly(move |view| check::<Sized>(view, &salt, id, &mut || false)).await;
    assert_eq!(stopped.unwrap(), Verdict::Stopped);
}

#[tokio::test]
async fn whatever_is_changed_lost_or_added_is_noticed_and_put_aside() {
    let disk = Disk::new();
    let other = disk.fill("other", 3).await;
    let policy = PolicyIndex(0);
    for change in 0..7 {
        let id = disk.fill("c", 9).await;
        assert_eq!(disk.check(id).await.unwrap(), Verdict::Sound(9));
        match change {
            0 => disk.put(id.row(policy, false, "o5"), Some(b"?".to_vec())).await,
            1 => disk.put(id.row(policy, false, "o5"), None).await,
            2 => {
                let value = disk.get(id.row(policy, false, "o5")).await;
                disk.put(id.row(policy, false, "o99"), value).await;
            }
            3 => disk.put(id.info(), Some(b"?".to_vec())).await,
            4 => disk.put(id.metadata(), Some(b"?".to_vec())).await,
            5 => disk.put(id.numbers(), Some(b"?".to_vec())).await,
            _ => {
                let value = disk.get(other.info()).await;
                disk.put(id.info(), value).await;
            }
        }
        assert!(matches!(disk.check(id).await.unwrap(), Verdict::Damaged(_)), "change {change}");

        // All of it is in quarantine, none in the listings, and the digests are as if it had never been.
        let database = disk.databases.get("d1").await.unwrap();
        let to = put_aside(&database, id, "for this test").await.unwrap();
        let rows = std::fs::read_to_string(to.join("rows.json")).unwrap();
        assert!(rows.lines().count() >= 9, "change {change}: {rows}");
        assert!(std::fs::read_to_string(to.join(".reason")).unwrap().contains("for this test"));
        assert_eq!(disk.check(id).await.unwrap(), Verdict::Gone);
        assert_eq!(disk.get(id.row(policy, false, "o3")).await, None);
        let count = database.count(Kind::Container, 0).await.unwrap();
        let others = database.read::<_, DbError, _>(move |view| Info::load(view, other)).await.unwrap().unwrap().state;
        assert_eq!(count.table.values().copied().collect::<Vec<_>>(), [others], "change {change}");
    }
    assert_eq!(disk.check(other).await.unwrap(), Verdict::Sound(3));
    assert_eq!(std::fs::read_dir(disk.root.path().join("d1/quarantined/containers")).unwrap().count(), 7);
}

#[tokio::test]
async fn listings_whose_files_are_damaged_go_aside_as_a_whole() {
    let mut disk = Disk::new();
    let id = disk.fill("c", 2000).await;
    // Opened again, the log is written to a table; closed, nobody has it in memory.
    for _ in 0..2 {
        disk.databases.close().await;
        disk.databases = Disk::databases(disk.root.path());
        assert_eq!(disk.check(id).await.unwrap(), Verdict::Sound(2000));
    }
    let listings = disk.root.path().join("d1/listings");
    let is_table = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sst");
    let tables = || std::fs::read_dir(&listings).unwrap().map(|entry| entry.unwrap().path()).filter(is_table);
    for table in tables() {
        let mut bytes = std::fs::read(&table).unwrap();
        for at in (100..bytes.len() / 2).step_by(97) {
            bytes[at] ^= 0x10;
        }
        std::fs::write(&table, bytes).unwrap();
    }

    // It was all remembered; once that is forgotten the disk says what it is.
    let database = disk.databases.get("d1").await.unwrap();
    disk.databases.forget_cached(&database).await;
    drop(database);
    let Err(DbError::Damaged(why)) = disk.check(id).await else { panic!("the damage was not noticed") };
    disk.databases.set_aside("d1", &why).await.unwrap();
    assert_eq!(disk.check(id).await.unwrap(), Verdict::Gone);
    disk.fill("c", 2).await;
    assert_eq!(disk.check(id).await.unwrap(), Verdict::Sound(2));
    let aside = std::fs::read_dir(disk.root.path().join("d1/quarantined/listings")).unwrap().next().unwrap().unwrap();
    assert!(aside.path().join("listings/CURRENT").exists() && aside.path().join(".reason").exists());
}

#[tokio::test]
async fn listings_that_cannot_be_opened_begin_anew_if_there_are_other_copies() {
    let mut disk = Disk::new();
    let id = disk.fill("c", 5).await;
    disk.databases.close().await;
    std::fs::write(disk.root.path().join("d1/listings/CURRENT"), "MANIFEST-999999\n").unwrap();
    disk.databases = Disk::databases(disk.root.path());
    assert_eq!(disk.check(id).await.unwrap(), Verdict::Gone);

    // Another process has them open: they are not damaged.
    let second = Disk::databases(disk.root.path());
    assert!(matches!(second.get("d1").await.map(|_| ()), Err(DbError::Locked(_))));
    assert_eq!(std::fs::read_dir(disk.root.path().join("d1/quarantined/listings")).unwrap().count(), 1);
    // Without other copies they stay.
    disk.databases.close().await;
    std::fs::write(disk.root.path().join("d1/listings/CURRENT"), "MANIFEST-999999\n").unwrap();
    let alone = Disk::databases(disk.root.path()).with_copies(false);
    assert!(matches!(alone.get("d1").await.map(|_| ()), Err(DbError::Damaged(_))));
    assert!(disk.root.path().join("d1/listings/CURRENT").exists());
}
