//! Which format an answer shall have: a listing by the query's `format`, or else, as reports of many operations, by the
//! request's `Accept`.

/// The formats of listings and reports, in the order in which they are preferred where a client does not care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines.
    Text,
    /// JSON.
    Json,
    /// `application/xml`.
    Xml,
    /// The same as `Xml` under its other name.
    TextXml,
}

/// Why there is no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoFormat {
    /// None that the client accepts: 406.
    NotAcceptable,
    /// `Accept` makes no sense: 400.
    Malformed,
}

const ALL: [Format; 4] = [Format::Text, Format::Json, Format::Xml, Format::TextXml];

impl Format {
    /// The media type, without a charset.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Xml => "application/xml",
            Self::TextXml => "text/xml",
        }
    }

    /// What `?format=` means; unknown names mean text.
    pub fn named(name: &str) -> Self {
        match name.to_lowercase().as_str() {
            "json" => Self::Json,
            "xml" => Self::Xml,
            _ => Self::Text,
        }
    }
}

/// One media range of an `Accept`.
struct Range<'a> {
    main: &'a str,
    sub: &'a str,
    quality: f64,
}

impl Range<'_> {
    fn is_exact(&self) -> bool {
        self.main != "*" && self.sub != "*"
    }

    fn fits(&self, format: Format) -> bool {
        let (main, sub) = format.media_type().split_once('/').unwrap_or_default();
        (self.main == "*" || self.main == main) && (self.sub == "*" || self.sub == sub)
    }
}

/// The first format that fits the range of the highest quality; of equal ranges those without `*` come first, then
/// those that are written first. As in Swift, a quality of 0 is merely the lowest.
///
/// # Errors
/// When none fits, or the header cannot be read.
pub fn best(accept: &str) -> Result<Format, NoFormat> {
    if accept.is_empty() {
        return Ok(Format::Text);
    }
    let ranges: Option<Vec<Range<'_>>> = accept.split(',').map(range).collect();
    let mut ranges = ranges.ok_or(NoFormat::Malformed)?;
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality).then(b.is_exact().cmp(&a.is_exact())));
    let fitting = |range: &Range<'_>| ALL.into_iter().find(|format| range.fits(*format));
    ranges.iter().find_map(fitting).ok_or(NoFormat::NotAcceptable)
}

/// Whether some range fits the format.
pub(super) fn allows(accept: &str, format: Format) -> bool {
    accept.is_empty() || accept.split(',').filter_map(range).any(|range| range.fits(format))
}

/// Reads `main/sub;name=value;q=0.5`.
fn range(text: &str) -> Option<Range<'_>> {
    let mut pieces = text.split(';');
    let (main, sub) = pieces.next()?.trim().split_once('/')?;
    if !is_token(main) || !is_token(sub) {
        return None;
    }
    let mut quality = None;
    for piece in pieces {
        let (name, value) = piece.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if !is_token(name) || !(is_token(value) || is_quoted(value)) {
            return None;
        }
        if name == "q" {
            let number = value.parse().ok().filter(|number: &f64| number.is_finite())?;
            if quality.replace(number).is_some() {
                return None;
            }
        }
    }
    Some(Range { main, sub, quality: quality.unwrap_or(1.0) })
}

/// RFC 2616's token: no controls, spaces or separators.
fn is_token(text: &str) -> bool {
    let is_separator = |c: char| c <= ' ' || c == '\x7f' || "()<>@,;:\"/[]?={}".contains(c);
    !text.is_empty() && !text.contains(is_separator)
}

fn is_quoted(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains(['"', '\\', '=']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_best_range_wins() {
        for (accept, format) in [
            ("", Format::Text),
            ("*/*", Format::Text),
            ("application/*", Format::Json),
            ("text/xml", Format::TextXml),
            ("application/xml, application/json", Format::Xml),
            ("text/plain;q=0.2, application/json;q=0.9", Format::Json),
            ("*/*, application/xml", Format::Xml),
            ("*/*;q=0.9, application/xml;q=0.8", Format::Text),
            ("image/png, */xml", Format::Xml),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Format::Xml),
            (" application/json ; charset=\"utf-8\" ; q = .5 ", Format::Json),
            ("application/json;q=0", Format::Json),
            ("application/json;Q=0.1,text/plain", Format::Json),
        ] {
            assert_eq!(best(accept), Ok(format), "{accept:?}");
        }
    }

    #[test]
    fn what_is_not_acceptable_and_what_is_no_header() {
        for accept in ["image/png", "text/html, image/*", "application/JSON", "te*t/plain"] {
            assert_eq!(best(accept), Err(NoFormat::NotAcceptable), "{accept:?}");
        }
        for accept in
            ["json", "/json", "text/", "text/plain,", "text/plain;", "text/plain;q", "text/plain;q=x", "*/*;q=1;q=1"]
        {
            assert_eq!(best(accept), Err(NoFormat::Malformed), "{accept:?}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_refused(accept in "[a-z*/;=,q.0-9\" ]{0,40}|\\PC{0,20}", name in "\\PC{0,9}") {
            let _ = (best(&accept), Format::named(&name));
        }
    }
}
