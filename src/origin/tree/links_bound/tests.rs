use super::*;
use crate::origin::tree::walk::{Item, Walk};
use proptest::prelude::*;
use std::os::unix::fs::symlink;

fn resolver(root: &Path, patterns: &[&str]) -> (Arc<Resolver>, Arc<Ignore>) {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let ignore = Arc::new(Ignore::new(&patterns).unwrap());
    let resolver = Resolver {
        root: root.to_owned(),
        resolved: root.canonicalize().unwrap(),
        compare: Compare::Content,
        follow: FollowSymlinks::Any,
        group: None,
        links: Links::new(Arc::clone(&ignore), None),
    };
    (Arc::new(resolver), ignore)
}

fn walked(resolver: &Arc<Resolver>, ignore: &Arc<Ignore>, start: &str) -> Vec<String> {
    let mut walk = Walk::new(
        Arc::clone(resolver),
        Arc::clone(ignore),
        None,
        start.as_bytes(),
    );
    let mut files = Vec::new();
    while let Some(item) = walk.next() {
        if let Item::File { path, .. } = item {
            files.push(String::from_utf8(path).unwrap());
        }
    }
    files
}

fn files(root: &Path, patterns: &[&str]) -> (Vec<String>, Option<Cut>) {
    let (resolver, ignore) = resolver(root, patterns);
    let files = walked(&resolver, &ignore, "");
    let cut = resolver.links.bound().and_then(|bound| bound.cut.clone());
    (files, cut)
}

/// Packages of one page, each with links to some of the others.
fn packages(root: &Path, count: usize, has: impl Fn(usize, usize) -> bool) {
    for package in 0..count {
        let modules = root.join(format!("p{package}/node_modules"));
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::write(root.join(format!("p{package}/page")), "").unwrap();
        for other in (0..count).filter(|other| has(package, *other)) {
            symlink(format!("../../p{other}"), modules.join(format!("p{other}"))).unwrap();
        }
    }
}

fn names_of<'f>(files: &'f [String], end: &'f str) -> impl Iterator<Item = &'f String> {
    files.iter().filter(move |file| file.ends_with(end))
}

#[test]
fn a_web_of_packages_has_each_under_its_shortest_names_and_is_told() {
    for count in [7, 12, 30] {
        let dir = tempfile::tempdir().unwrap();
        packages(dir.path(), count, |package, other| package != other);
        let (files, cut) = files(dir.path(), &[]);
        let own = names_of(&files, "p5/page").collect::<Vec<_>>();
        assert_eq!(own.len(), 1 + (count - 1) + NAMES, "{count} packages");
        for package in (0..count).filter(|package| *package != 5) {
            let name = format!("p{package}/node_modules/p5/page");
            assert!(own.contains(&&name), "{name}");
        }
        let cut = cut.unwrap();
        assert_eq!(cut.directories, count as u64);
        let first = String::from_utf8(cut.first).unwrap();
        assert!(!files.contains(&format!("{first}/page")), "{first}");
    }
}

#[test]
fn packages_that_lead_on_and_on_have_as_few_names() {
    let dir = tempfile::tempdir().unwrap();
    packages(dir.path(), 30, |package, other| package > other);
    let (files, cut) = files(dir.path(), &[]);
    assert_eq!(names_of(&files, "p0/page").count(), 1 + 29 + NAMES);
    assert!(cut.is_some());
    // Few enough are followed under every name.
    let dir = tempfile::tempdir().unwrap();
    packages(dir.path(), 6, |package, other| package > other);
    let (files, cut) = super::tests::files(dir.path(), &[]);
    assert_eq!(files.len(), (1 << 6) - 1);
    assert_eq!(cut, None);
}

#[test]
fn what_nobody_fetches_can_be_left_out() {
    let dir = tempfile::tempdir().unwrap();
    packages(dir.path(), 9, |package, other| package != other);
    for pattern in ["node_modules/", "/p*/node_modules/*/node_modules/"] {
        let (files, cut) = files(dir.path(), &[pattern]);
        assert_eq!(cut, None, "{pattern}");
        assert!(files.len() <= 9 + 9 * 8, "{files:?}");
    }
}

#[test]
fn many_links_side_by_side_are_followed_and_so_are_the_links_in_what_they_lead_to() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("themes/plain/css")).unwrap();
    std::fs::create_dir_all(root.join("lib/fonts")).unwrap();
    std::fs::create_dir_all(root.join("sites")).unwrap();
    std::fs::write(root.join("themes/plain/css/a"), "").unwrap();
    std::fs::write(root.join("lib/fonts/f"), "").unwrap();
    symlink("../../lib", root.join("themes/plain/lib")).unwrap();
    symlink("sites", root.join("all")).unwrap();
    for site in 0..1_000 {
        symlink("../themes/plain", root.join(format!("sites/{site}"))).unwrap();
    }
    let (files, cut) = files(root, &[]);
    assert_eq!(cut, None);
    assert_eq!(names_of(&files, "css/a").count(), 1 + 2 * 1_000);
    assert_eq!(names_of(&files, "fonts/f").count(), 1 + 1 + 2 * 1_000);
}

