//! Sixteen bytes of a JSON string at a time: where its plain run ends.

use wide::u8x16;

/// What is looked at in one step: one SIMD register where the target has them.
pub(super) type Block = [u8; 16];

/// One bit a byte, lowest first: whether it is a quote, a backslash or a control character.
#[inline]
pub(super) fn stops(block: &Block) -> u32 {
    let bytes = u8x16::new(*block);
    let control = bytes.simd_eq(bytes.min(u8x16::splat(0x1f)));
    (bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control).to_bitmask()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_loop_finds(block: Block, at in 0_usize..16, byte in prop::sample::select(b"\"\\\x1f\x20\x00\x80".to_vec())) {
            let mut block = block;
            if let Some(slot) = block.get_mut(at) {
                *slot = byte;
            }
            let plain = block.iter().rev().fold(0, |bits, byte| (bits << 1) | u32::from(matches!(byte, b'"' | b'\\' | 0..0x20)));
            prop_assert_eq!(stops(&block), plain);
        }
    }
}
