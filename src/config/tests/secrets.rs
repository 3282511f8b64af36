//! Owns the tests that the API key is read only from its own places, and never shown.

use super::*;

const MISSING: &str = "LEMONDATA_API_KEY: there is no API key; put the key into the variable \
                       LEMONDATA_API_KEY, or into a file named by LEMONDATA_API_KEY_FILE; to try taskgate \
                       without a key, run `taskgate demo`";
/// A key without the usual prefix: it is masked only because it is known.
const ODD_KEY: &str = "hunter2-hunter2";

fn key_file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn the_key_comes_from_the_variable_or_a_file() {
    assert_eq!(loaded("", &[]).upstream.api_key.expose(), KEY);
    let (_dir, path) = key_file("from-a-file\r\n");
    for (file, name) in [
        (String::new(), "LEMONDATA_API_KEY_FILE"),
        (String::new(), "TASKGATE_UPSTREAM__API_KEY_FILE"),
        (format!("upstream.api_key_file = {path:?}"), "LEMONDATA_API_KEY_FILE"),
    ] {
        // An empty variable counts as not set.
        let upstream = loaded(&file, &[("LEMONDATA_API_KEY", ""), (name, &path)]).upstream;
        assert_eq!(upstream.api_key.expose(), "from-a-file");
        assert_eq!(upstream.api_key_file, Some(PathBuf::from(&path)));
        assert_eq!(read_key_file(Path::new(&path)), Ok(upstream.api_key));
    }
}

#[test]
fn settings_from_a_key_file_are_printed_so_that_they_load_beside_the_same_variable() {
    let (_dir, path) = key_file("from-a-file");
    let env = [("LEMONDATA_API_KEY", ""), ("LEMONDATA_API_KEY_FILE", path.as_str())];
    let first = loaded("", &env);
    let second = loaded(&render(&first), &env);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

#[test]
fn a_key_that_is_missing_or_doubtful_is_a_fault() {
    let (_dir, path) = key_file("from-a-file");
    let (_other_dir, other) = key_file("from-another");
    let setting = format!("upstream.api_key_file = {other:?}");
    let file = "LEMONDATA_API_KEY_FILE";
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case<'_>; 10] = [
        ("", &[("LEMONDATA_API_KEY", "")], MISSING),
        (
            "",
            &[(file, &path)],
            "LEMONDATA_API_KEY: the key comes from here and from LEMONDATA_API_KEY_FILE; remove one of the two",
        ),
        (
            &setting,
            &[],
            "LEMONDATA_API_KEY: the key comes from here and from upstream.api_key_file; remove one of the two",
        ),
        (
            &setting,
            &[("LEMONDATA_API_KEY", ""), (file, &path)],
            "LEMONDATA_API_KEY_FILE: names another file than upstream.api_key_file; remove one of the two",
        ),
        (
            "",
            &[("LEMONDATA_API_KEY", ""), (file, "/no/such/file")],
            "LEMONDATA_API_KEY_FILE: the key file cannot be read: there is no such file; name a file that \
             holds the key alone",
        ),
        (
            "upstream.api_key_file = \"/\"",
            &[("LEMONDATA_API_KEY", "")],
            "upstream.api_key_file (config.toml): the key file cannot be read: it is a directory; name a file \
             that holds the key alone",
        ),
        (
            "",
            &[("LEMONDATA_API_KEY", "Bearer hunter2")],
            "LEMONDATA_API_KEY: holds blanks or line breaks; set it to the key alone",
        ),
        (
            "",
            &[("LEMONDATA_API_KEY", "'hunter2'")],
            "LEMONDATA_API_KEY: holds quotes around the key; set it to the key alone",
        ),
        (
            "",
            &[("LEMONDATA_API_KEY", "LEMONDATA_API_KEY=hunter2-hunter2")],
            "LEMONDATA_API_KEY: holds the name of a variable and = before the key; set it to the key alone",
        ),
        (
            "",
            &[("LEMONDATA_API_KEY", "hünter2")],
            "LEMONDATA_API_KEY: holds characters that no key has; set it to the key alone",
        ),
    ];
    for (text, env, said) in cases {
        assert_eq!(faults(text, env), said);
    }
}

#[test]
fn a_key_file_is_judged_without_showing_it() {
    let long = "x".repeat(5000);
    for (text, fault) in [
        ("", "is empty"),
        ("\n", "is empty"),
        ("hunter2\nhunter3\n", "holds blanks or line breaks"),
        (" hunter2", "holds blanks or line breaks"),
        ("LEMONDATA_API_KEY=sk-hunter2\n", "holds the name of a variable and = before the key"),
        ("LEMONDATA_API_KEY=\n", "holds the name of a variable and = before the key"),
        ("api_key=hunter2hunter2\n", "holds the name of a variable and = before the key"),
        ("OPENAI=sk-hunter2\n", "holds the name of a variable and = before the key"),
        ("export API_KEY='sk-hunter2'\n", "holds the name of a variable and = before the key"),
        ("\"hunter2\"\n", "holds quotes around the key"),
        (&long, "holds more than any key is long"),
    ] {
        let (_dir, path) = key_file(text);
        let said = read_key_file(Path::new(&path)).unwrap_err();
        assert_eq!(said, format!("the key file {fault}; put the key alone into it"));
    }
}

