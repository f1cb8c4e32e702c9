//! The one checksum of the house: CRC-32C (Castagnoli), as Kafka's record batches carry it and as our own
//! files use it.
//!
//! ```text
//!   crc(A ++ B) = shift(crc(A), len B) xor crc(B)        shift is linear, so a change in A alone
//!   crc(A' ++ B) = crc(A ++ B) xor shift(crc(A) xor crc(A'), len B)   never needs B to be read again
//! ```
//!
//! Always true: every other crate calls these functions and names no checksum library, so that the library
//! can be exchanged where a measurement says so (`bench/benches/checksum.rs` keeps both candidates).

/// The CRC-32C of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// The CRC-32C of everything that made `crc`, followed by `bytes`.
#[inline]
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// The CRC-32C of A ++ B from the CRC-32C of each and the length of B, without reading either.
pub fn crc32c_combine(crc_of_first: u32, crc_of_second: u32, second_bytes: usize) -> u32 {
    crc32c::crc32c_combine(crc_of_first, crc_of_second, second_bytes)
}

/// The CRC-32C of A' ++ B, given that of A ++ B, where A' replaces an A of the same length.
pub fn crc32c_replace_prefix(crc: u32, old_prefix: &[u8], new_prefix: &[u8], suffix_bytes: usize) -> u32 {
    assert_eq!(old_prefix.len(), new_prefix.len(), "a prefix is replaced by one of the same length");
    crc ^ crc32c_combine(crc32c(old_prefix) ^ crc32c(new_prefix), 0, suffix_bytes)
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
    fn appending_equals_one_pass() {
        let bytes: Vec<u8> = (0..5000u32).map(|number| (number * 31 % 251) as u8).collect();
        for cut in [0, 1, 7, 40, 61, 4096, 5000] {
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
