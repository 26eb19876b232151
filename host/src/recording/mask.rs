//! Masks what identifies people: each word of a text becomes another word of the same shape.
//!
//! A word is a run of letters and digits. A small letter becomes a small letter, a capital letter a
//! capital one, a digit a digit, and a letter of another alphabet one of the same alphabet with as
//! many bytes. All other characters stay, and so does the last label of the domain of an e-mail
//! address. So an address stays an address, a name of 40 characters has 40, and a text that was
//! escaped still has to be.
//!
//! The same word becomes the same one wherever it stands, and two different words of one shape
//! never become the same: the mapping is a permutation of the words of each shape, by a Feistel
//! network. Its key is random, never written, and ends with the process, so nobody can look a
//! masked word up.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;

/// Longer words are masked in parts, so that the time grows with the length alone.
const PART: usize = 32;

/// Rounds of the network. With three, two halves are mixed already.
const ROUNDS: u32 = 4;

/// How many code points have all but the last byte of UTF-8 in common.
const BLOCK: u32 = 64;

/// Masks texts by a key of its own.
#[derive(Debug, Default)]
pub(super) struct Mask {
    key: RandomState,
    /// The letters among which one of another alphabet is replaced, by block and kind.
    alphabets: HashMap<(u32, Kind), Arc<[char]>>,
}

/// What a letter or digit stays.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
enum Kind {
    Lower,
    Upper,
    Digit,
    Letter,
}

impl Kind {
    fn of(c: char) -> Option<Self> {
        if c.is_lowercase() {
            Some(Self::Lower)
        } else if c.is_uppercase() {
            Some(Self::Upper)
        } else if c.is_numeric() {
            Some(Self::Digit)
        } else {
            c.is_alphabetic().then_some(Self::Letter)
        }
    }
}

/// The characters that one may become.
enum Alphabet {
    /// So many from this one on.
    Ascii(u8, u32),
    These(Arc<[char]>),
}

impl Alphabet {
    fn size(&self) -> u32 {
        match self {
            Self::Ascii(_, size) => *size,
            Self::These(letters) => u32::try_from(letters.len()).unwrap_or(1),
        }
    }

    fn index(&self, c: char) -> u32 {
        match self {
            Self::Ascii(first, _) => u32::from(c) - u32::from(*first),
            Self::These(letters) => {
                let index = letters.iter().position(|letter| *letter == c);
                index
                    .and_then(|index| index.try_into().ok())
                    .unwrap_or_default()
            }
        }
    }

    fn letter(&self, index: u32) -> Option<char> {
        match self {
            Self::Ascii(first, _) => char::from_u32(u32::from(*first) + index),
            Self::These(letters) => letters.get(usize::try_from(index).ok()?).copied(),
        }
    }
}

impl Mask {
    /// A text with its words masked.
    pub(super) fn text(&mut self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        self.characters(&mut characters);
        characters.into_iter().collect()
    }

    /// Masks the words of a text.
    pub(super) fn characters(&mut self, text: &mut [char]) {
        let kept = last_labels(text);
        let mut at = 0;
        while at < text.len() {
            let word = text.iter().skip(at).take_while(|c| c.is_alphanumeric());
            let end = at + word.count();
            let is_kept = kept.iter().any(|label| label.contains(&at));
            if !is_kept && let Some(word) = text.get_mut(at..end) {
                for part in word.chunks_mut(PART) {
                    self.word(part);
                }
            }
            at = end + 1;
        }
    }

    /// Bytes that are no text, replaced by as many others.
    pub(super) fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let seed = self.key.hash_one(bytes);
        (0..bytes.len())
            .map(|at| self.key.hash_one((seed, at)).to_le_bytes()[0])
            .collect()
    }

    fn word(&mut self, word: &mut [char]) {
        let alphabets: Vec<Alphabet> = word.iter().map(|c| self.alphabet(*c)).collect();
        let mut indices: Vec<u32> = word
            .iter()
            .zip(&alphabets)
            .map(|(c, alphabet)| alphabet.index(*c))
            .collect();
        let middle = word.len() / 2;
        for round in 0..ROUNDS {
            let (first, second) = indices.split_at_mut(middle);
            let (first_sizes, second_sizes) = alphabets.split_at(middle);
            // Each half is moved by what the other one is, which can be undone.
            if round % 2 == 0 {
                let seed = self.key.hash_one((round, &*first));
                shift(second, second_sizes, seed);
            } else {
                let seed = self.key.hash_one((round, &*second));
                shift(first, first_sizes, seed);
            }
        }
        for ((c, alphabet), index) in word.iter_mut().zip(&alphabets).zip(indices) {
            *c = alphabet.letter(index).unwrap_or(*c);
        }
    }

    fn alphabet(&mut self, c: char) -> Alphabet {
        match c {
            'a'..='z' => return Alphabet::Ascii(b'a', 26),
            'A'..='Z' => return Alphabet::Ascii(b'A', 26),
            '0'..='9' => return Alphabet::Ascii(b'0', 10),
            _ => {}
        }
        let (block, kind) = (
            u32::from(c) / BLOCK * BLOCK,
            Kind::of(c).unwrap_or(Kind::Letter),
        );
        let letters = self.alphabets.entry((block, kind)).or_insert_with(|| {
            let all = (block..block + BLOCK).filter_map(char::from_u32);
            let fits = |letter: &char| letter.is_alphanumeric() && Kind::of(*letter) == Some(kind);
            all.filter(fits).collect()
        });
        Alphabet::These(Arc::clone(letters))
    }
}

