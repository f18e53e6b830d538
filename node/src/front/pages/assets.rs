//! The files of the pages, which are part of the binary.
//!
//! A debug build reads them from the directory that `FLASHNODE_ASSETS` names, if it is set, so
//! that a page can be worked on without a build. A release build never does.

use crate::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use std::borrow::Cow;
use std::sync::OnceLock;

/// Nobody guesses another type than the one that is said.
static NO_SNIFFING: HeaderName = HeaderName::from_static("x-content-type-options");

/// A service worker may serve pages above its own place.
static WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");
/// The one file that is a service worker.
const WORKER: &str = "worker.js";
/// Where in it the build of the pages is written, so that each build has a worker of its own.
const BUILD_PLACE: &str = "{{build}}";
/// By which the worker sees of which build a file is.
static PAGES_BUILD: HeaderName = HeaderName::from_static("flashnode-pages");

/// One file.
pub(super) struct Asset {
    name: &'static str,
    embedded: &'static [u8],
}

macro_rules! assets {
    ($($name:literal)*) => {
        &[$(Asset { name: $name, embedded: include_bytes!(concat!("../../../assets/", $name)) }),*]
    };
}

/// Every file of `node/assets`.
const ASSETS: &[Asset] = assets! {
    "shop.html" "control.html" "page.css" "shop.css" "control.css" "icon.svg"
    "texts.js" "dom.js" "nodes.js" "settle.js" "live.js" "shop.js" "checkout.js" "card.js"
    "control.js" "charts.js" "gauges.js" "storm.js" "keep.js" "worker.js"
};

/// The file of this name.
pub(super) fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

impl Asset {
    /// Whether it is served at a path of its own, with a policy.
    pub(super) fn is_page(&self) -> bool {
        std::path::Path::new(self.name).extension().is_some_and(|kind| kind == "html")
    }

    /// The file, or that the client has it already. A browser asks each time (`no-cache`), so that
    /// the pages are those of the node that runs.
    ///
    /// # Errors
    /// `internal`; none of the headers is one that cannot be.
    pub(super) fn answer(
        &self,
        asked: &HeaderMap,
        policy: Option<HeaderValue>,
    ) -> Result<Response, Problem> {
        let build = build();
        let bytes = if self.name == WORKER { self.of_build(&build) } else { self.bytes() };
        let tag = format!("\"{}\"", &blake3::hash(&bytes).to_hex()[..16]);
        let known = asked.get_all(header::IF_NONE_MATCH).iter();
        let mut known = known.filter_map(|list| list.to_str().ok()).flat_map(|l| l.split(','));
        let is_known = known.any(|one| matches!(one.trim(), "*") || bare(one) == tag);
        let body = if is_known { Body::empty() } else { Body::from(into_bytes(bytes)) };
        let mut response = Response::new(body);
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let value = |text: &str| {
            HeaderValue::try_from(text).map_err(|why| Problem::internal("tag a file", &why))
        };
        let headers = response.headers_mut();
        headers.insert(header::ETAG, value(&tag)?);
        headers.insert(&PAGES_BUILD, value(&build)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(&NO_SNIFFING, HeaderValue::from_static("nosniff"));
        if self.name == WORKER {
            headers.insert(&WORKER_ALLOWED, HeaderValue::from_static("/"));
            let own_files = HeaderValue::from_static("default-src 'self'");
            headers.insert(header::CONTENT_SECURITY_POLICY, own_files);
        }
        if let Some(policy) = policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
            headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        }
        Ok(response)
    }

    fn bytes(&self) -> Cow<'static, [u8]> {
        #[cfg(debug_assertions)]
        if let Some(dir) = std::env::var_os("FLASHNODE_ASSETS")
            && let Ok(bytes) = std::fs::read(std::path::Path::new(&dir).join(self.name))
        {
            return bytes.into();
        }
        self.embedded.into()
    }

    /// The worker's file, with the build in its place.
    fn of_build(&self, build: &str) -> Cow<'static, [u8]> {
        let text = String::from_utf8_lossy(&self.bytes()).replace(BUILD_PLACE, build);
        text.into_bytes().into()
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map_or("", |(_, extension)| extension) {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        }
    }
}

