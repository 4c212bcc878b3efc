//! The names, forms and templates that a part of the generated set is made of.

use super::templates::{NEGATIVE, Negative, POSITIVE, Positive};

/// What [`super::values`] and [`super::generate`] draw from. In forms `#` is a digit, `%` one from 2 to 9, `A` a capital,
/// `~` a hexadecimal digit, `w` a letter or digit.
pub(super) struct Words {
    /// Texts with personal data.
    pub(super) positive: Positive,
    /// Texts without.
    pub(super) negative: Negative,
    /// Telephone numbers by country and way of writing.
    pub(super) phone: &'static [&'static str],
    /// Driver's licences by state.
    pub(super) licence: &'static [&'static str],
    /// Postal codes.
    pub(super) zip: &'static [&'static str],
    /// Streets: NUM and LOW are house numbers, NAME and OTHER names, STADT a German one.
    pub(super) street: &'static [&'static str],
    /// Services' keys.
    pub(super) key: &'static [&'static str],
    /// Local parts of e-mail addresses.
    pub(super) users: &'static [&'static str],
    /// Their domains.
    pub(super) domains: &'static [&'static str],
    /// Names of streets.
    pub(super) streets: &'static [&'static str],
    /// First parts of German streets' names.
    pub(super) german: &'static [&'static str],
}

/// What rules are written against.
#[rustfmt::skip]
pub(super) const DEVELOPMENT: Words = Words {
    positive: POSITIVE,
    negative: NEGATIVE,
    phone: &[
        "(212) %53-####", "+1 415 %29 ####", "206-%48-####", "+1-312-%29-####", "617.%32.####", "305 %48 ####", "1-800-%29-####", "+44 20 79%6 ####", "020 79%6 ####",
        "0781# 345###", "+44 781# 345###", "0161 496 0###", "+49 30 8861####", "030 8861####", "0171 23#####", "+33 6 12 3# ## ##", "06 12 3# ## ##", "01 42 68 ## ##",
        "+91 987## 43###", "987## 43###", "9876#43###", "+34 612 34# ###", "612 3# ## ##", "+39 347 12# ####", "+81 90-12##-5###", "+86 138 12## 5###", "138 12## 5###",
        "+55 11 987##-43##", "(415)%%%-####", "+61 412 34# ###", "0412 34# ###", "+31 6 123#####", "+44 (0)20 7946 0###", "0049 30 8861####", "089/123#####",
    ],
    licence: &[
        "A#######", "########", "A###-####-####", "A############", "#########", "A########", "A##-##-####", "### ### ###", "A####-#####-#####",
        "A###-###-##-###-0", "AA######", "A##############", "##AAA#####", "AAA######", "A######", "D###-####-####", "8########", "S########",
    ],
    zip: &["#####", "#####-####", "SW1\\A 1\\A\\A", "##\\4\\1#", "EC#V #BB", "LS# #DQ", "#\\0210", "K#J #B#", "M## #GH"],
    street: &[
        "NUM NAME Street", "NUM NAME Ave", "NUM N NAME Blvd", "LOW NAME Road", "NUM NAME Lane, Apt 4B", "NUM OTHER NAME Drive", "NUM W 42nd St", "LOW NAME Gardens", "NUM NAME St. NW",
        "LOW rue de NAME", "LOW avenue NAME", "LOW bis rue NAME", "STADTstraße LOW", "STADTer Straße LOW", "STADTweg LOW", "Calle NAME LOW", "Via NAME LOW", "Rua NAME, LOW", "STADTstr. LOWa", "NUM NAME Court #12", "NUM NAME Parkway, Suite 300",
        "P.O. Box NUM", "NUM NAME Terrace", "LOW-LOW NAME Close",
    ],
    key: &[
        "sk-wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww1q", "sk-ant-\\api03-wwwwwwwwwwwwwwwwwwwwwwww#wwwwwwww", "ghp_wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww", "\\AKI\\AAAAA##AAAAAA#AAA", "xoxb-############-############-wwwwwwwwwwwwwwwwwwwwwwww", "\\AIzaSyww#wwwwwwwwwwwwwwwwwwwwwwwwwwwwww",
        "glpat-wwwwwwwwwwwwwwwwww#w", "sk_live_wwwwwwwwwwwwwww#wwwwwwww", "hf_wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww", "eyJhbGciOiJIUzI1NiJ#.eyJzdWIiOiwwwwwwww.wwwwwwwwwwwwwwwwwwwwwwww", "npm_wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww", "github_pat_wwwwwwwwwwwwwwwwwwwwww_wwwwwwwwwwwwwww#", "SG.wwwwwwwwwwwwwwwwwwwwww.wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww", "shpat_~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~", "dop_v1_~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~",
    ],
    users: &[    "anna", "li.wei", "omar", "priya", "j.smith", "kowalski", "garcia", "yuki", "fatima", "sven", "olu", "dmitri", "chloe", "mehmet", "ines", "noah", "r2d2", "support", "maria-luisa", "tariq", "helga", "pierre", "aoife", "nguyen",],
    domains: &[    "gmail.com", "example.org", "mail.co.uk", "web.de", "orange.fr", "corp.example.com", "yahoo.co.jp", "uni-bonn.de", "startup.io", "qq.com", "proton.me", "libero.it", "gov.sg", "school.edu", "shop.online", "sub.mail.company.net", "posteo.de", "outlook.com",],
    streets: &[    "Maple", "Oak", "Washington", "Elm", "Cedar", "Pine", "Lincoln", "Church", "Victoria", "Garibaldi", "Jefferson", "Willow", "Sunset", "Highland", "Mozart", "Franklin", "Lakeview", "Cavour", "Chestnut", "Spruce", "Madison", "Magnolia", "Pasteur", "Colón",],
    german: &["Haupt", "Bahnhof", "Garten", "Schul", "Linden", "Goethe", "Berlin", "Mühlen", "Rosen"],
};
