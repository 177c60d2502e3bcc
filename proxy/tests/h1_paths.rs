//! The normaliser of paths and hosts: one path under many spellings, what is refused, and what must hold for any path.

use std::borrow::Cow;

use outrigger_proxy::path::{Mode, PathProblem, normalise};
use proptest::prelude::*;

#[test]
fn eighty_spellings_of_one_path_come_out_as_one() {
    let spellings = "
        /admin/users /admin//users //admin/users ///admin///users /./admin/users /admin/./users /././admin/././users
        /x/../admin/users /admin/x/../users /x/y/../../admin/users /../admin/users /../../../admin/users
        /admin/x/y/../../users /admin/../admin/users /%61dmin/users /%61%64%6d%69%6e/users /%61%64%6D%69%6E/users
        /admin/%75sers /admin/user%73 /admin%2Fusers /admin%2fusers /%2Fadmin/users /%2fadmin%2fusers
        /%2F%2Fadmin%2F%2Fusers /admin%5Cusers /admin%5cusers /admin\\users /\\admin\\users \\admin\\users
        /admin\\\\users /admin/\\users /admin\\/users /%2e/admin/users /%2E/admin/users /admin/%2e/users
        /x/%2e%2e/admin/users /x/%2E%2E/admin/users /x/.%2e/admin/users /x/%2e./admin/users /x/%2E./admin/users
        /%2e%2e/admin/users /%2e%2e%2fadmin/users /x%2f..%2fadmin/users /x%2F%2E%2E%2Fadmin/users
        /x/..%2fadmin/users /x%2f../admin/users /x\\..\\admin\\users /x/..\\admin/users /x\\../admin/users
        /x%5c..%5cadmin/users /x%5C%2e%2e%5Cadmin/users /..%2fadmin/users /..%5cadmin/users /..\\admin/users
        /.%2fadmin/users /.%5cadmin/users /.\\admin/users /admin/.%2fusers /admin%2f.%2fusers /admin%2f./users
        /admin/x%2f..%2fusers /admin/x/%2e%2e%2fusers /admin/x/%2e%2e/users /admin/x/.%2E/users
        /admin//x//..//users /x//../admin/users /x/..//admin/users /x/.//../admin/users /admin/users#
        /admin/users#/x /admin/users#x/../.. /x/../admin/users#y /%61dmin//users /%61dmin/./users
        /%61dmin%2fusers /%2e%2e/%61dmin/users /x/../%61dmin/users /x/y/z/../../../admin/users
        /x/../y/../admin/users /x/./../admin/./users /%78/../admin/users /%78/%2e%2E/admin/users
        /admin/%78/../users /%2F%61dmin%2F%75sers";
    let spellings: Vec<&str> = spellings.split_whitespace().collect();
    for spelling in &spellings {
        assert_eq!(
            normalise(spelling, Mode::Full).as_deref(),
            Ok("/admin/users"),
            "{spelling}"
        );
    }
    assert!(spellings.len() >= 80, "{} spellings", spellings.len());
}

#[test]
fn paths_that_differ_stay_apart() {
    for (path, normal) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a//", "/a/"),
        ("/a/.", "/a/"),
        ("/a/b/..", "/a/"),
        ("/..", "/"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/...", "/..."),
        ("/a/...", "/a/..."),
        ("/.a/..b", "/.a/..b"),
        ("/Admin", "/Admin"),
        ("/%2561", "/%2561"),
        ("/%252e%252e/a", "/%252e%252e/a"),
        ("/a%20b", "/a%20b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%3fb", "/a%3Fb"),
        ("/a%23b", "/a%23b"),
        ("/a;b=c", "/a;b=c"),
        ("/a%3bb", "/a%3Bb"),
        ("/caf\u{e9}", "/caf\u{e9}"),
        ("*", "*"),
        ("", ""),
    ] {
        assert_eq!(normalise(path, Mode::Full).as_deref(), Ok(normal), "{path}");
    }
}

#[test]
fn a_path_without_a_safe_reading_is_refused() {
    for (path, problem) in [
        ("/%", PathProblem::BadEscape),
        ("/%4", PathProblem::BadEscape),
        ("/%zz", PathProblem::BadEscape),
        ("/%%41", PathProblem::BadEscape),
        ("/a%+1", PathProblem::BadEscape),
        ("/%00", PathProblem::Nul),
        ("/a%00.png", PathProblem::Nul),
        ("/\0", PathProblem::Nul),
        ("a", PathProblem::NotRooted),
        ("%61", PathProblem::NotRooted),
        ("#a", PathProblem::NotRooted),
        ("http://a/", PathProblem::NotRooted),
    ] {
        assert_eq!(normalise(path, Mode::Full), Err(problem), "{path}");
        assert_eq!(normalise(path, Mode::DotsOnly), Err(problem), "{path}");
        assert_eq!(normalise(path, Mode::Off).as_deref(), Ok(path), "{path}");
    }
}

#[test]
fn dots_only_leaves_slashes_alone() {
    for (path, normal) in [
        ("/a//b", "/a//b"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%5cb", "/a%5Cb"),
        ("/a\\b", "/a\\b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a//../b", "/a/b"),
        ("/%61", "/a"),
    ] {
        assert_eq!(normalise(path, Mode::DotsOnly).as_deref(), Ok(normal), "{path}");
    }
}

#[test]
fn a_normal_path_is_borrowed() {
    for path in [
        "/",
        "/productpage",
        "/api/v1/products/0/reviews",
        "/a.b/c-d/",
        "*",
    ] {
        assert!(
            matches!(normalise(path, Mode::Full), Ok(Cow::Borrowed(_))),
            "{path}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_result_is_rooted_free_of_dots_and_normal(
        path in "/([a./\\\\%~#]|%2[eEfF]|%5[cC]|%[0-9a-fA-F]{2}|\\.\\./|é){0,16}",
        mode in prop_oneof![Just(Mode::Full), Just(Mode::DotsOnly)],
    ) {
        if let Ok(normal) = normalise(&path, mode) {
            prop_assert!(normal.starts_with('/'));
            prop_assert!(!normal.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert!(!normal.contains('#'));
            if mode == Mode::Full {
                prop_assert!(!normal.contains("//") && !normal.contains('\\') && !normal.contains("%2F"));
            }
            prop_assert_eq!(normalise(&normal, mode), Ok(Cow::Borrowed(normal.as_ref())));
        }
    }

    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        for mode in [Mode::Full, Mode::DotsOnly, Mode::Off] {
            let _ = normalise(&text, mode);
        }
    }
}
