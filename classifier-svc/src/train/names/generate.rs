//! Writes labelled texts from lists and templates. Deterministic by seed.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    Labelled,
    lists::{Culture, Lists, Template},
};
use crate::pii::Kind;

/// How names and texts of one part are drawn.
pub struct Generator<'a> {
    lists: &'a Lists,
    /// Texts without names that stand beside templates, so that contexts are not only those of templates.
    carriers: &'a [String],
    rng: StdRng,
}

/// How a text is cased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    AsWritten,
    Lower,
    Upper,
    /// Names in small letters in a text that is written well.
    NamesLower,
    /// Without accents.
    Plain,
}

/// A piece of a text, and what it is.
type Piece = (String, Option<Kind>);

impl<'a> Generator<'a> {
    /// A generator over these lists.
    #[must_use]
    pub const fn new(lists: &'a Lists, carriers: &'a [String], rng: StdRng) -> Self {
        Self { lists, carriers, rng }
    }

    /// So many texts, every template about as often as any other.
    #[must_use]
    pub fn texts(&mut self, count: usize) -> Vec<Labelled> {
        let lists = self.lists;
        (0..count).filter_map(|i| lists.templates.get(i % lists.templates.len().max(1))).map(|t| self.text(t)).collect()
    }

    /// A template filled, now and then beside another or beside a carrier.
    fn text(&mut self, template: &Template) -> Labelled {
        let mut pieces = self.fill(&template.text);
        if self.rng.random_bool(0.3) {
            let (between, other) = (self.one_of(&[" ", "\n", "\n\n"]), self.beside());
            match self.rng.random_bool(0.5) {
                true => {
                    pieces.push((between, None));
                    pieces.extend(other);
                }
                false => {
                    pieces.insert(0, (between, None));
                    pieces.splice(0..0, other);
                }
            }
        }
        let case = self.case(&template.kind);
        let mut text = String::new();
        let mut entities = Vec::new();
        for (piece, kind) in pieces {
            let piece = apply(case, &piece, kind.is_some());
            let start = text.len();
            text.push_str(&piece);
            entities.extend(kind.map(|kind| (kind, start..text.len())));
        }
        let kind = match case {
            Case::Lower => format!("{}, lower case", template.kind),
            Case::Upper => format!("{}, upper case", template.kind),
            _ => template.kind.clone(),
        };
        Labelled { text, entities, kind: Some(kind) }
    }

    fn beside(&mut self) -> Vec<Piece> {
        if self.rng.random_bool(0.5)
            && let Some(carrier) = self.carriers.choose(&mut self.rng)
        {
            return vec![(carrier.clone(), None)];
        }
        match self.lists.templates.choose(&mut self.rng) {
            Some(template) => self.fill(&template.text),
            None => Vec::new(),
        }
    }

    fn case(&mut self, kind: &str) -> Case {
        let (lower, upper) = match kind {
            "chat" | "negative" => (0.35, 0.03),
            "caps" => (0.0, 0.8),
            "code" | "form" => (0.04, 0.02),
            _ => (0.1, 0.03),
        };
        let draw: f64 = self.rng.random();
        match draw {
            d if d < lower => Case::Lower,
            d if d < lower + upper => Case::Upper,
            d if d < lower + upper + 0.03 => Case::NamesLower,
            d if d < lower + upper + 0.08 => Case::Plain,
            _ => Case::AsWritten,
        }
    }

    /// Fills the slots of a template.
    fn fill(&mut self, template: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('[') {
            let slot = after.split_once(']').and_then(|(slot, tail)| Some((self.slot(slot)?, tail)));
            match slot {
                Some((piece, tail)) => {
                    pieces.push((before.to_owned(), None));
                    pieces.push(piece);
                    rest = tail;
                }
                None => {
                    pieces.push((format!("{before}["), None));
                    rest = after;
                }
            }
        }
        pieces.push((rest.to_owned(), None));
        pieces
    }

    /// What a slot holds; none for brackets that are no slot.
    fn slot(&mut self, slot: &str) -> Option<Piece> {
        let filler = |name: &str| -> Option<&[String]> {
            let list = self.lists.fillers(name);
            (!list.is_empty()).then_some(list)
        };
        let (text, kind) = match slot {
            "P" => (self.person(), Some(Kind::Person)),
            "FULL" => (self.full(), Some(Kind::Person)),
            "G" => (self.given(), Some(Kind::Person)),
            "F" => (self.family(), Some(Kind::Person)),
            "N" => (self.family_comma_given(), Some(Kind::Person)),
            "K" => (self.pick(&self.lists.known_people), Some(Kind::Person)),
            "O" => (self.organisation(), Some(Kind::Organization)),
            "L" => (self.place(), Some(Kind::Location)),
            "C" => (self.pick(self.lists.places("cities")), Some(Kind::Location)),
            "COUNTRY" => (self.pick(self.lists.places("countries")), Some(Kind::Location)),
            "STATE" => (self.pick(self.lists.places("regions")), Some(Kind::Location)),
            "num" => (self.number(), None),
            other => (self.pick(filler(other)?), None),
        };
        Some((text, kind))
    }

    fn pick(&mut self, list: &[String]) -> String {
        list.choose(&mut self.rng).cloned().unwrap_or_default()
    }

    fn one_of(&mut self, list: &[&str]) -> String {
        list.choose(&mut self.rng).copied().unwrap_or_default().to_owned()
    }

