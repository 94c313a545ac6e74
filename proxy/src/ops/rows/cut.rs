//! Cuts a JSON array of objects, as it arrives, into the texts of its objects, without reading them.

/// A listing's row with names and metadata at their limits, every character escaped, is a tenth of this.
const MAX_ROW_BYTES: usize = 256 * 1024;

/// Where in the array the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    Between,
    /// In a row, so many brackets deep.
    Row(u32),
    /// In a text of a row.
    Text(u32),
    /// After a backslash in a text of a row.
    Escape(u32),
    After,
}

/// The cutter.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    place: Place,
    /// The beginning of a row whose end has not arrived.
    pending: Vec<u8>,
}

/// A listing that is no array of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadListing {
    #[error("a listing is no JSON array of objects")]
    Shape,
    #[error("a listing has a row of more than {MAX_ROW_BYTES} bytes")]
    RowTooLong,
    #[error("a row of a listing cannot be read")]
    Row,
    #[error("a listing ended early")]
    Short,
}

impl Rows {
    /// Takes the next piece and hands each row that ends in it to `row`.
    pub(crate) fn feed(
        &mut self,
        piece: &[u8],
        mut row: impl FnMut(&[u8]) -> Result<(), BadListing>,
    ) -> Result<(), BadListing> {
        let (mut start, mut at) = (0, 0);
        while let Some(&byte) = piece.get(at) {
            if matches!(self.place, Place::Text(_)) {
                // Most of a listing is texts, whose ends are found many bytes at once.
                match memchr::memchr2(b'"', b'\\', &piece[at..]) {
                    Some(0) => {}
                    Some(skipped) => {
                        at += skipped;
                        continue;
                    }
                    None => break,
                }
            }
            let next = step(self.place, byte).ok_or(BadListing::Shape)?;
            match (self.place, next) {
                (Place::Between, Place::Row(_)) => start = at,
                (Place::Row(_), Place::Between) => {
                    self.finish(&piece[start..=at], &mut row)?;
                }
                _ => {}
            }
            self.place = next;
            at += 1;
        }
        if matches!(self.place, Place::Row(_) | Place::Text(_) | Place::Escape(_)) {
            self.keep(&piece[start..])?;
        }
        Ok(())
    }

    fn finish(&mut self, end: &[u8], row: &mut impl FnMut(&[u8]) -> Result<(), BadListing>) -> Result<(), BadListing> {
        if self.pending.is_empty() {
            return row(end);
        }
        self.keep(end)?;
        row(&std::mem::take(&mut self.pending))
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), BadListing> {
        if self.pending.len() + part.len() > MAX_ROW_BYTES {
            return Err(BadListing::RowTooLong);
        }
        self.pending.extend_from_slice(part);
        Ok(())
    }

    /// To be called when no more comes. Nothing at all is an empty listing.
    pub(crate) fn end(&self) -> Result<(), BadListing> {
        if matches!(self.place, Place::Before | Place::After) { Ok(()) } else { Err(BadListing::Short) }
    }
}

fn step(place: Place, byte: u8) -> Option<Place> {
    Some(match (place, byte) {
        (Place::Escape(depth), _) => Place::Text(depth),
        (Place::Text(depth), b'\\') => Place::Escape(depth),
        (Place::Text(depth), b'"') => Place::Row(depth),
        (Place::Text(depth), _) => Place::Text(depth),
        (Place::Row(depth), b'"') => Place::Text(depth),
        (Place::Row(depth), b'{' | b'[') => Place::Row(depth.checked_add(1)?),
        (Place::Row(1), b'}' | b']') => Place::Between,
        (Place::Row(depth), b'}' | b']') => Place::Row(depth - 1),
        (Place::Row(depth), _) => Place::Row(depth),
        (place, b' ' | b'\t' | b'\r' | b'\n') => place,
        (Place::Before, b'[') | (Place::Between, b',') => Place::Between,
        (Place::Between, b'{') => Place::Row(1),
        (Place::Between, b']') => Place::After,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn cut(text: &[u8], pieces: usize) -> Result<Vec<String>, BadListing> {
        let (mut rows, mut found) = (Rows::default(), Vec::new());
        for piece in text.chunks(pieces.max(1)) {
            rows.feed(piece, |row| {
                found.push(String::from_utf8_lossy(row).into_owned());
                Ok(())
            })?;
        }
        rows.end().map(|()| found)
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(cut(b"", 1), Ok(vec![]));
        assert_eq!(cut(b" [ ] \n", 2), Ok(vec![]));
        for text in ["{}", "[1]", "[]]", "null", "[{}]x", "[\"a\"]"] {
            assert_eq!(cut(text.as_bytes(), 3), Err(BadListing::Shape), "{text}");
        }
        for text in ["[", "[{", "[{\"a\\\"}]", "[{},"] {
            assert_eq!(cut(text.as_bytes(), 3), Err(BadListing::Short), "{text}");
        }
        let long = format!("[{{\"name\":\"{}\"}}]", "x".repeat(MAX_ROW_BYTES));
        assert_eq!(cut(long.as_bytes(), 100), Err(BadListing::RowTooLong));
    }

    proptest! {
        #[test]
        fn every_row_comes_out_however_the_pieces_fall(names in proptest::collection::vec("\\PC{0,9}|[\"\\\\{}\\[\\],]{0,9}", 0..9), piece in 1usize..40, spaced: bool) {
            let rows: Vec<Value> = names.iter().map(|name| json!({ "name": name, "x": [{ "y": name }], "bytes": 1 })).collect();
            let text = if spaced { serde_json::to_string_pretty(&rows) } else { serde_json::to_string(&rows) }.unwrap();
            let found = cut(text.as_bytes(), piece).unwrap();
            let found: Vec<Value> = found.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn any_bytes_are_cut_or_refused(text in "[\\[\\]{}\"\\\\, a]{0,40}", piece in 1usize..9) {
            let _ = cut(text.as_bytes(), piece);
        }
    }
}
