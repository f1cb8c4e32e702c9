//! The one checksum of the house: CRC-32C (Castagnoli), as Kafka's record batches carry it and as our own
//! files use it.
//!
//! ```text
//!   crc(A ++ B) = shift(crc(A), len B) xor crc(B)        shift is linear, so a change in A alone
//!   crc(A' ++ B) = crc(A ++ B) xor shift(crc(A) xor crc(A'), len B)   never needs B to be read again
//! ```
//!
//! Always true: every other crate calls these functions and names no checksum library, so that the library
//! can be exchanged where a measurement says so. Two stand behind them: one whose start costs nothing, and one that
//! is nearly twice as fast once it runs (`bench/benches/checksum.rs` compares both).

/// From this length on the library with the longer start is the faster one: 228 against 176 ns at 4 KiB, 3.0
/// against 1.7 us at 64 KiB, but 70 against 91 ns at 1 KiB.
const LONG_BYTES: usize = 4096;

/// The CRC-32C of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    if bytes.len() < LONG_BYTES { crc32c::crc32c(bytes) } else { crc_fast::crc32_iscsi(bytes) }
}

/// The CRC-32C of everything that made `crc`, followed by `bytes`.
#[inline]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    if bytes.len() < LONG_BYTES {
        crc32c::crc32c_append(crc, bytes)
    } else {
        crc32c_combine(crc, crc_fast::crc32_iscsi(bytes), bytes.len())
    }
}

/// The CRC-32C of A ++ B from the CRC-32C of each and the length of B, without reading either.
pub fn crc32c_combine(crc_of_first: u32, crc_of_second: u32, second_bytes: usize) -> u32 {
    shift(crc_of_first, second_bytes) ^ crc_of_second
}

/// The CRC-32C of A' ++ B, given that of A ++ B, where A' replaces an A of the same length.
pub fn crc32c_replace_prefix(crc: u32, old_prefix: &[u8], new_prefix: &[u8], suffix_bytes: usize) -> u32 {
    assert_eq!(old_prefix.len(), new_prefix.len(), "a prefix is replaced by one of the same length");
    crc ^ shift(crc32c(old_prefix) ^ crc32c(new_prefix), suffix_bytes)
}

/// Castagnoli's polynomial, lowest power in the highest bit, as are all polynomials below.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;
const X: u32 = 1 << 30;

/// x to the powers 1, 2, 4, 8 ...
const POWERS: [u32; usize::BITS as usize] = {
    let mut powers = [X; usize::BITS as usize];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = multiply(powers[index - 1], powers[index - 1]);
        index += 1;
    }
    powers
};

/// What a checksum becomes when `bytes` zero bytes follow, apart from their own checksum: it is multiplied by
/// x to the power of eight times their number. A multiplication for each bit set in the number, some 25 ns each;
/// the library's own combination takes 16 us.
fn shift(crc: u32, bytes: usize) -> u32 {
    let mut shifted = crc;
    let mut left = bytes;
    while left != 0 {
        let bit = left.trailing_zeros() as usize;
        // Powers repeat: x to 2^(bit + 3) beyond the table is of no length that memory holds.
        shifted = multiply(shifted, POWERS[(bit + 3) % POWERS.len()]);
        left &= left - 1;
    }
    shifted
}

/// The product of two polynomials modulo Castagnoli's.
const fn multiply(left: u32, right: u32) -> u32 {
    let (mut product, mut shifted, mut mask) = (0, right, ONE);
    while mask != 0 {
        if left & mask != 0 {
            product ^= shifted;
        }
        shifted = (shifted >> 1) ^ (POLYNOMIAL & (shifted & 1).wrapping_neg());
        mask >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_castagnolis_polynomial() {
        // Given the check value every CRC-32C catalogue lists.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), 0);
    }

    #[test]
    fn both_libraries_agree_where_one_takes_over_from_the_other() {
        let bytes: Vec<u8> = (0..2 * LONG_BYTES).map(|number| (number * 31 % 251) as u8).collect();
        for length in [LONG_BYTES - 1, LONG_BYTES, LONG_BYTES + 1, 2 * LONG_BYTES] {
            assert_eq!(crc32c(&bytes[..length]), crc32c::crc32c(&bytes[..length]), "{length} bytes");
            let appended = crc32c_append(7, &bytes[..length]);
            assert_eq!(appended, crc32c::crc32c_append(7, &bytes[..length]), "{length} bytes");
        }
    }

    #[test]
    fn appending_equals_one_pass() {
        let bytes: Vec<u8> = (0..9000u32).map(|number| (number * 31 % 251) as u8).collect();
        for cut in [0, 1, 7, 40, 61, 903, 904, 4095, 4096, 4999, 5000] {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(crc32c_append(crc32c(head), tail), crc32c(&bytes), "cut at {cut}");
            assert_eq!(
                crc32c_combine(crc32c(head), crc32c(tail), tail.len()),
                crc32c(&bytes),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_replaced_prefix_needs_no_second_look_at_the_rest() {
        let tail: Vec<u8> = (0..70_000u32).map(|number| (number * 17 % 253) as u8).collect();
        let old = [&[7u8; 40][..], &tail].concat();
        let new = [&[9u8; 40][..], &tail].concat();
        assert_eq!(crc32c_replace_prefix(crc32c(&old), &[7; 40], &[9; 40], tail.len()), crc32c(&new));
    }
}