#[test]
fn a_link_to_a_directory_that_it_lies_in_is_followed_once() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    std::fs::create_dir_all(root.join("pool/a")).unwrap();
    std::fs::write(root.join("pool/a/f"), "").unwrap();
    symlink(".", root.join("debian")).unwrap();
    symlink("../..", root.join("pool/a/up")).unwrap();
    let (files, cut) = files(root, &[]);
    assert_eq!(files, ["debian/pool/a/f", "pool/a/f", "pool/a/up/pool/a/f"]);
    assert_eq!(cut, None);
}

#[test]
fn a_link_that_is_newer_than_the_bound_waits_for_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for path in ["releases/1/css", "releases/2/css", "media"] {
        std::fs::create_dir_all(root.join(path)).unwrap();
        std::fs::write(root.join(path).join("f"), "").unwrap();
    }
    symlink("releases/1", root.join("current")).unwrap();
    symlink("css", root.join("releases/1/style")).unwrap();
    symlink("css", root.join("releases/2/style")).unwrap();
    let (resolver, ignore) = resolver(root, &[]);
    let all = ["current/css/f", "current/style/f"];
    assert_eq!(walked(&resolver, &ignore, "current"), all);
    assert!(!resolver.links.take_news());
    // Known, but not under this name.
    std::fs::remove_file(root.join("current")).unwrap();
    symlink("releases/2", root.join("current")).unwrap();
    symlink("../../media", root.join("releases/2/media")).unwrap();
    assert_eq!(walked(&resolver, &ignore, "current"), all);
    assert!(resolver.links.take_news() && !resolver.links.take_news());
    let anew = Arc::new(Resolver {
        links: resolver.links.anew(),
        ..Resolver::clone(&resolver)
    });
    let all = ["current/css/f", "current/media/f", "current/style/f"];
    assert_eq!(walked(&anew, &ignore, "current"), all);
}

#[test]
fn what_is_ignored_under_one_name_counts_under_another() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for path in ["releases/1/css/deep", "media"] {
        std::fs::create_dir_all(root.join(path)).unwrap();
        std::fs::write(root.join(path).join("f"), "").unwrap();
    }
    symlink("releases/1", root.join("current")).unwrap();
    symlink("releases/1/css", root.join("also")).unwrap();
    symlink("../../../media", root.join("releases/1/css/media")).unwrap();
    let (resolver, ignore) = resolver(root, &["/releases/", "/also/deep/", "/current/css/media"]);
    let all = ["also/media/f", "current/css/deep/f", "media/f"];
    assert_eq!(walked(&resolver, &ignore, ""), all);
    assert!(!resolver.links.take_news());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever leads where: a walk comes to each name once, a walk from anywhere to the same ones,
    /// and what is not walked to is behind a link that is said not to be followed.
    #[test]
    fn all_walks_agree(links in proptest::collection::vec((0..6_usize, 0..6_usize, 0..4_u8), 0..24)) {
        const DIRECTORIES: [&str; 6] = ["in", "in/a", "in/a/b", "in/c", "out", "out/d"];
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("in");
        for directory in DIRECTORIES {
            std::fs::create_dir_all(dir.path().join(directory)).unwrap();
            std::fs::write(dir.path().join(directory).join("f"), "").unwrap();
        }
        for (from, to, name) in links {
            let at = dir.path().join(DIRECTORIES[from]).join(format!("l{name}"));
            symlink(dir.path().join(DIRECTORIES[to]), at).unwrap_or_default();
        }
        let (resolver, ignore) = resolver(&root, &[]);
        let all = walked(&resolver, &ignore, "");
        prop_assert!(!resolver.links.take_news());
        prop_assert!(all.len() <= 6 * (NAMES + 24 + 24 * LOOPS) * 4);
        let distinct: BTreeSet<&String> = all.iter().collect();
        prop_assert_eq!(distinct.len(), all.len());
        for start in all.iter().filter_map(|file| file.strip_suffix("/f")).take(40) {
            let below = format!("{start}/");
            let expected: Vec<_> = all.iter().filter(|f| f.starts_with(&below)).cloned().collect();
            prop_assert_eq!(&walked(&resolver, &ignore, start), &expected, "from {}", start);
            let file = format!("{start}/f");
            prop_assert!(!resolver.is_cut_off(file.as_bytes()));
        }
        let cut = resolver.links.bound().and_then(|bound| bound.cut.clone());
        if let Some(cut) = cut {
            let first = String::from_utf8(cut.first).unwrap();
            prop_assert_eq!(walked(&resolver, &ignore, &first), Vec::<String>::new());
            let file = format!("{first}/f");
            prop_assert!(resolver.is_cut_off(file.as_bytes()));
        }
    }
}
