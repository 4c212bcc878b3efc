//! Addresses on public ledgers: Base58Check (Bitcoin, Litecoin, Dogecoin, Tron), Bech32 and Bech32m (BIP 173, BIP 350), and
//! Ethereum's twenty bytes of hexadecimal.

use sha2::{Digest, Sha256};

use super::{
    kind::{Entity, Kind},
    page::{Page, Token},
};

/// Version bytes: Bitcoin P2PKH and P2SH, Litecoin's two, Dogecoin's two, Tron.
const VERSIONS: &[u8] = &[0x00, 0x05, 0x30, 0x32, 0x1e, 0x16, 0x41];

const BASE58: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const BECH32: &[u8] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Adds the addresses of `page`.
pub(super) fn find(page: &Page<'_>, found: &mut Vec<Entity>) {
    for token in page.tokens.iter().filter(|token| (26..=90).contains(&token.len())) {
        let text = page.slice(token.start..token.end);
        let alone =
            !matches!(page.before(token.start), b'/' | b'_' | b'-' | b'+' | b'=') || page.before(token.start) == b'=';
        let score = match text.as_bytes() {
            [b'0', b'x', hex @ ..] => is_ethereum(hex).then_some(0.9),
            _ if alone && (text.len() <= 35 && !token.is_number() && is_base58check(text) || is_bech32(text)) => {
                Some(Entity::PROVEN)
            }
            _ => None,
        };
        let Token { start, end, .. } = *token;
        found.extend(score.map(|score| Entity::new(Kind::CryptoAddress, start..end, score)));
    }
}

/// Forty hexadecimal digits that are not one of the constants that code is full of (all zeros, all the same).
fn is_ethereum(hex: &[u8]) -> bool {
    let distinct = hex.iter().collect::<std::collections::BTreeSet<_>>().len();
    hex.len() == 40 && hex.iter().all(u8::is_ascii_hexdigit) && distinct > 4
}

/// Twenty-five bytes of which the last four are the start of the double SHA-256 of the others.
fn is_base58check(text: &str) -> bool {
    let mut bytes = [0_u8; 25];
    for c in text.bytes() {
        let Some(mut carry) = BASE58.iter().position(|b| *b == c) else { return false };
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = carry.to_le_bytes().first().copied().unwrap_or(0);
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let Some((payload, check)) = bytes.split_last_chunk::<4>() else { return false };
    let is_known = payload.first().is_some_and(|version| VERSIONS.contains(version));
    is_known && Sha256::digest(Sha256::digest(payload)).starts_with(check)
}

/// A segregated-witness address: the polynomial check of BIP 173 or, from version 1 on, of BIP 350.
fn is_bech32(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let Some((head, data)) = ["bc1", "ltc1", "tb1"].iter().find_map(|head| Some((*head, text.strip_prefix(head)?)))
    else {
        return false;
    };
    let head = head.trim_end_matches('1');
    let expanded = head.bytes().map(|b| u32::from(b >> 5)).chain([0]).chain(head.bytes().map(|b| u32::from(b & 31)));
    let mut check = expanded.fold(1, polymod);
    for c in data.bytes() {
        let Some(value) = BECH32.iter().position(|b| *b == c) else { return false };
        check = polymod(check, u32::try_from(value).unwrap_or(0));
    }
    data.len() >= 8 && matches!(check, 1 | 0x2bc8_30a3)
}

fn polymod(check: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = check >> 25;
    let shifted = (check & 0x1ff_ffff) << 5 ^ value;
    GENERATOR.iter().enumerate().filter(|(bit, _)| top >> bit & 1 == 1).fold(shifted, |sum, (_, term)| sum ^ term)
}
