#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;

use super::*;
use crate::affinity::{Candidate, Key, order};

fn keys(secrets: &[&str]) -> Keys {
    Keys::new(secrets).unwrap()
}

fn today() -> Keys {
    keys(&["a secret of enough bytes"])
}

fn alice() -> Owner {
    Owner::jwt("alice").unwrap()
}

fn native(upstream_id: &str) -> Native {
    Native {
        pool: PoolTag::of("pool"),
        endpoint: EndpointTag::of("a"),
        key: Key(7),
        upstream_id: upstream_id.to_owned(),
    }
}

#[test]
fn an_id_has_one_spelling_for_good() {
    // Ids outlive releases: a change here strands conversations, and needs a new version byte.
    let id = wrap(&today(), &alice(), &native("resp_1")).unwrap();
    insta::assert_snapshot!(id);
    let id = MemoryId::mint(Key(0xa), 0xb, 0xc);
    assert_eq!(id.to_string(), "resp_000000000000000a000000000000000b000000000000000c");
    assert_eq!(id.next(0xd).to_string(), "resp_000000000000000a000000000000000b000000000000000d");
    assert_eq!(ConversationId::mint(Key(1), 2).to_string(), "conv_00000000000000010000000000000002");
}

#[test]
fn what_is_no_memory_id_is_unknown() {
    let good = MemoryId::mint(Key(u64::MAX), 0, 1).to_string();
    for bad in [
        String::new(),
        "resp_".to_owned(),
        good.to_uppercase(),
        good.replace('f', "F"),
        good.replace("resp_", "conv_"),
        good.replace("resp_", "resp_+"),
        format!("{good}0"),
        format!("{good}{}", "0".repeat(16)),
        format!(" {good}"),
        good[..good.len() - 1].to_owned(),
        good.replacen('f', "g", 1),
        good.replacen("ff", "é", 1),
    ] {
        assert_eq!(bad.parse::<MemoryId>(), Err(IdError::Unknown), "{bad}");
        assert_eq!(ResponseId::read(&today(), &alice(), &bad), Err(IdError::Unknown), "{bad}");
        assert_eq!(bad.replace("conv_", "resp_").parse::<ConversationId>(), Err(IdError::Unknown), "{bad}");
    }
    assert_eq!("conv_+000000000000001000000000000000".parse::<ConversationId>(), Err(IdError::Unknown));
}

#[test]
fn only_ids_that_can_stand_in_a_path_are_wrapped() {
    for bad in ["", " ", "a b", "a\n", "\u{7f}", "é", ".", "..", &"x".repeat(MAX_UPSTREAM_ID + 1)] {
        assert_eq!(wrap(&today(), &alice(), &native(bad)), Err(IdError::Upstream), "{bad:?}");
    }
    let longest = native(&"x".repeat(MAX_UPSTREAM_ID));
    let id = wrap(&today(), &alice(), &longest).unwrap();
    assert_eq!(unwrap(&today(), &alice(), &id), Ok(longest));
}

