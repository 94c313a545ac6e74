//! What the owner of a container wants of it as a site. Pure.

use apus_base::client::ContainerInfo;

use crate::constraints::is_yes;

/// The type of objects that stand for folders, unless the owner has another.
const DIRECTORY: &str = "application/directory";

/// The items `Web-*` of a container's metadata; empty where they are not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Site {
    /// The object that is shown for a folder.
    pub(super) index: String,
    /// The end of the names of error pages.
    pub(super) error: String,
    listings: String,
    /// The style sheet of listings.
    pub(super) css: String,
    /// What listings are of, instead of the path.
    label: String,
    directory_type: String,
}

impl Site {
    pub(super) fn of(info: &ContainerInfo) -> Self {
        let item = |name: &str| info.meta.get(name).map(|value| value.trim().to_owned()).unwrap_or_default();
        Self {
            index: item("web-index"),
            error: item("web-error"),
            listings: item("web-listings"),
            css: item("web-listings-css"),
            label: item("web-listings-label"),
            directory_type: item("web-directory-type"),
        }
    }

    /// Whether the container is a site at all.
    pub(super) fn is_on(&self) -> bool {
        !self.index.is_empty() || !self.listings.is_empty()
    }

    /// Whether folders without an index are listed.
    pub(super) fn lists(&self) -> bool {
        is_yes(&self.listings)
    }

    pub(super) fn directory_type(&self) -> &str {
        if self.directory_type.is_empty() { DIRECTORY } else { &self.directory_type }
    }

    /// What the listing of a path is called; `in_container` is what of the path is below the container.
    pub(super) fn label(&self, path: &str, in_container: &str) -> String {
        if self.label.is_empty() { path.to_owned() } else { format!("{}/{in_container}", self.label) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(items: &[(&str, &str)]) -> Site {
        let meta = items.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Site::of(&ContainerInfo { meta, ..ContainerInfo::default() })
    }

    #[test]
    fn items_are_trimmed_and_missing_ones_empty() {
        let plain = site(&[("color", "red")]);
        assert_eq!((plain.is_on(), plain.directory_type()), (false, DIRECTORY));
        assert_eq!(plain.label("/v1/a/c/d/", "d/"), "/v1/a/c/d/");
        let full = site(&[
            ("web-index", " i.html "),
            ("web-directory-type", "text/directory"),
            ("web-listings-label", "x.org"),
        ]);
        assert_eq!((full.index.as_str(), full.is_on(), full.lists()), ("i.html", true, false));
        assert_eq!((full.directory_type(), full.label("/v1/a/c/d/", "d/").as_str()), ("text/directory", "x.org/d/"));
        // Set to something that is no yes, listings still make it a site: it says that they are off.
        let off = site(&[("web-listings", "nope")]);
        assert_eq!((off.is_on(), off.lists(), site(&[("web-listings", "On")]).lists()), (true, false, true));
    }
}
