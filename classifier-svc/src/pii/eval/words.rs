//! Names and forms; of each list every third is for the test.

/// Forms that [`super::values`] fills.
pub(super) struct Formats {
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
}

#[rustfmt::skip]
pub(super) const FORMATS: Formats = Formats {
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
};

#[rustfmt::skip]
pub(super) const USERS: &[&str] = &[
    "anna", "li.wei", "omar", "priya", "j.smith", "kowalski", "garcia", "yuki", "fatima", "sven", "olu", "dmitri", "chloe", "mehmet", "ines", "noah", "r2d2", "support", "maria-luisa", "tariq", "helga", "pierre", "aoife", "nguyen",
];
#[rustfmt::skip]
pub(super) const DOMAINS: &[&str] = &[
    "gmail.com", "example.org", "mail.co.uk", "web.de", "orange.fr", "corp.example.com", "yahoo.co.jp", "uni-bonn.de", "startup.io", "qq.com", "proton.me", "libero.it", "gov.sg", "school.edu", "shop.online", "sub.mail.company.net", "posteo.de", "outlook.com",
];
#[rustfmt::skip]
pub(super) const STREETS: &[&str] = &[
    "Maple", "Oak", "Washington", "Elm", "Cedar", "Pine", "Lincoln", "Church", "Victoria", "Garibaldi", "Jefferson", "Willow", "Sunset", "Highland", "Mozart", "Franklin", "Lakeview", "Cavour", "Chestnut", "Spruce", "Madison", "Magnolia", "Pasteur", "Colón",
];
#[rustfmt::skip]
pub(super) const CITIES_DE: &[&str] = &["Haupt", "Bahnhof", "Garten", "Schul", "Linden", "Goethe", "Berlin", "Mühlen", "Rosen"];
#[rustfmt::skip]
pub(super) const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
