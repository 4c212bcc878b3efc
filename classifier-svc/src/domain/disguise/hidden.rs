//! Characters that nobody sees, and letters that look like other letters.

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::skeleton;

use super::{Edit, runs};

/// Fewer tag characters are a flag's region.
const LEAST_TAGS: usize = 8;

/// Unseen characters between Latin letters or digits go, and where there are such, those beside a space too; text written
/// in tag characters is made visible.
pub(super) fn zero_width(text: &str) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut disguised = false;
    for (range, run) in runs(text, is_unseen) {
        let tags: String = run.chars().filter_map(of_tag).collect();
        let before = text.get(..range.start).and_then(|t| t.chars().next_back());
        let after = text.get(range.end..).and_then(|t| t.chars().next());
        if tags.len() >= LEAST_TAGS {
            disguised = true;
            edits.push(Edit { range, text: format!(" {tags} ") });
        } else if [before, after].iter().all(|c| c.is_some_and(|c| is_latin(c) || c == ' ')) {
            disguised |= before != Some(' ') && after != Some(' ');
            edits.push(Edit { range, text: String::new() });
        }
    }
    if disguised { edits } else { Vec::new() }
}

fn is_latin(c: char) -> bool {
    c.is_ascii_alphanumeric() || ('\u{c0}'..'\u{250}').contains(&c)
}

/// Characters that take no place or show none.
const fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// The ASCII character that a tag character stands for.
fn of_tag(c: char) -> Option<char> {
    ('\u{e0020}'..='\u{e007e}').contains(&c).then(|| char::from_u32(c as u32 - 0xe0000)).flatten()
}

/// Shorter words that mix scripts are formulas and units.
const LEAST_LETTERS: usize = 3;

/// A word, letter by letter.
struct Word {
    /// In Latin letters, where every letter has one that looks like it.
    latin: Option<String>,
    letters: usize,
    ascii: usize,
    lookalikes: usize,
    /// Letters that are styled Latin ones (mathematical, full width, circled) and of no other script.
    styled: usize,
}

/// Words that mix Latin letters with ones that look like them, and words that only look Latin in a text that has no
/// word of that other script.
pub(super) fn homoglyphs(text: &str) -> Vec<Edit> {
    if text.is_ascii() {
        return Vec::new();
    }
    let words: Vec<_> =
        runs(text, |c| c.is_alphanumeric() || is_boxed(c)).map(|(range, word)| (range, read(word))).collect();
    // A word of another script has letters that look like no Latin one.
    let foreign = words.iter().any(|(_, word)| word.latin.is_none() && word.ascii == 0);
    words
        .into_iter()
        .filter(|(_, word)| word.letters >= LEAST_LETTERS && word.lookalikes + word.styled > 0)
        .filter(|(_, word)| word.ascii > 0 || word.styled == word.letters || !foreign)
        .filter_map(|(range, word)| Some(Edit { range, text: word.latin? }))
        .collect()
}

fn read(word: &str) -> Word {
    let mut read = Word { latin: Some(String::new()), letters: 0, ascii: 0, lookalikes: 0, styled: 0 };
    for c in word.chars() {
        read.letters += 1;
        let like = match c {
            _ if c.is_ascii() => {
                read.ascii += 1;
                Some(c)
            }
            // Accents, superscripts and subscripts hide nothing.
            '\u{80}'..'\u{250}' | '\u{2070}'..'\u{20a0}' => Some(c),
            _ if styled(c).is_some() => {
                read.styled += 1;
                styled(c)
            }
            _ => lookalike(c).inspect(|_| read.lookalikes += 1),
        };
        read.latin = read.latin.take().zip(like).map(|(mut latin, c)| {
            latin.push(c);
            latin
        });
    }
    read
}

/// Letters in squares and circles on a dark ground, which no normal form knows.
const fn is_boxed(c: char) -> bool {
    matches!(c, '\u{1f150}'..='\u{1f169}' | '\u{1f170}'..='\u{1f189}')
}

/// The Latin letter of which this is a style.
fn styled(c: char) -> Option<char> {
    if is_boxed(c) {
        let place = (c as u32 - 0x1f150) % 32;
        return char::from_u32(u32::from(b'A') + place);
    }
    let mut normal = std::iter::once(c).nfkc();
    let (first, second) = (normal.next()?, normal.next());
    (second.is_none() && first != c && first.is_ascii_alphabetic()).then_some(first)
}

/// The ASCII letter that this letter of another script looks like.
fn lookalike(c: char) -> Option<char> {
    if let Some((_, latin)) =
        SMALL_CAPITALS.chars().zip("abcdefghijklmnopqrstuvwyz".chars()).find(|(small, _)| *small == c)
    {
        return Some(latin);
    }
    let like = alike(c)?;
    // Capital I and small l share a shape: the small letter of the pair tells.
    match like {
        'l' if c.is_uppercase() => c.to_lowercase().next().and_then(alike).or(Some(like)),
        _ => Some(like),
    }
}

const SMALL_CAPITALS: &str = "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘǫʀꜱᴛᴜᴠᴡʏᴢ";

fn alike(c: char) -> Option<char> {
    let mut buffer = [0; 4];
    let mut shape = skeleton(c.encode_utf8(&mut buffer));
    match (shape.next()?, shape.next()) {
        (one, None) if one.is_ascii_alphanumeric() => Some(one),
        ('r', Some('n')) => Some('m'),
        _ => None,
    }
}
