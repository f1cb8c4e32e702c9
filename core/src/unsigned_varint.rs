//! Unsigned numbers of seven bits a byte, low bits first, as records of Kafka's own topics hold them (KIP-482).

/// Reads one byte by byte; `None` if it has more than 32 bits.
///
/// # Errors
/// What `next_byte` says.
pub(crate) fn read<E>(mut next_byte: impl FnMut() -> Result<u8, E>) -> Result<Option<u32>, E> {
    let mut number = 0;
    for shift in [0, 7, 14, 21, 28] {
        let byte = next_byte()?;
        if shift == 28 && byte > 0x0f {
            break;
        }
        number |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Option<u32>, &'static str> {
        let mut bytes = bytes.iter();
        read(|| bytes.next().copied().ok_or("it ends early"))
    }

    #[test]
    fn a_number_has_32_bits_at_most() {
        assert_eq!(of(&[0]), Ok(Some(0)));
        assert_eq!(of(&[0x80, 0x01]), Ok(Some(128)));
        assert_eq!(of(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(Some(u32::MAX)));
        assert_eq!(of(&[0xff, 0xff, 0xff, 0xff, 0x1f]), Ok(None));
        assert_eq!(of(&[0x80, 0x80, 0x80, 0x80, 0x80]), Ok(None));
        assert_eq!(of(&[0x80]), Err("it ends early"));
    }
}