#[test]
fn a_key_may_hold_the_signs_of_base64() {
    for key in ["QUJD_REVG=", "QUJD_RE==", "sk_1/+x=y"] {
        let (_dir, path) = key_file(key);
        assert_eq!(read_key_file(Path::new(&path)).unwrap().expose(), key);
    }
}

#[test]
fn a_key_in_the_wrong_place_is_refused_and_not_shown() {
    for name in
        ["listen", "allowed_hosts", "allowed_origins", "trusted_proxies", "max_connections", "shutdown_grace"]
    {
        for key in [KEY, ODD_KEY] {
            let file = format!("server.{name} = \"{key}\"");
            let said = faults(&file, &[("LEMONDATA_API_KEY", key)]);
            assert!(!said.is_empty() && !said.contains(key), "{said}");
        }
    }
    let key = [("LEMONDATA_API_KEY", ODD_KEY)];
    for (file, said) in [
        ("upstream.headers = { X-A = \"a hunter2-hunter2\" }", "upstream.headers (config.toml): holds"),
        ("upstream.status_pointer = \"/hunter2-hunter2\"", "upstream.status_pointer (config.toml): holds"),
        ("hunter2-hunter2 = 1", "*** (config.toml): no such setting"),
        ("server.hunter2-hunter2 = 1", "server.*** (config.toml): no such setting"),
        ("upstream.api_key = hunter2-hunter2", "config.toml:1:20: not valid TOML"),
        ("upstream.api_key = \"hunter2-hunter2\"", "upstream.api_key (config.toml): the key must not"),
    ] {
        let found = faults(file, &key);
        assert!(found.starts_with(said) && !found.contains(ODD_KEY), "{found}");
    }
    // The key comes from a file, and the variable of another setting holds it too.
    let (_dir, path) = key_file(ODD_KEY);
    let env =
        [("LEMONDATA_API_KEY", ""), ("LEMONDATA_API_KEY_FILE", &path), ("TASKGATE_ADMIN__LISTEN", ODD_KEY)];
    assert_eq!(
        faults("", &env),
        "admin.listen (TASKGATE_ADMIN__LISTEN): \"***\" is not an IP address with a port; write \
         \"127.0.0.1:9797\", or \"off\""
    );
    // The key stands in the place of its file's path.
    let said = faults("", &[("LEMONDATA_API_KEY", ""), ("LEMONDATA_API_KEY_FILE", ODD_KEY)]);
    assert!(said.contains("no such file") && !said.contains(ODD_KEY), "{said}");
}

#[test]
fn settings_show_no_secret_however_they_are_printed() {
    let file = "upstream.headers = { X-Api-Token = \"tell-nobody\", X-Team = \"video\" }";
    let settings = loaded(file, &[("LEMONDATA_API_KEY", ODD_KEY)]);
    for text in [format!("{settings:?}"), format!("{settings:#?}"), render(&settings)] {
        assert!(!text.contains(ODD_KEY) && !text.contains("tell-nobody"), "{text}");
        assert!(text.contains("video"), "{text}");
    }
    let printed = render(&settings);
    assert!(printed.contains("# The API key itself: ***"));
    assert!(printed.contains("x-api-token = \"***\""), "{printed}");
    loaded(&printed, &[]);
}

#[test]
fn the_password_of_redis_is_used_and_not_shown() {
    let address = "rediss://me:hunter2@cache.example.com:6380/1";
    let given = loaded(&format!("shared.redis_url = {address:?}"), &[]);
    let (_dir, path) = key_file(&format!("{address}\n"));
    let from_file = loaded("", &[("TASKGATE_SHARED__REDIS_URL_FILE", &path)]);
    for settings in [&given, &from_file] {
        assert_eq!(settings.shared.redis_url.as_ref().unwrap().expose(), address);
        for text in [format!("{settings:?}"), render(settings)] {
            assert!(!text.contains("hunter2"), "{text}");
        }
        loaded(&render(settings), &[]);
    }
    let other = loaded("shared.redis_url = \"rediss://me:hunter3@cache.example.com:6380/1\"", &[]);
    assert_eq!(changes(&given, &other), ["shared.redis_url"], "another password needs a restart");
    let said = faults("shared.redis_url = \"http://me:hunter2@cache\"", &[]);
    assert!(said.contains("redis://") && !said.contains("hunter2"), "{said}");
}