/// By what the pages of this build are known: another one as soon as any of their files differs.
fn build() -> Cow<'static, str> {
    static EMBEDDED: OnceLock<String> = OnceLock::new();
    // Files that are worked on change while the node runs.
    if cfg!(debug_assertions) && std::env::var_os("FLASHNODE_ASSETS").is_some() {
        return digest().into();
    }
    EMBEDDED.get_or_init(digest).into()
}

fn digest() -> String {
    let mut hasher = blake3::Hasher::new();
    for asset in ASSETS {
        hasher.update(blake3::hash(&asset.bytes()).as_bytes());
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

/// A tag without its mark of weakness, which does not matter here.
fn bare(tag: &str) -> &str {
    let tag = tag.trim();
    tag.strip_prefix("W/").unwrap_or(tag)
}

fn into_bytes(bytes: Cow<'static, [u8]>) -> Bytes {
    match bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_and_asks_nobody_else() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/assets");
        let mut files = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let asset = find(&name).unwrap_or_else(|| panic!("{name} is not listed"));
            let text = std::str::from_utf8(asset.embedded).unwrap();
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for elsewhere in ["https://", "http://", "//cdn", "eval(", "innerHTML"] {
                // A node's address is put together at run time.
                let text = text.replace("`http://${", "");
                assert!(!text.contains(elsewhere), "{name} has {elsewhere}");
            }
            files += 1;
        }
        assert_eq!(files, ASSETS.len());
    }

    #[test]
    fn pages_have_no_scripts_or_styles_of_their_own() {
        for asset in ASSETS.iter().filter(|asset| asset.is_page()) {
            let text = std::str::from_utf8(asset.embedded).unwrap();
            for inline in ["<style", "style=", "onclick", "onload", "onerror", "javascript:"] {
                assert!(!text.contains(inline), "{} has {inline}", asset.name);
            }
            let scripts = text.matches("<script").count();
            assert_eq!(text.matches("<script type=\"module\" src=\"").count(), scripts);
        }
    }

    /// A page that is kept without one of its files is none.
    #[test]
    fn the_worker_keeps_every_file() {
        let worker = std::str::from_utf8(find(WORKER).unwrap().embedded).unwrap();
        let list = worker.split_once("FILES = [").unwrap().1.split_once(']').unwrap().0;
        let kept: Vec<&str> = list
            .split(',')
            .map(|name| name.trim().trim_matches('"'))
            .filter(|n| !n.is_empty())
            .collect();
        let files = ASSETS.iter().filter(|asset| !asset.is_page() && asset.name != WORKER);
        assert_eq!(kept, files.map(|asset| asset.name).collect::<Vec<_>>());
    }

    #[test]
    fn the_worker_is_of_the_build_that_every_file_names() {
        let build = digest();
        let worker = find(WORKER).unwrap().of_build(&build);
        let worker = std::str::from_utf8(&worker).unwrap();
        assert!(worker.contains(&format!("const BUILD = \"{build}\";")), "{worker}");
        assert!(!worker.contains(BUILD_PLACE));
        for asset in ASSETS {
            let answer = asset.answer(&HeaderMap::new(), None).unwrap();
            assert_eq!(answer.headers()[&PAGES_BUILD], build.as_str(), "{}", asset.name);
        }
    }

    #[test]
    fn a_known_tag_is_not_sent_again() {
        let asset = find("page.css").unwrap();
        let fresh = asset.answer(&HeaderMap::new(), None).unwrap();
        assert_eq!(fresh.status(), StatusCode::OK);
        assert_eq!(fresh.headers()[&NO_SNIFFING], "nosniff");
        let tag = fresh.headers()[header::ETAG].clone();
        for (known, status) in [
            (tag.to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"x\", W/{}", tag.to_str().unwrap()), StatusCode::NOT_MODIFIED),
            ("\"x\"".to_owned(), StatusCode::OK),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::IF_NONE_MATCH, HeaderValue::try_from(&known).unwrap());
            assert_eq!(asset.answer(&asked, None).unwrap().status(), status, "{known}");
        }
    }
}