#[test]
fn another_version_is_unknown_and_so_is_another_spelling() {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    // 37 bytes and 1: the last character carries spare bits; `A` to `P` differ in them alone.
    let id = wrap(&today(), &alice(), &native("x")).unwrap();
    let mut bytes = B64.decode(id.strip_prefix("resp_n").unwrap()).unwrap();
    assert_eq!(bytes.len() % 3, 2);
    let (head, last) = id.split_at(id.len() - 1);
    let spare = (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').filter(|b| [*b] != last.as_bytes());
    for byte in spare {
        let other = format!("{head}{}", char::from(byte));
        unwrap(&today(), &alice(), &other).expect_err(&other);
    }
    assert_eq!(unwrap(&today(), &alice(), &format!("{id}=")), Err(IdError::Unknown));
    bytes[0] = 2;
    let other = format!("resp_n{}", B64.encode(bytes));
    assert_eq!(unwrap(&today(), &alice(), &other), Err(IdError::Unknown));
}

#[test]
fn a_rotated_secret_still_verifies_until_it_is_taken_away() {
    let (old, new) = ("the secret of last year", "the secret of this year");
    let given = wrap(&keys(&[old]), &alice(), &native("resp_1")).unwrap();
    assert_eq!(unwrap(&keys(&[new, old]), &alice(), &given), Ok(native("resp_1")));
    assert_eq!(unwrap(&keys(&[new]), &alice(), &given), Err(IdError::Forged));
    let signed = wrap(&keys(&[new, old]), &alice(), &native("resp_1")).unwrap();
    assert_eq!(unwrap(&keys(&[new]), &alice(), &signed), Ok(native("resp_1")));
    assert_eq!(unwrap(&keys(&[old]), &alice(), &signed), Err(IdError::Forged));
}

#[test]
fn a_credential_owns_what_it_owned_before_a_rotation() {
    let (old, both) =
        (keys(&["the secret of last year"]), keys(&["the secret of this year", "the secret of last year"]));
    let then = Owner::authorization(&old, b"Bearer x");
    let now = Owner::authorizations(&both, b"Bearer x");
    assert_eq!(now, [Owner::authorization(&both, b"Bearer x"), then.clone()]);
    assert_ne!(now[0], now[1]);
    let given = wrap(&old, &then, &native("r")).unwrap();
    assert_eq!(now.iter().find_map(|owner| unwrap(&both, owner, &given).ok()), Some(native("r")));
}

#[test]
fn no_source_of_owners_speaks_for_another() {
    let keys = today();
    let by_authorization = Owner::authorization(&keys, b"alice");
    let hash = by_authorization.as_str().strip_prefix("auth:").unwrap().to_owned();
    assert_eq!(hash.len(), 64);
    let owners = [
        alice(),
        Owner::header(b"alice").unwrap(),
        Owner::header(b"jwt:alice").unwrap(),
        Owner::header(b"anonymous").unwrap(),
        Owner::header(hash.as_bytes()).unwrap(),
        Owner::anonymous(),
        by_authorization,
    ];
    for (i, a) in owners.iter().enumerate() {
        let id = wrap(&keys, a, &native("r")).unwrap();
        for (j, b) in owners.iter().enumerate() {
            assert_eq!(a == b, i == j, "{a} {b}");
            assert_eq!(unwrap(&keys, b, &id).is_ok(), i == j, "{a} {b}");
        }
    }
    assert_eq!(Owner::jwt(""), Err(OwnerError::Empty));
    assert_eq!(Owner::header(b""), Err(OwnerError::Empty));
    assert_eq!(Owner::header(b"\xff"), Err(OwnerError::NotUtf8));
}

#[test]
fn weak_secrets_are_refused_and_none_is_shown() {
    assert_eq!(Keys::new::<&str>(&[]).unwrap_err(), KeysError::None);
    let error = Keys::new(&["0123456789abcdef", "short"]).unwrap_err();
    assert_eq!(error, KeysError::Short { index: 1, bytes: 5 });
    assert_eq!(format!("{:?}", today()), "Keys(1 secrets)");
}

#[test]
fn a_response_is_found_where_it_was_served_whatever_the_hash_says_now() {
    let names: Vec<String> = (0..8).map(|i| format!("endpoint-{i}")).collect();
    let key = Key(42);
    let first = |n: usize, weight: u32| {
        let all: Vec<_> = names.iter().take(n).map(|e| Candidate::new(e, weight)).collect();
        names[order(key, &all)[0]].clone()
    };
    // Served by what the hash would not choose: a fail-over in turn 1.
    let served = names.iter().take(2).find(|name| **name != first(2, 1)).unwrap();
    let id = wrap(&today(), &alice(), &Native { endpoint: EndpointTag::of(served), key, ..native("r") }).unwrap();
    // Another worker, after a restart, with more endpoints and other weights.
    let found = unwrap(&today(), &alice(), &id).unwrap();
    assert_eq!(found.key, key);
    assert_eq!(names.iter().filter(|name| EndpointTag::of(name) == found.endpoint).collect::<Vec<_>>(), [served]);
}

prop_compose! {
    fn any_native()(pool: String, endpoint: String, key: u64, upstream_id in "[!-~]{1,80}".prop_filter("a segment", |id| id != "." && id != "..")) -> Native {
        Native { pool: PoolTag::of(&pool), endpoint: EndpointTag::of(&endpoint), key: Key(key), upstream_id }
    }
}

proptest! {
    #[test]
    fn memory_ids_round_trip(key: u64, conversation: u64, node: u64) {
        let id = MemoryId::mint(Key(key), conversation, node);
        prop_assert_eq!(id.to_string().len(), 53);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        let read = ResponseId::read(&today(), &alice(), &id.to_string()).unwrap();
        prop_assert_eq!(read.key(), Key(key));
        prop_assert_eq!(read, ResponseId::Memory(id));
        let id = ConversationId::mint(Key(key), conversation);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn native_ids_round_trip(native in any_native(), owner: String) {
        let owner = Owner::jwt(&format!("x{owner}")).unwrap();
        let id = wrap(&today(), &owner, &native).unwrap();
        prop_assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'), "{}", id);
        prop_assert!(id.parse::<MemoryId>().is_err());
        prop_assert_eq!(ResponseId::read(&today(), &owner, &id), Ok(ResponseId::Native(native)));
    }

    #[test]
    fn any_changed_byte_any_other_owner_any_other_secret_is_refused(native in any_native(), at: prop::sample::Index, byte in 0_u8..128, other: String) {
        let (keys, owner) = (today(), alice());
        let id = wrap(&keys, &owner, &native).unwrap();
        let mut changed = id.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] = byte;
        let changed = String::from_utf8(changed).unwrap();
        if changed != id {
            prop_assert!(ResponseId::read(&keys, &owner, &changed).is_err(), "{}", changed);
        }
        let shorter = id.get(..id.len() - 1).unwrap();
        prop_assert!(unwrap(&keys, &owner, shorter).is_err());
        let other_owner = Owner::jwt(&format!("{other}!")).unwrap();
        prop_assert_eq!(unwrap(&keys, &other_owner, &id), Err(IdError::Forged));
        let other_keys = Keys::new(&[format!("another secret altogether {other}")]).unwrap();
        prop_assert_eq!(unwrap(&other_keys, &owner, &id), Err(IdError::Forged));
    }

    #[test]
    fn whatever_is_no_id_is_an_error(text in prop_oneof!["\\PC{0,80}", "resp_[n0-9a-f][A-Za-z0-9_=-]{0,120}", "resp_[0-9a-f]{48}[0-9a-fA-F]"]) {
        prop_assert!(ResponseId::read(&today(), &alice(), &text).is_err() || text.parse::<MemoryId>().is_ok());
    }
}
