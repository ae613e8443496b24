use proptest::prelude::*;

use super::*;

type Parts<'a> = (&'a str, Option<&'a str>, Option<&'a str>, u32);

#[track_caller]
fn assert_parts(address: &str, (server, user, password, database): Parts<'_>) {
    let parsed = Address::parse(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    assert_eq!(parsed.server.to_string(), server, "{address}");
    assert_eq!((parsed.user.as_deref(), parsed.password.as_deref()), (user, password), "{address}");
    assert_eq!(parsed.database, database, "{address}");
}

#[test]
fn every_part_of_an_address_counts() {
    for (address, parts) in [
        ("redis://localhost", ("localhost:6379", None, None, 0)),
        ("  REDIS://LocalHost  ", ("localhost:6379", None, None, 0)),
        ("valkey://h:1", ("h:1", None, None, 0)),
        ("redis://h/", ("h:6379", None, None, 0)),
        ("redis://h/3", ("h:6379", None, None, 3)),
        ("redis://h/3/", ("h:6379", None, None, 3)),
        ("redis://h:65535?db=2", ("h:65535", None, None, 2)),
        ("redis://h/?db=2", ("h:6379", None, None, 2)),
        ("redis://h?db=%32&", ("h:6379", None, None, 2)),
        ("redis://h?db=2147483647", ("h:6379", None, None, 2_147_483_647)),
        ("redis://bob:p%40ss@h", ("h:6379", Some("bob"), Some("p@ss"), 0)),
        ("redis://bob:p@ss:w@h", ("h:6379", Some("bob"), Some("p@ss:w"), 0)),
        ("redis://:a+b%2Bc%25@h", ("h:6379", None, Some("a+b+c%"), 0)),
        ("redis://b%6Fb@h", ("h:6379", Some("bob"), None, 0)),
        ("redis://h?user=bob&password=a+b%26c", ("h:6379", Some("bob"), Some("a+b&c"), 0)),
        ("redis://bob@h?pass=x=y", ("h:6379", Some("bob"), Some("x=y"), 0)),
        ("redis://:@h", ("h:6379", None, None, 0)),
        ("redis://[::1]:7000/1", ("::1:7000", None, None, 1)),
        ("redis://[2001:DB8::1]", ("2001:db8::1:6379", None, None, 0)),
        ("redis://[fe80::1%25eth0]", ("fe80::1%eth0:6379", None, None, 0)),
        ("redis://[fe80::1%eth0]:1", ("fe80::1%eth0:1", None, None, 0)),
        ("redis://[fe80::1%2]", ("fe80::1%2:6379", None, None, 0)),
        ("redis://10.0.0.7", ("10.0.0.7:6379", None, None, 0)),
    ] {
        assert_parts(address, parts);
    }
}

#[cfg(unix)]
#[test]
fn a_socket_has_what_a_host_has() {
    for (address, parts) in [
        ("unix:///run/redis.sock", ("/run/redis.sock", None, None, 0)),
        ("unix:/run/redis.sock?db=2&pass=x", ("/run/redis.sock", None, Some("x"), 2)),
        ("redis+unix://localhost/run/redis.sock", ("/run/redis.sock", None, None, 0)),
        ("Valkey+Unix:///run/my%20redis%2Bsock", ("/run/my redis+sock", None, None, 0)),
        ("unix://bob:p%40ss@/run/r?db=1", ("/run/r", Some("bob"), Some("p@ss"), 1)),
        ("unix:///run/a@b:c+d?user=bob&pass=a+b%2Bc", ("/run/a@b:c+d", Some("bob"), Some("a+b+c"), 0)),
    ] {
        assert_parts(address, parts);
    }
}

#[test]
fn what_is_not_understood_is_refused_and_says_why() {
    for (address, said) in [
        ("", "empty"),
        ("redis", "redis://"),
        ("http://h", "redis://"),
        ("redis:h", "//"),
        ("redis:///1", "no host"),
        ("redis://:6379", "no host"),
        ("redis://user@", "no host"),
        ("redis://h:", "port"),
        ("redis://h:0", "port"),
        ("redis://h:65536", "port"),
        ("redis://h:+80", "port"),
        ("redis://::1", "brackets"),
        ("redis://fe80::1:6379", "brackets"),
        ("redis://[::1", "]"),
        ("redis://[::1]6379", "]"),
        ("redis://[h]", "IPv6"),
        ("redis://[fe80::1%]", "zone"),
        ("redis://[fe80::1%25]", "zone"),
        ("redis://[fe80::1%25a%2Fb]", "zone"),
        ("redis://0.0.0.0", "listen"),
        ("redis://[::]", "listen"),
        ("redis://a b", "host"),
        ("redis://ä", "xn--"),
        ("redis://h%41", "host"),
        ("redis://h\t/1", "control"),
        ("redis://:pa/ss@h", "%2F"),
        ("redis://h/x", "database"),
        ("redis://h/-1", "database"),
        ("redis://h/01", "database"),
        ("redis://h/1/2", "database"),
        ("redis://h//1", "database"),
        ("redis://h/1//", "database"),
        ("redis://h?db=", "database"),
        ("redis://h?db=2147483648", "database"),
        ("redis://h/1?db=2", "the database is given twice"),
        ("redis://h/1?db=1", "the database is given twice"),
        ("redis://h?db=1&db=1", "the database is given twice"),
        ("redis://u@h?user=v", "the user is given twice"),
        ("redis://h?user=u&username=v", "the user is given twice"),
        ("redis://:p@h?pass=q", "the password is given twice"),
        (
            "redis://h?timeout=5",
            "`timeout` is not known. Parameters are `db`, `user` (or `username`), `pass`",
        ),
        ("redis://h?DB=1", "`DB` is not known"),
        ("redis://h?protocol=resp3", "RESP 2"),
        ("redis://h?db", "name=value"),
        ("redis://h#x", "#"),
        ("redis://:50%off@h", "%25"),
        ("redis://:%@h", "%25"),
        ("redis://:%é@h", "%25"),
        ("redis://:%ff@h", "UTF-8"),
        #[cfg(unix)]
        ("unix:run/redis", "slash"),
        #[cfg(unix)]
        ("unix://run/redis", "third slash"),
        #[cfg(unix)]
        ("unix:///run/redis/", "slash"),
        #[cfg(unix)]
        ("unix:", "slash"),
        #[cfg(unix)]
        ("unix:///run/%00", "bytes"),
        #[cfg(unix)]
        ("unix:///run/r?path=/x", "`path` is not known"),
        #[cfg(unix)]
        ("unix:///run/r?db=1&db=2", "the database is given twice"),
    ] {
        match Address::parse(address) {
            Ok(parsed) => assert_eq!(("", parsed.server.to_string().as_str()), (said, ""), "{address:?}"),
            Err(error) => assert!(error.to_string().contains(said), "{address:?}: {error}"),
        }
    }
    let long = format!("unix:///{}", "x".repeat(SOCKET_BYTES_MAX));
    assert!(Address::parse(&long).is_err_and(|error| error.to_string().contains("bytes at most")));
}

/// Whatever stands in its place, escaped or not, and whatever is around it.
fn address_with(password: &str) -> impl Strategy<Value = String> {
    let password = password.to_owned();
    let before = prop_oneof![
        Just("redis://:"),
        Just("redis://bob:"),
        Just("redis://h?pass="),
        Just("unix:///run/r?pass="),
        Just("redis://h?db=1&password="),
        Just("unix://:"),
        Just("redis:"),
        Just("redis://"),
        Just(""),
    ];
    let after = prop_oneof![
        Just("@h"),
        Just("@h/x"),
        Just("@h:0?x=1"),
        Just("@/run/r"),
        Just("@"),
        Just("&db=1&db=2"),
        Just(""),
        Just("&timeout=1"),
        Just("/1@h"),
    ];
    (before, "[/?#&=@:%+a\\[\\]]{0,3}", "[/?#&=@:%+0-9\\[\\]]{0,3}", after)
        .prop_map(move |(before, one, other, after)| format!("{before}{one}{password}{other}{after}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_error_has_a_part_of_the_password(address in address_with("hunter?&=/zwei")) {
        if let Err(error) = Address::parse(&address) {
            let words = format!("{error} {error:?}");
            prop_assert!(!words.contains("hunter") && !words.contains("zwei"), "{address}: {words}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused(address in "(redis|unix|REDISS)?:?/{0,3}[a:@/?#&=%0-9\\[\\]é.+ -]{0,30}") {
        let _ = Address::parse(&address);
    }

    #[test]
    fn what_is_escaped_comes_back(user in "\\PC{1,8}", password in "\\PC{1,8}", database in 0..20u32) {
        let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let (shown_user, shown_password) = (escaped(&user), escaped(&password));
        for address in [
            format!("redis://{shown_user}:{shown_password}@h/{database}"),
            format!("redis://h?db={database}&user={shown_user}&pass={shown_password}"),
        ] {
            let parsed = Address::parse(&address).unwrap();
            prop_assert_eq!((parsed.user.as_ref(), parsed.password.as_ref()), (Some(&user), Some(&password)));
            prop_assert_eq!(parsed.database, database);
        }
    }
}
