//! NATS' keys as text: a prefix that says whose they are, 32 bytes, a checksum, all in base32.
//!
//! ```text
//! [ prefix u8 ][ public key, 32 bytes ][ CRC-16/XMODEM, little-endian ]   -> 56 letters of A-Z2-7: `U...` for users
//! ```

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const KEY_BYTES: usize = 32;
const WHOLE_BYTES: usize = 1 + KEY_BYTES + 2;
const TEXT_BYTES: usize = WHOLE_BYTES * 8 / 5;

/// Whose a key is.
const USER: u8 = 20 << 3;
const SERVER: u8 = 13 << 3;

/// A user's public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl PublicKey {
    /// Reads the text of a user's key, `U...`.
    ///
    /// # Errors
    /// A text that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole =
            decode(text).ok_or("a public key has 56 letters and digits: A to Z and 2 to 7")?;
        let (content, sum) = whole
            .split_last_chunk::<2>()
            .ok_or("a public key has 56 letters")?;
        if crc16(content).to_le_bytes() != *sum {
            return Err("the key's checksum does not fit: a letter is wrong".to_owned());
        }
        match content.split_first() {
            Some((&USER, key)) => key
                .try_into()
                .map(Self)
                .map_err(|_| "a public key has 32 bytes".to_owned()),
            _ => Err("it is no user's public key, which begins with U".to_owned()),
        }
    }
}

/// A server's id, made of 32 bytes.
pub(crate) fn server_id(bytes: &[u8; KEY_BYTES]) -> String {
    text_of(SERVER, bytes)
}

/// The text of a user's key.
#[cfg(test)]
pub(crate) fn user_key(bytes: &[u8; KEY_BYTES]) -> String {
    text_of(USER, bytes)
}

fn text_of(prefix: u8, bytes: &[u8; KEY_BYTES]) -> String {
    let content = [&[prefix], &bytes[..]].concat();
    let sum = crc16(&content).to_le_bytes();
    encode(&[&content[..], &sum].concat())
}

fn decode(text: &str) -> Option<[u8; WHOLE_BYTES]> {
    if text.len() != TEXT_BYTES {
        return None;
    }
    let mut whole = [0; WHOLE_BYTES];
    let (mut bits, mut held, mut at) = (0_u32, 0, 0);
    for letter in text.bytes() {
        let value = ALPHABET.iter().position(|&known| known == letter)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            *whole.get_mut(at)? = (bits >> held) as u8;
            at += 1;
        }
    }
    Some(whole)
}

fn encode(bytes: &[u8]) -> String {
    let (mut bits, mut held) = (0_u32, 0);
    let mut text = String::with_capacity(TEXT_BYTES);
    for &byte in bytes {
        bits = bits << 8 | u32::from(byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            let letter = ALPHABET[(bits >> held & 31) as usize];
            text.push(char::from(letter));
        }
    }
    text
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum, &byte| {
        (0..8).fold(sum ^ u16::from(byte) << 8, |sum: u16, _| {
            let carry = sum & 0x8000 != 0;
            sum << 1 ^ if carry { 0x1021 } else { 0 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_key_is_read_and_others_are_refused_with_words() {
        // Known from the documentation of nkeys.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        let text = user_key(&[7; 32]);
        assert!(text.starts_with('U') && text.len() == 56);
        assert_eq!(PublicKey::parse(&text), Ok(PublicKey([7; 32])));
        let mut wrong = text.clone();
        wrong.replace_range(9..10, if &text[9..10] == "A" { "B" } else { "A" });
        assert!(PublicKey::parse(&wrong).unwrap_err().contains("checksum"));
        let server = server_id(&[7; 32]);
        assert!(server.starts_with('N') && server.len() == 56);
        assert!(PublicKey::parse(&server).unwrap_err().contains("no user's"));
        for bad in ["", "U", "u234", &"1".repeat(56), &"é".repeat(28)] {
            assert!(PublicKey::parse(bad).is_err());
        }
    }
}
