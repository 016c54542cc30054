//! The page: a console to watch and control devices, and the live rooms; embedded in the binary.
//!
//! Plain HTML, CSS and ES modules, served as they are in `src/web/`: no framework, no build step, and nothing fetched
//! from another host but the covers of rooms, which are whatever pictures their anchors have named. The files keep to
//! [`CONTENT_SECURITY_POLICY`], which the tests below check as far as text can show.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

/// Policy that belongs on every response with one of these files (CSP level 3).
///
/// Nothing inline and nothing from elsewhere runs. WebSockets are named by scheme, since older browsers do not count
/// them into `'self'`; `blob:` and `data:` allow stills of the picture, `https:` the covers of rooms (whoever serves one
/// learns the addresses of those who see it; the page sends no `Referer`). Other sites may not frame the page, so that
/// none can lead a click onto someone's device.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; connect-src 'self' ws: wss:; \
     media-src 'self' blob:; img-src 'self' data: https:; style-src 'self'; script-src 'self'; \
     object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'self'";

/// A file of the page, ready to be served.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// For the `Content-Type` header.
    pub content_type: &'static str,
    /// The file as it was when the binary was built.
    pub body: &'static [u8],
    /// Strong entity tag with its quotes (RFC 9110 §8.8.3), the same in every process of a build.
    pub etag: &'static str,
}

/// The file at the (decoded) `path` of a request; `/` is the page itself.
pub fn file(path: &str) -> Option<File> {
    FILES
        .iter()
        .find(|(at, _)| *at == path)
        .map(|(_, file)| *file)
}

/// Paths of all files, for route tables and tests.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|(path, ..)| *path)
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $content_type:expr, $file:literal) => {
        (
            $path,
            $content_type,
            include_bytes!(concat!("web/", $file)) as &[u8],
        )
    };
    ($path:literal, $content_type:expr) => {
        (
            $path,
            $content_type,
            include_bytes!(concat!("web", $path)) as &[u8],
        )
    };
}

const ASSETS: &[(&str, &str, &[u8])] = &[
    asset!("/", HTML, "index.html"),
    asset!("/app.css", CSS),
    asset!("/server.css", CSS),
    asset!("/favicon.svg", SVG),
    asset!("/js/api.js", JS),
    asset!("/js/app.js", JS),
    asset!("/js/backoff.js", JS),
    asset!("/js/celebrate.js", JS),
    asset!("/js/chat.js", JS),
    asset!("/js/confirm.js", JS),
    asset!("/js/control.js", JS),
    asset!("/js/cover.js", JS),
    asset!("/js/danmaku.js", JS),
    asset!("/js/devices.js", JS),
    asset!("/js/dialogs.js", JS),
    asset!("/js/flights.js", JS),
    asset!("/js/format.js", JS),
    asset!("/js/gifts.js", JS),
    asset!("/js/http.js", JS),
    asset!("/js/identity.js", JS),
    asset!("/js/ids.js", JS),
    asset!("/js/input.js", JS),
    asset!("/js/lanes.js", JS),
    asset!("/js/likes.js", JS),
    asset!("/js/list.js", JS),
    asset!("/js/lobby.js", JS),
    asset!("/js/member.js", JS),
    asset!("/js/message.js", JS),
    asset!("/js/order.js", JS),
    asset!("/js/own.js", JS),
    asset!("/js/panel.js", JS),
    asset!("/js/picture.js", JS),
    asset!("/js/platform.js", JS),
    asset!("/js/player.js", JS),
    asset!("/js/poll.js", JS),
    asset!("/js/recent.js", JS),
    asset!("/js/room.js", JS),
    asset!("/js/room_panel.js", JS),
    asset!("/js/server.js", JS),
    asset!("/js/session.js", JS),
    asset!("/js/shards.js", JS),
    asset!("/js/spark.js", JS),
    asset!("/js/stats.js", JS),
    asset!("/js/talk.js", JS),
    asset!("/js/ui.js", JS),
    asset!("/js/watch.js", JS),
    asset!("/js/words.js", JS),
];

