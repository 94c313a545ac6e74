use super::*;
use apus_base::client::ContainerInfo;
use proptest::prelude::*;

fn site(items: &[(&str, &str)]) -> Site {
    let meta = items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Site::of(&ContainerInfo { meta, ..ContainerInfo::default() })
}

fn rows() -> Vec<Row> {
    serde_json::from_str(
        r#"[{"name": "d/b&.txt", "bytes": 2048, "hash": "e", "content_type": "Text/Plain", "last_modified": "2024-04-05T19:34:39.123450"},
            {"subdir": "d/a b'/"}]"#,
    )
    .unwrap()
}

fn page(signed: Option<SignedPrefix>) -> String {
    let page = Page { label: "/v1/a/c/d/".into(), folder: "d/".into(), rows: rows(), signed };
    page.pieces(&Site::default()).collect()
}

#[test]
fn a_page_is_swifts() {
    let expected = r#"<!DOCTYPE html>
<html>
 <head>
  <title>Listing of /v1/a/c/d/</title>
  <style type="text/css">
   h1 {font-size: 1em; font-weight: bold;}
   th {text-align: left; padding: 0px 1em 0px 1em;}
   td {padding: 0px 1em 0px 1em;}
   a {text-decoration: none;}
  </style>
 </head>
 <body>
  <h1 id="title">Listing of /v1/a/c/d/</h1>
  <table id="listing">
   <tr id="heading">
    <th class="colname">Name</th>
    <th class="colsize">Size</th>
    <th class="coldate">Date</th>
   </tr>
   <tr id="parent" class="item">
    <td class="colname"><a href="../">../</a></td>
    <td class="colsize">&nbsp;</td>
    <td class="coldate">&nbsp;</td>
   </tr>
   <tr class="item subdir">
    <td class="colname"><a href="./a%20b%27/">a b&#x27;/</a></td>
    <td class="colsize">&nbsp;</td>
    <td class="coldate">&nbsp;</td>
   </tr>
   <tr class="item type-text type-plain">
    <td class="colname"><a href="./b%26%2Etxt">b&amp;.txt</a></td>
    <td class="colsize">2Ki</td>
    <td class="coldate">2024-04-05 19:34:39</td>
   </tr>
  </table>
 </body>
</html>
"#;
    assert_eq!(page(None), expected);
}

#[test]
fn links_below_a_signed_prefix_are_signed_and_none_leads_out() {
    let signed = |prefix: &str| SignedPrefix { prefix: prefix.into(), parameters: vec!["p=1".into(), "inline".into()] };
    let inside = page(Some(signed("d/")));
    assert!(inside.contains("href=\"./b%26%2Etxt?p=1&amp;inline\"") && !inside.contains("href=\"../"), "{inside}");
    assert!(page(Some(signed("d"))).contains("href=\"../?p=1&amp;inline\""));
}

#[test]
fn style_sheets_are_of_the_site_or_of_another() {
    for (css, expected) in [
        ("a b.css", "../../a%20b.css"),
        ("/v1/a/c/x.css", "/v1/a/c/x.css"),
        ("https://h:8/\"x.css", "https://h:8/%22x.css"),
    ] {
        let style = style(&site(&[("web-listings-css", css)]), "d/e/", "");
        assert!(style.contains(&format!("href=\"{expected}\"")), "{style}");
    }
}

#[test]
fn a_page_instead_of_a_listing_says_why() {
    let page = disabled(&site(&[("web-index", "<i>.html")]), "/v1/a/c/", "");
    assert!(page.contains("Web Listing Disabled") && page.contains("Web-Index: &lt;i&gt;.html</b>"), "{page}");
    assert!(!disabled(&Site::default(), "x", "").contains("Index File"));
}

#[test]
fn sizes() {
    let cases =
        [(0, "0"), (1023, "1023"), (1024, "1Ki"), (1535, "1Ki"), (1536, "2Ki"), (2560, "2Ki"), (1 << 20, "1Mi")];
    for (bytes, shown) in cases {
        assert_eq!(size(bytes), shown, "{bytes}");
    }
    assert_eq!(size(u64::MAX), "16Ei");
}

proptest! {
    #[test]
    fn no_name_leaves_its_place(name in "\\PC{0,20}", kind in "\\PC{0,20}", date in "\\PC{0,20}") {
        let row = Row::Object { name, bytes: 1, content_type: kind, last_modified: date };
        let line = line(&row, 0, "");
        // Ten tags of ours and no more.
        prop_assert_eq!((line.matches('<').count(), line.matches('>').count()), (10, 10), "{}", line);
    }
}