/// Moves each index within its alphabet by numbers that follow from the seed.
fn shift(indices: &mut [u32], alphabets: &[Alphabet], mut seed: u64) {
    for (index, alphabet) in indices.iter_mut().zip(alphabets) {
        // SplitMix64.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let size = u64::from(alphabet.size().max(1));
        let moved = (u64::from(*index) + (mixed >> 31) % size) % size;
        *index = u32::try_from(moved).unwrap_or_default();
    }
}

/// The last labels of the domains of e-mail addresses. They say of which kind a domain is, and
/// nothing of a person.
fn last_labels(text: &[char]) -> Vec<std::ops::Range<usize>> {
    let signs = text.iter().enumerate().filter(|(_, c)| **c == '@');
    let label = |(sign, _): (usize, &char)| {
        let domain = text.get(sign + 1..)?;
        let is_part = |c: &&char| c.is_alphanumeric() || matches!(c, '-' | '.' | '\u{3002}');
        let length = domain.iter().take_while(is_part).count();
        let domain = domain.get(..length)?;
        let last = domain.iter().rposition(|c| c.is_alphanumeric())? + 1;
        let begins = domain
            .get(..last)?
            .iter()
            .rposition(|c| matches!(c, '.' | '\u{3002}'));
        Some(sign + 1 + begins.map_or(0, |dot| dot + 1)..sign + 1 + last)
    };
    signs.filter_map(label).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn masked_text_has_the_shape_of_the_text_and_none_of_its_words() {
        let mut mask = Mask::default();
        for text in [
            "Ann-Marie O'Brien 3rd",
            "Jörg Müller",
            "Ελένη 王小明 Борис",
            "+49 (30) 1234567",
            "e\u{301}lan \u{1f600} x",
            "",
            &"x".repeat(1000),
        ] {
            let masked = mask.text(text);
            assert_eq!(masked.len(), text.len(), "{text}: {masked}");
            assert_eq!(masked, mask.text(text), "{text}");
            for (before, after) in text.chars().zip(masked.chars()) {
                assert_eq!(
                    before.is_alphanumeric(),
                    after.is_alphanumeric(),
                    "{masked}"
                );
                assert_eq!(Kind::of(before), Kind::of(after), "{text}: {masked}");
            }
        }
        let long = mask.text("Bartholomew");
        assert!(long != "Bartholomew" && long != Mask::default().text("Bartholomew"));
    }

    #[test]
    fn different_words_of_one_shape_stay_different() {
        let mut mask = Mask::default();
        let pairs = ('a'..='z').flat_map(|one| ('a'..='z').map(move |two| format!("{one}{two}")));
        let masked: HashSet<String> = pairs.map(|pair| mask.text(&pair)).collect();
        assert_eq!(masked.len(), 26 * 26);
        let letters: HashSet<String> = ('a'..='z').map(|c| mask.text(&c.to_string())).collect();
        assert_eq!(letters.len(), 26);
    }

    #[test]
    fn masked_word_keeps_its_capital_letters_apart() {
        let mut mask = Mask::default();
        let (small, mixed) = (mask.text("annabel"), mask.text("AnnaBel"));
        assert_eq!(mixed.to_lowercase(), small);
    }

    #[test]
    fn last_label_of_a_domain_is_kept_and_no_other() {
        let mut mask = Mask::default();
        let masked = mask.text("Ann <ann.smith@mail.example.test>, bob@localhost. Then x.org");
        assert!(masked.contains(".test>"), "{masked}");
        assert!(masked.contains("@localhost."), "{masked}");
        for word in ["smith", "example", "mail"] {
            assert!(!masked.contains(word), "{masked}");
        }
    }
}