/// The assets with their entity tags, which are computed at the first request.
static FILES: LazyLock<Vec<(&str, File)>> = LazyLock::new(|| {
    let file = |&(path, content_type, body): &(&'static str, &'static str, &'static [u8])| {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let etag: &'static str = Box::leak(format!("\"{:016x}\"", hasher.finish()).into());
        (
            path,
            File {
                content_type,
                body,
                etag,
            },
        )
    };
    ASSETS.iter().map(file).collect()
});

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn text(path: &str) -> &'static str {
        let file = file(path).unwrap_or_else(|| panic!("{path} is not embedded"));
        std::str::from_utf8(file.body).unwrap_or_else(|_| panic!("{path} is not UTF-8"))
    }

    /// The values of `attribute="…"` in `html`.
    fn attributes(html: &'static str, attribute: &str) -> Vec<&'static str> {
        let opening = format!(" {attribute}=\"");
        html.split(opening.as_str())
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect()
    }

    /// The modules that the module at `path` imports, as absolute paths.
    fn imports(path: &str) -> Vec<String> {
        text(path)
            .lines()
            .filter(|line| line.starts_with("import ") || line.starts_with("} from "))
            .filter_map(|line| line.split("'./").nth(1)?.split('\'').next())
            .map(|name| format!("/js/{name}"))
            .collect()
    }

    #[test]
    fn a_path_names_exactly_one_file() {
        assert_eq!(file("/").map(|file| file.content_type), Some(HTML));
        assert_eq!(file("/app.css").map(|file| file.content_type), Some(CSS));
        for other in [
            "",
            "//",
            "/index.html",
            "/js",
            "/js/",
            "/js/../app.css",
            "/APP.css",
            "/web.rs",
        ] {
            assert!(file(other).is_none(), "{other}");
        }
        let distinct: BTreeSet<_> = paths().collect();
        assert_eq!(distinct.len(), ASSETS.len());
    }

    #[test]
    fn entity_tags_differ_with_the_content_and_stay() {
        let tags: BTreeSet<_> = paths().filter_map(file).map(|file| file.etag).collect();
        assert_eq!(tags.len(), ASSETS.len());
        assert!(
            tags.iter()
                .all(|tag| tag.len() == 18 && tag.starts_with('"') && tag.ends_with('"'))
        );
        assert_eq!(
            file("/").map(|file| file.etag),
            file("/").map(|file| file.etag)
        );
    }

    #[test]
    fn every_file_that_is_there_is_embedded_and_every_reference_resolves() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/js");
        for entry in std::fs::read_dir(directory).expect("the sources are there") {
            let name = entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8");
            assert!(
                file(&format!("/js/{name}")).is_some(),
                "{name} is not embedded"
            );
        }
        let html = text("/");
        let page = attributes(html, "src")
            .into_iter()
            .chain(attributes(html, "href"));
        for reference in page.filter(|reference| !reference.starts_with('#')) {
            assert!(file(reference).is_some(), "the page refers to {reference}");
        }
        for module in paths().filter(|path| path.ends_with(".js")) {
            for import in imports(module) {
                assert!(file(&import).is_some(), "{module} imports {import}");
            }
        }
    }

    #[test]
    fn every_module_is_preloaded_so_that_the_page_needs_one_round_of_requests() {
        let preloaded: BTreeSet<_> = attributes(text("/"), "href").into_iter().collect();
        for module in paths().filter(|path| path.ends_with(".js") && *path != "/js/app.js") {
            assert!(preloaded.contains(module), "{module}");
        }
    }

    #[test]
    fn nothing_needs_more_than_the_policy_allows() {
        let html = text("/");
        assert!(attributes(html, "style").is_empty(), "inline style");
        assert_eq!(html.matches("<script").count(), 1);
        assert!(html.contains("<script type=\"module\" src=\"/js/app.js\"></script>"));
        assert!(!html.contains("<style") && !html.contains("javascript:"));
        let handlers = html
            .split("=\"")
            .filter_map(|before| before.split_whitespace().next_back());
        assert_eq!(
            handlers
                .filter(|name| name.starts_with("on"))
                .collect::<Vec<_>>(),
            [""; 0]
        );
        for path in paths().filter(|path| path.ends_with(".js")) {
            let module = text(path);
            // Whatever comes from outside goes in as text, never as markup or code.
            for banned in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
            ] {
                assert!(!module.contains(banned), "{path} uses {banned}");
            }
            assert!(
                module.lines().count() < 300,
                "{path} is too long to be read at a sitting"
            );
        }
    }

    #[test]
    #[ignore = "needs Node.js (18 or later) to run the page's own unit tests"]
    fn the_modules_pass_their_tests() {
        let status = Command::new("node")
            .arg("--test")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web"))
            .status()
            .expect("node is installed");
        assert!(status.success());
    }
}
