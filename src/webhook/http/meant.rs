//! Which route a call of no route probably meant.

use percent_encoding::percent_decode_str;

use crate::webhook::auth::secret::MIN_BYTES;
use crate::webhook::payload::content::{listed, printable};
use crate::webhook::route::diagnosis::Diagnosis;

/// What is wrong with a path that is no route's, and what to do.
pub(super) fn diagnosis<'r>(
    path: &str,
    routes: impl Iterator<Item = &'r str> + Clone,
) -> (Option<&'r str>, Diagnosis) {
    let plain = plain(path);
    let meant = |differs: &dyn Fn(&str) -> bool| {
        let found = routes.clone().filter(|route| differs(route));
        // The longest says the most.
        found.max_by_key(|route| route.len())
    };
    if let Some(route) = meant(&|route| route.eq_ignore_ascii_case(&plain)) {
        let what =
            format!("the path differs from the route {route} by slashes, escapes or capitals");
        let remedy = format!("let the sender, or the proxy before it, call exactly {route}");
        return (Some(route), Diagnosis::new(what, remedy));
    }
    if let Some(route) = meant(&|route| plain.ends_with(route)) {
        let prefix = printable(plain.strip_suffix(route).unwrap_or_default());
        let what = format!("the path is the route {route} behind {prefix}");
        let remedy = format!(
            "let the proxy take {prefix} off (nginx: proxy_pass with a path), or write the whole path as `route`"
        );
        return (Some(route), Diagnosis::new(what, remedy));
    }
    if let Some(route) = meant(&|route| plain.len() > 1 && route.ends_with(&plain)) {
        let prefix = route.strip_suffix(plain.as_str()).unwrap_or_default();
        let what = format!("the path is the route {route} without {prefix}");
        let remedy = "let the proxy pass the whole path on, or write what comes through as `route`";
        return (Some(route), Diagnosis::new(what, remedy));
    }
    let below = |route: &str| {
        plain
            .strip_prefix(route)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    if let Some(route) = meant(&below) {
        let what = format!("the path is below the route {route}");
        let remedy =
            format!("let the sender call exactly {route}; below it a GET asks for a delivery");
        return (Some(route), Diagnosis::new(what, remedy));
    }
    let what = format!("no route has this path; there are {}", listed(routes));
    let remedy = "correct the URL at the sender, or add a [[pipeline.webhook]] with this `route`";
    (None, Diagnosis::new(what, remedy))
}

/// A path as the log may have it. A part of it that is long enough for a secret, and of no route, is left
/// out: the URL of some senders holds a secret.
pub(super) fn shown<'r>(path: &str, routes: &(impl Iterator<Item = &'r str> + Clone)) -> String {
    let known = |part: &str| {
        routes
            .clone()
            .any(|route| route.split('/').any(|one| one == part))
    };
    let parts = path.split('/').map(|part| {
        if part.len() < MIN_BYTES || known(part) {
            part.to_owned()
        } else {
            format!("[{} bytes]", part.len())
        }
    });
    printable(&parts.collect::<Vec<_>>().join("/"))
}

/// A path as it was probably meant: decoded, with single slashes, and none at the end.
fn plain(path: &str) -> String {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let parts = decoded.split('/').filter(|part| !part.is_empty());
    parts.fold(String::new(), |path, part| path + "/" + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_nearly_is_a_routes_says_which_was_meant() {
        let routes = ["/hooks/shop", "/hooks/shop/eu", "/hooks/www", "/push"];
        for (path, route, says) in [
            ("/hooks/www/", Some("/hooks/www"), "slashes"),
            ("//hooks/www", Some("/hooks/www"), "slashes"),
            ("/hooks//shop///eu", Some("/hooks/shop/eu"), "slashes"),
            ("/Hooks/WWW", Some("/hooks/www"), "capitals"),
            ("/hooks%2Fwww", Some("/hooks/www"), "escapes"),
            ("/edge/v1/hooks/www", Some("/hooks/www"), "behind /edge/v1"),
            (
                "/edge/hooks/shop/eu/",
                Some("/hooks/shop/eu"),
                "behind /edge",
            ),
            ("/www", Some("/hooks/www"), "without /hooks"),
            ("/hooks/www/github", Some("/hooks/www"), "below"),
            (
                "/hooks/shop/eu/x",
                Some("/hooks/shop/eu"),
                "below the route /hooks/shop/eu",
            ),
            ("/hooks/wwwold", None, "no route"),
            ("/", None, "/hooks/shop, /hooks/shop/eu, /hooks/www, /push"),
            ("/wp-login.php", None, "no route"),
            ("*", None, "no route"),
        ] {
            let (meant, diagnosis) = diagnosis(path, routes.into_iter());
            assert_eq!(meant, route, "{path}");
            assert!(diagnosis.what.contains(says), "{path}: {}", diagnosis.what);
        }
        let (_, none) = diagnosis("/x", [].into_iter());
        assert!(none.what.contains("no route"), "{none:?}");
    }
    #[test]
    fn what_may_be_a_secret_is_not_told() {
        let routes = ["/hooks/a-route-with-a-long-name"];
        for (path, expected) in [
            (
                "/hooks/a-route-with-a-long-name/",
                "/hooks/a-route-with-a-long-name/",
            ),
            ("/hooks/3Xk9-secret-of-mine", "/hooks/[19 bytes]"),
            ("/a%2Fwhsec_abcdefgh/b", "/[18 bytes]/b"),
            ("/short/enough", "/short/enough"),
        ] {
            assert_eq!(shown(path, &routes.into_iter()), expected);
        }
    }
}
