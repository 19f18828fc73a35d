//! The common name in a certificate's subject. Read by hand, since rustls has checked the certificate already and a whole
//! X.509 parser would be the server's largest dependency for one string.
//!
//! ```text
//! subject = SEQUENCE OF  SET OF  SEQUENCE { OID, text }      2.5.4.3 is the common name
//! ```

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// The last (the most specific) common name of a verified certificate's subject.
pub(crate) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    common_name_of(parsed.subject())
}

/// `subject` is without its own tag and length.
fn common_name_of(mut subject: &[u8]) -> Option<String> {
    let mut found = None;
    while !subject.is_empty() {
        let mut set = take(&mut subject, SET)?;
        while !set.is_empty() {
            let mut pair = take(&mut set, SEQUENCE)?;
            if take(&mut pair, OID)? != COMMON_NAME {
                continue;
            }
            let text = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING]
                .into_iter()
                .find(|tag| pair.first() == Some(tag))
                .and_then(|tag| take(&mut pair, tag))?;
            found = Some(std::str::from_utf8(text).ok()?.to_owned());
        }
    }
    found
}

/// Takes one value with that tag from the front.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (&[found, short], rest) = input.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (len, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (len, rest) = rest.split_first()?;
            (usize::from(*len), rest)
        }
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(len)?;
    *input = rest;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
        let mut all = vec![tag];
        if value.len() > 127 {
            all.push(0x81);
        }
        all.push(value.len() as u8);
        all.extend_from_slice(value);
        all
    }

    fn part(oid: &[u8], tag: u8, text: &str) -> Vec<u8> {
        let pair = [tlv(OID, oid), tlv(tag, text.as_bytes())].concat();
        tlv(SET, &tlv(SEQUENCE, &pair))
    }

    #[test]
    fn finds_the_common_name_among_others() {
        let organisation = part(&[0x55, 0x04, 0x0a], PRINTABLE_STRING, "Shop");
        let name = part(COMMON_NAME, UTF8_STRING, "billing-größe");
        let subject = [organisation.clone(), name].concat();
        assert_eq!(common_name_of(&subject).as_deref(), Some("billing-größe"));
        assert_eq!(common_name_of(&organisation), None);
        let long = "x".repeat(100);
        assert_eq!(
            common_name_of(&part(COMMON_NAME, IA5_STRING, &long)),
            Some(long)
        );
    }

    #[test]
    fn what_is_cut_or_odd_is_no_name() {
        let subject = part(COMMON_NAME, UTF8_STRING, "billing");
        for end in 0..subject.len() {
            assert_eq!(common_name_of(&subject[..end]), None);
        }
        assert_eq!(common_name_of(&[SET, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(common_name_of(&part(COMMON_NAME, 0x1e, "billing")), None);
    }
}
