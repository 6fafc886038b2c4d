//! Small things that several targets do with bytes.

/// Where `needle` begins.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, needle)
}

/// The bytes before the first `separator`, and the bytes after it.
pub(crate) fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(bytes, separator)?;
    Some((&bytes[..at], &bytes[at + separator.len()..]))
}

/// Undoes `%XX`; what is no escape stays.
pub(crate) fn percent_decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|&b| char::from(b).to_digit(16));
    let mut plain = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).expect("two digits"));
                at += 3;
            }
            (byte, _, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

/// A number that depends on every byte (FNV-1a): chance that comes out the same each time.
pub(crate) fn chance(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Pieces of `bytes` of sizes that chance decides, up to 1, 2, 4, … or 512 bytes, some empty.
pub(crate) fn cut(mut bytes: &[u8], mut chance: u64) -> Vec<&[u8]> {
    let most = 1 << (chance % 10);
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        // Marsaglia, "Xorshift RNGs".
        chance |= 1;
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        let size = usize::try_from(chance % (most + 1)).expect("small");
        let (piece, rest) = bytes.split_at(size.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}
