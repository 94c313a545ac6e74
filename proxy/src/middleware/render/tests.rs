use super::*;
use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Value, json};

fn rendered(listed: &Listed, format: Format, rows: &[Value]) -> String {
    let mut renderer = Renderer::new(listed.clone(), format);
    let mut out = Vec::new();
    for row in rows {
        renderer.row(row.to_string().as_bytes(), &mut out).unwrap();
    }
    renderer.end(&mut out);
    String::from_utf8(out).unwrap()
}

fn account() -> Listed {
    Listed::Account("AUTH_<a>".into())
}

fn container() -> Listed {
    Listed::Container("c\"\n".into())
}

#[test]
fn an_account_in_each_form() {
    let rows = [
        json!({ "name": "c&1", "count": 2, "bytes": 3, "last_modified": "2026-11-21T03:17:50.123450" }),
        json!({ "subdir": "d/" }),
        json!({ "name": "p", "count": 0, "bytes": 0, "last_modified": "x", "storage_policy": "gold" }),
    ];
    assert_eq!(rendered(&account(), Format::Text, &rows), "c&1\nd/\np\n");
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<account name=\"AUTH_&lt;a&gt;\">\n\
        <container><name>c&amp;1</name><count>2</count><bytes>3</bytes>\
        <last_modified>2026-11-21T03:17:50.123450</last_modified></container>\n\
        <subdir name=\"d/\" />\n\
        <container><name>p</name><count>0</count><bytes>0</bytes><last_modified>x</last_modified>\
        <storage_policy>gold</storage_policy></container>\n</account>";
    assert_eq!(rendered(&account(), Format::Xml, &rows), expected);
}

#[test]
fn a_container_in_each_form() {
    let rows = [
        json!({ "name": "o", "hash": "abc", "bytes": 3, "content_type": "text/plain", "last_modified": "x" }),
        json!({ "subdir": "☃/" }),
        json!({ "name": "empty\r", "hash": "", "bytes": 0, "content_type": "", "last_modified": "x" }),
    ];
    assert_eq!(rendered(&container(), Format::Text, &rows), "o\n☃/\nempty\r\n");
    let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<container name=\"c&quot;&#10;\">\
        <object><name>o</name><hash>abc</hash><bytes>3</bytes><content_type>text/plain</content_type>\
        <last_modified>x</last_modified></object><subdir name=\"☃/\"><name>☃/</name></subdir>\
        <object><name>empty&#13;</name><hash /><bytes>0</bytes><content_type />\
        <last_modified>x</last_modified></object></container>";
    assert_eq!(rendered(&container(), Format::TextXml, &rows), expected);
    let json = rendered(&container(), Format::Json, &rows);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!(rows));
}

#[test]
fn nothing_in_each_form() {
    let empty = |listed: &Listed, format| rendered(listed, format, &[]);
    assert_eq!((empty(&account(), Format::Text), empty(&account(), Format::Json)), (String::new(), "[]".into()));
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
    assert_eq!(empty(&account(), Format::Xml), format!("{head}<account name=\"AUTH_&lt;a&gt;\">\n</account>"));
    assert_eq!(empty(&container(), Format::Xml), format!("{head}<container name=\"c&quot;&#10;\" />"));
}

#[test]
fn reserved_names_are_left_out() {
    // The escape in the last name is one of a backslash, not of the reserved byte.
    let rows = [
        json!({ "name": "\0versions" }),
        json!({ "subdir": "a\0" }),
        json!({ "name": "kept" }),
        json!({ "name": "\\u0000" }),
    ];
    assert_eq!(rendered(&container(), Format::Text, &rows), "kept\n\\u0000\n");
    let json = rendered(&account(), Format::Json, &rows);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), json!([{ "name": "kept" }, { "name": "\\u0000" }]));
}

#[test]
fn a_row_that_is_none_is_refused() {
    let mut renderer = Renderer::new(container(), Format::Text);
    for row in ["{\"name\":1}", "{\"name\":\"\\ud800\"}", "{]", ""] {
        assert_eq!(renderer.row(row.as_bytes(), &mut Vec::new()), Err(BadListing::Row), "{row}");
    }
}

/// The texts of all `name` elements, as a parser reads them.
fn names(xml: &str) -> Vec<String> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut open) = (Vec::new(), None::<String>);
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) if tag.name().as_ref() == "name" => open = Some(String::new()),
            Event::End(tag) if tag.name().as_ref() == "name" => found.extend(open.take()),
            Event::Empty(tag) if tag.name().as_ref() == "name" => found.push(String::new()),
            Event::Text(text) => open.iter_mut().for_each(|name| name.push_str(&text)),
            Event::GeneralRef(entity) => open.iter_mut().for_each(|name| {
                let character = entity.resolve_char_ref().unwrap();
                let named = || quick_xml::escape::resolve_predefined_entity(&entity).unwrap().to_owned();
                name.push_str(&character.map_or_else(named, |c| c.to_string()));
            }),
            Event::Eof => return found,
            _ => {}
        }
    }
}

proptest! {
    #[test]
    fn any_name_comes_back_from_every_form(name in "\\PC{0,12}|[&<>\"' \t\r\n\x01-\x1f]{0,12}", listed: bool) {
        let listed = if listed { account() } else { container() };
        let rows = [json!({ "name": name, "bytes": 1 })];
        prop_assert_eq!(rendered(&listed, Format::Text, &rows), format!("{name}\n"));
        let json: Value = serde_json::from_str(&rendered(&listed, Format::Json, &rows)).unwrap();
        prop_assert_eq!(&json, &json!(rows));
        prop_assert_eq!(names(&rendered(&listed, Format::Xml, &rows)), vec![name]);
    }
}
