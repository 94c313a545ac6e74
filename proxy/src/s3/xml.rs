//! XML as S3 speaks it: writing answers, and reading what clients send into a small tree. Pure.
//!
//! What is read is bounded by the length of the body, which is small, and by [`MAX_DEPTH`]. Document types are refused, so
//! there are no entities but the five that XML has: nothing expands and nothing is fetched.

use http::HeaderValue;
use quick_xml::Reader;
use quick_xml::escape::{partial_escape, resolve_predefined_entity};
use quick_xml::events::{BytesStart, Event};

/// What answers in XML are.
pub const TYPE: HeaderValue = HeaderValue::from_static("application/xml");
/// The namespace of everything but errors.
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
/// The deepest document that S3 knows, a lifecycle rule, has half as many elements in each other.
const MAX_DEPTH: usize = 16;

/// A document that is being written.
pub struct Xml {
    text: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// A document in S3's namespace.
    pub fn new(root: &'static str) -> Self {
        Self { text: format!("{DECLARATION}<{root} xmlns=\"{NAMESPACE}\">"), open: vec![root] }
    }

    /// A document without a namespace.
    pub fn bare(root: &'static str) -> Self {
        Self { text: format!("{DECLARATION}<{root}>"), open: vec![root] }
    }

    /// Begins an element; [`close`](Self::close) ends it.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.open_with(name, "")
    }

    /// Begins an element with attributes, written out.
    pub fn open_with(&mut self, name: &'static str, attributes: &str) -> &mut Self {
        self.text.push('<');
        self.text.push_str(name);
        self.text.push_str(attributes);
        self.text.push('>');
        self.open.push(name);
        self
    }

    /// Ends the element that was begun last.
    pub fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// Text in the element that is open.
    pub fn content(&mut self, text: &str) -> &mut Self {
        for c in partial_escape(text).chars() {
            if c < ' ' && !matches!(c, '\n' | '\t') {
                // XML 1.0 has no place for these, but keys may hold them; this is how AWS writes them.
                self.text.push_str(&format!("&#x{:x};", u32::from(c)));
            } else {
                self.text.push(c);
            }
        }
        self
    }

    /// An element with text.
    pub fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.open(name).content(text).close()
    }

    /// The whole document.
    pub fn end(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }
}

/// An element that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name without a namespace's prefix.
    pub name: String,
    /// The value of its attribute `type`, whose prefix is that of the schema instance's namespace.
    pub kind: Option<String>,
    /// Its own text.
    pub text: String,
    /// What is in it.
    pub children: Vec<Node>,
}

/// Text that is no document of S3's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the XML is not what it should be")]
pub struct BadXml;

impl Node {
    /// Reads a document whose root has this name.
    ///
    /// # Errors
    /// When it is not well-formed, has another root, has a document type, or is too deep.
    pub fn parse(text: &[u8], root: &str) -> Result<Self, BadXml> {
        let text = std::str::from_utf8(text).map_err(|_| BadXml)?;
        let mut reader = Reader::from_str(text);
        let mut open: Vec<Self> = Vec::new();
        let mut whole = None;
        loop {
            match reader.read_event().map_err(|_| BadXml)? {
                Event::Start(start) if whole.is_none() && open.len() < MAX_DEPTH => open.push(Self::begun(&start)?),
                Event::Empty(start) if whole.is_none() && open.len() < MAX_DEPTH => {
                    close(Self::begun(&start)?, &mut open, &mut whole);
                }
                Event::End(_) => close(open.pop().ok_or(BadXml)?, &mut open, &mut whole),
                Event::Text(piece) => add(&mut open, &piece)?,
                Event::CData(piece) => add(&mut open, &piece)?,
                Event::GeneralRef(name) => {
                    let character = name.resolve_char_ref().map_err(|_| BadXml)?;
                    let text = character.map(String::from).or(resolve_predefined_entity(&name).map(str::to_owned));
                    add(&mut open, &text.ok_or(BadXml)?)?;
                }
                Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Start(_) | Event::Empty(_) | Event::DocType(_) => return Err(BadXml),
                Event::Eof if open.is_empty() => break,
                Event::Eof => return Err(BadXml),
            }
        }
        whole.filter(|whole: &Self| whole.name == root).ok_or(BadXml)
    }