    fn number(&mut self) -> String {
        let digits = self.rng.random_range(1..6);
        self.rng.random_range(1..10_u32.pow(digits)).to_string()
    }

    /// English names are a fifth of all; the other cultures share the rest.
    fn culture(&mut self) -> Option<&'a Culture> {
        let lists = self.lists;
        match self.rng.random_bool(0.2) {
            true => lists.cultures.first(),
            false => lists.cultures.choose(&mut self.rng),
        }
    }

    fn given(&mut self) -> String {
        self.culture().map(|c| self.pick(&c.given)).unwrap_or_default()
    }

    fn family(&mut self) -> String {
        self.culture().map(|c| self.pick(&c.family)).unwrap_or_default()
    }

    fn family_comma_given(&mut self) -> String {
        let Some(culture) = self.culture() else { return String::new() };
        format!("{}, {}", self.pick(&culture.family), self.pick(&culture.given))
    }

    fn person(&mut self) -> String {
        match self.rng.random_range(0..20) {
            0..4 => self.given(),
            4 => self.family(),
            _ => self.full(),
        }
    }

    fn full(&mut self) -> String {
        let Some(culture) = self.culture() else { return String::new() };
        let (given, family) = (self.pick(&culture.given), self.pick(&culture.family));
        if culture.family_first && self.rng.random_bool(0.6) {
            return format!("{family} {given}");
        }
        let initial = self.one_of(&["A", "B", "C", "D", "E", "G", "H", "J", "K", "L", "M", "P", "R", "S", "T", "W"]);
        let first = given.chars().next().unwrap_or('A');
        match self.rng.random_range(0..30) {
            0 => format!("{given} {initial}. {family}"),
            1 => format!("{given} {initial} {family}"),
            2 => format!("{first}. {family}"),
            3 => format!("{first}. {initial}. {family}"),
            4 => format!("{given} {} {family}", self.pick(&culture.given)),
            5 => format!("{given} {family}-{}", self.pick(&culture.family)),
            6 => format!("{given} {family} {}", self.pick(&culture.family)),
            7 => format!("{given}-{} {family}", self.pick(&culture.given)),
            _ => format!("{given} {family}"),
        }
    }

    fn organisation(&mut self) -> String {
        let lists = self.lists;
        let list = |name| lists.organisations(name);
        let city = |g: &mut Self| g.pick(lists.places("cities"));
        match self.rng.random_range(0..20) {
            0..7 => self.pick(list("known")),
            7..9 => self.pick(list("acronyms")),
            9..12 => format!("{} {}", self.pick(list("stems")), self.pick(list("endings"))),
            12 => self.pick(list("stems")),
            13 => format!("{} {}", self.family(), self.pick(list("family endings"))),
            14 => format!("{} & {}", self.family(), self.family()),
            15 => self.pick(list("of city")).replace('*', &city(self)),
            16 => self.pick(list("of city")).replace('*', &self.pick(lists.places("countries"))),
            17 => format!("{} {}", city(self), self.pick(list("after city"))),
            18 => self.pick(list("teams and bands")),
            _ => format!("{} {}", self.pick(list("stems")), self.pick(list("legal forms"))),
        }
    }

    fn place(&mut self) -> String {
        let list = match self.rng.random_range(0..10) {
            0..5 => "cities",
            5..7 => "countries",
            7..9 => "regions",
            _ => "natural",
        };
        self.pick(self.lists.places(list))
    }
}

fn apply(case: Case, piece: &str, named: bool) -> String {
    match case {
        Case::Lower => piece.to_lowercase(),
        Case::NamesLower if named => piece.to_lowercase(),
        Case::Upper => piece.to_uppercase(),
        Case::Plain => piece.chars().map(plain).collect(),
        Case::AsWritten | Case::NamesLower => piece.to_owned(),
    }
}

/// A letter without its accent, for the letters that names here have.
const fn plain(c: char) -> char {
    match c {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' | 'ă' | 'ą' | 'ā' | 'ạ' | 'ả' | 'ầ' | 'ấ' => 'a',
        'Á' | 'À' | 'Â' | 'Ã' | 'Ä' | 'Å' => 'A',
        'é' | 'è' | 'ê' | 'ë' | 'ę' | 'ě' | 'ế' | 'ễ' | 'ẹ' | 'ệ' | 'ė' => 'e',
        'É' | 'È' | 'Ê' => 'E',
        'í' | 'ì' | 'î' | 'ï' | 'ı' | 'ị' | 'ī' => 'i',
        'Í' | 'İ' => 'I',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' | 'ọ' | 'ồ' | 'ố' => 'o',
        'Ó' | 'Ö' | 'Ø' => 'O',
        'ú' | 'ù' | 'û' | 'ü' | 'ű' | 'ů' | 'ư' | 'ữ' | 'ū' => 'u',
        'Ú' | 'Ü' => 'U',
        'ç' | 'ć' | 'č' => 'c',
        'Ç' | 'Č' | 'Ć' => 'C',
        'ñ' | 'ń' | 'ň' => 'n',
        'š' | 'ş' | 'ś' | 'ș' => 's',
        'Š' | 'Ş' | 'Ś' => 'S',
        'ž' | 'ź' | 'ż' => 'z',
        'Ž' | 'Ż' => 'Z',
        'ł' => 'l',
        'Ł' => 'L',
        'ý' | 'ỳ' => 'y',
        'ř' => 'r',
        'ğ' => 'g',
        'ț' | 'ť' => 't',
        'đ' | 'ď' => 'd',
        'Đ' => 'D',
        other => other,
    }
}
