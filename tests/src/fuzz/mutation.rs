//! Changes of inputs, the same in every run.

/// A source of numbers that look random (xorshift64*).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The numbers for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let number = usize::try_from(self.next() >> 33).unwrap_or(0);
        if end == 0 { 0 } else { number % end }
    }

    /// A range within `length`, mostly a short one.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        let limit = [2, 8, 64, length][self.below(4)];
        let end = (start + self.below(limit + 1)).min(length);
        start..end
    }
}

/// Bytes at which parsers decide.
const BYTES: &[u8] = b"\0\x01\x7f\x80\xff\n\r\t \"'#$%()*+,-./09:;<=>?@AZ[\\]_az{|}~";
/// Texts at which parsers decide.
const TEXTS: &[&[u8]] = &[
    b"..",
    b"../",
    b"./",
    b"//",
    b"\n\n",
    b"\r\n",
    b"\n%\n",
    b"18446744073709551615",
    b"-1",
    b"4294967296",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xc2\x85",
    b"\xf0\x9f\x98\x80",
    b"\xef\xbb\xbf",
    b"\x1b[0m",
    b"99999999999",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\0",
    b"**",
    b"1e999",
];

/// `data` with one to five changes. Parts of `other` may come into it.
pub fn change(data: &mut Vec<u8>, other: &[u8], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(5) {
        let range = numbers.range(data.len());
        match numbers.below(9) {
            0 if !data.is_empty() => {
                let at = numbers.below(data.len());
                data[at] ^= 1 << numbers.below(8);
            }
            1 if !data.is_empty() => {
                let at = numbers.below(data.len());
                data[at] = BYTES[numbers.below(BYTES.len())];
            }
            2 => drop(data.drain(range)),
            3 => {
                let copy = data[range].to_vec();
                let at = numbers.below(data.len() + 1);
                drop(data.splice(at..at, copy));
            }
            4 => drop(data.splice(range, other[numbers.range(other.len())].to_vec())),
            5 => {
                let at = range.start;
                drop(data.splice(at..at, TEXTS[numbers.below(TEXTS.len())].iter().copied()));
            }
            6 => drop(data.splice(range, TEXTS[numbers.below(TEXTS.len())].iter().copied())),
            7 => data.truncate(data.len() - numbers.below(data.len().min(64) + 1)),
            _ => {
                let at = range.start;
                data.insert(at, BYTES[numbers.below(BYTES.len())]);
            }
        }
    }
}
