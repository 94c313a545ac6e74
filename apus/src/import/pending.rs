//! The `.pending` file beside a database: rows that Swift took and had not yet put in when it stopped.
//!
//! Records of base64, each with a colon before it; in each a pickled tuple (`put_record` in `swift/common/db.py`). Swift merges
//! the file when it reaches 128 KiB, so one far beyond that is none of its making.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use apus_base::db::Kind;
use apus_base::pickle;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::rows::{self, AnyRow};

/// The longest file that is read: a hundred times what Swift lets it grow to.
const MAX_BYTES: u64 = 16 << 20;

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) rows: Vec<AnyRow>,
    /// What is wrong with records that cannot be read; Swift passes over them, too.
    pub(super) bad: Vec<String>,
}

/// Reads the file beside the database that is called `<hash>.db`; nothing if there is none.
///
/// # Errors
/// What the disk says, or that it is too long.
pub(super) fn read(folder: &Path, hash: &str, kind: Kind) -> io::Result<Pending> {
    let mut bytes = Vec::new();
    let file = match File::open(path(folder, hash)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Pending::default()),
        file => file?,
    };
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the .pending file is too long to be one of Swift's"));
    }
    Ok(parse(&bytes, kind))
}

/// Where it is: also a divided container has only one.
pub(super) fn path(folder: &Path, hash: &str) -> PathBuf {
    folder.join(format!("{hash}.db.pending"))
}

fn parse(bytes: &[u8], kind: Kind) -> Pending {
    let mut pending = Pending::default();
    let records = bytes.split(|byte| *byte == b':').filter(|record| !record.trim_ascii().is_empty());
    for (place, record) in (0..).zip(records) {
        match row(record, place, kind) {
            Ok(row) => pending.rows.push(row),
            Err(why) => pending.bad.push(why),
        }
    }
    pending
}

fn row(record: &[u8], place: u64, kind: Kind) -> Result<AnyRow, String> {
    let pickled = STANDARD.decode(record.trim_ascii()).map_err(|error| error.to_string())?;
    let value = pickle::loads(&pickled).map_err(|error| error.to_string())?;
    let row = match kind {
        Kind::Account => rows::pending_container(&value, place),
        Kind::Container => rows::pending_object(&value),
    };
    row.map_err(|bad| bad.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::pickle::Value;
    use proptest::prelude::*;

    fn record(name: &str) -> String {
        let text = |text: &str| Value::Str(text.to_owned());
        let items = vec![text(name), text("1712345678.00000"), Value::Int(5), text("a/b"), text("e"), Value::Int(0)];
        format!(":{}", STANDARD.encode(pickle::dumps(&Value::Tuple(items))))
    }

    #[test]
    fn what_cannot_be_read_does_not_hide_the_rest() {
        let file = format!("{}:nonsense{}", record("é"), record("b"));
        let pending = parse(file.as_bytes(), Kind::Container);
        let names: Vec<_> = pending.rows.iter().map(AnyRow::name).collect();
        assert_eq!((names, pending.bad.len()), (vec!["é", "b"], 1));
        // A record that was being written when the machine went down.
        let cut = parse(&file.as_bytes()[..file.len() - 3], Kind::Container);
        assert_eq!((cut.rows.len(), cut.bad.len()), (1, 2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in [Kind::Account, Kind::Container] {
                parse(&bytes, kind);
                parse(&[b":", STANDARD.encode(&bytes).as_bytes()].concat(), kind);
            }
        }
    }
}