    fn begun(start: &BytesStart<'_>) -> Result<Self, BadXml> {
        let mut node = Self { name: start.local_name().as_ref().to_owned(), ..Self::default() };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|_| BadXml)?;
            if attribute.key.local_name().as_ref() == "type" {
                node.kind = Some(attribute.value.into_owned());
            }
        }
        Ok(node)
    }

    /// The only child of that name; `None` if there is none.
    ///
    /// # Errors
    /// When there are several.
    pub fn child(&self, name: &str) -> Result<Option<&Self>, BadXml> {
        let mut named = self.children.iter().filter(|child| child.name == name);
        let first = named.next();
        if named.next().is_some() { Err(BadXml) } else { Ok(first) }
    }

    /// The text of the only child of that name.
    ///
    /// # Errors
    /// When there is none, or several.
    pub fn required(&self, name: &str) -> Result<&str, BadXml> {
        self.child(name)?.map(|child| child.text.as_str()).ok_or(BadXml)
    }

    /// All children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// # Errors
    /// When there are children of other names.
    pub fn only(&self, names: &[&str]) -> Result<(), BadXml> {
        let known = self.children.iter().all(|child| names.contains(&child.name.as_str()));
        if known { Ok(()) } else { Err(BadXml) }
    }
}

fn close(node: Node, open: &mut [Node], whole: &mut Option<Node>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(node),
        None => *whole = Some(node),
    }
}

/// Adds text to the innermost element; around the root there may be only space.
fn add(open: &mut [Node], text: &str) -> Result<(), BadXml> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(BadXml),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_document_is_read() {
        let text = "<?xml version=\"1.0\"?>\n<!-- c --><Delete xmlns=\"x\"><Object><Key>a&amp;b&#65;<![CDATA[<c>]]></Key></Object>\
            <Quiet/></Delete>";
        let node = Node::parse(text.as_bytes(), "Delete").unwrap();
        assert_eq!(node.all("Object").next().unwrap().required("Key"), Ok("a&bA<c>"));
        assert_eq!(node.child("Quiet").unwrap().unwrap().text, "");
        assert!(node.only(&["Object"]).is_err() && node.only(&["Object", "Quiet"]).is_ok());
    }

    #[test]
    fn bombs_and_fragments_are_refused() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"ha\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>";
        let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
        for text in
            [bomb, &deep, "", "<a>", "<a></b>", "<a/><a/>", "x<a/>", "<a>&x;</a>", "<b/>", "<a b></a>", "<a>\u{0}"]
        {
            assert_eq!(Node::parse(text.as_bytes(), "a"), Err(BadXml), "{text}");
        }
        assert!(Node::parse(b"<a>\xff</a>", "a").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[ -~é☃]{0,20}", other in "[a-z<>&\"']{0,9}") {
            let mut xml = Xml::new("a");
            xml.text("b", &text).open("c").text("d", &other);
            let node = Node::parse(xml.end().as_bytes(), "a").unwrap();
            prop_assert_eq!(node.required("b"), Ok(text.as_str()));
            prop_assert_eq!(node.child("c").unwrap().unwrap().required("d"), Ok(other.as_str()));
        }

        #[test]
        fn anything_is_read_or_refused(text in "(<|>|/|a|&|;|#|x|1|!|\\?|-|\\[|\\]|CDATA|DOCTYPE|\"| |=){0,40}|\\PC{0,40}") {
            let _ = Node::parse(text.as_bytes(), "a");
        }
    }
}
