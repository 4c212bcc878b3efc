//! The words that say what the number beside them is.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind};

/// What a word says of what stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// A telephone.
    Phone,
    /// A payment card.
    Card,
    /// A social security number.
    Ssn,
    /// A host or its address.
    Host,
    /// A driver's licence.
    Licence,
    /// A place where somebody lives or gets post.
    Address,
    /// A postal code.
    Zip,
    /// A birth.
    Birth,
    /// A passport.
    Passport,
    /// A bank account or routing number.
    Account,
    /// A wallet on a public ledger.
    Wallet,
    /// A password.
    Password,
    /// A key or a token.
    Secret,
    /// The first letters of a service's keys.
    Prefix,
    /// The head of a PEM block.
    Pem,
    /// A version.
    Version,
    /// A number that is nobody's: of an order, a part, a section.
    Reference,
}

/// A cue word and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word {
    /// What it says.
    pub(super) cue: Cue,
    /// Its first byte.
    pub(super) start: usize,
    /// The byte after its last.
    pub(super) end: usize,
}

/// Where a cue must end or begin with a word.
#[derive(Clone, Copy, PartialEq)]
enum Edge {
    Both,
    Start,
    None,
}

#[rustfmt::skip]
const TABLE: &[(Cue, Edge, &[&str])] = &[
    (Cue::Phone, Edge::Both, &[
        "phone", "phones", "phone number", "phone no", "telephone", "tel", "tel.", "tele", "mobile", "mob", "cell", "cellphone", "cell phone", "landline", "call",
        "calls", "called", "calling", "dial", "dialed", "dialled", "ring", "fax", "whatsapp", "sms", "my number", "her number", "his number", "your number", "our number", "their number", "contact", "contact me", "contact us", "reach", "meine nummer", "erreichen", "mi número", "mon numéro", "mijn nummer", "meu número", "mio numero", "text me", "texted", "text us", "text him", "text her",
        "hotline", "helpline", "reach me", "reach us", "reach him", "reach her", "reached at", "reach them", "contact number", "contact no", "voicemail", "extension line", "direct line", "phone_number", "phonenumber", "phoneNo",
        "mobile_number", "callback", "call back", "ph", "ph.", "imessage", "facetime", "viber",
        "telefon", "telefonnummer", "telefonnr", "handy", "handynummer", "mobil", "mobilnummer", "rufnummer", "festnetz", "anrufen", "erreichbar", "rückruf", "durchwahl", "tel-nr",
        "téléphone", "téléphoner", "portable", "tél", "tél.", "appelez", "appeler", "appelle", "joindre", "joignable", "numéro de téléphone",
        "teléfono", "telefono", "móvil", "movil", "llame", "llámame", "llamar", "llama", "llámenos", "cellulare", "chiama", "chiamami", "chiamare", "telefone", "celular", "telemóvel", "ligue", "ligar",
        "telefoonnummer", "telefoon", "bel", "mobiel", "telefonu", "zadzwoń", "komórka", "ring", "puhelin", "telefonnummer",
    ]),
    (Cue::Phone, Edge::None, &["电话", "电话号码", "手机", "手机号", "致电", "電話", "携帯", "телефон", "тел.", "позвоните", "звоните", "фон", "फ़ोन", "फोन", "मोबाइल", "전화", "휴대폰", "هاتف", "جوال", "☎", "📞", "📱"]),
    (Cue::Card, Edge::Both, &[
        "card", "cards", "credit card", "debit card", "card number", "cardnumber", "card_number", "cc", "ccn", "cc_number", "visa", "mastercard", "amex", "american express", "maestro", "discover", "diners", "pan",
        "kreditkarte", "kreditkartennummer", "karte", "kartennummer", "carte", "carte bancaire", "carte bleue", "tarjeta", "carta di credito", "carta", "cartão", "creditcard", "kaart",
    ]),
    (Cue::Card, Edge::None, &["信用卡", "卡号", "クレジットカード", "银行卡"]),
    (Cue::Ssn, Edge::Both, &[
        "ssn", "ssns", "ss#", "ss #", "s.s.n", "social security", "social security number", "social security no", "social security #", "social sec", "soc sec", "social_security_number", "social_security", "ss number", "ssn_number",
        "my social", "his social", "her social", "taxpayer id", "tax id", "tin",
    ]),
    (Cue::Host, Edge::Both, &["ip", "ips", "ip address", "ip addresses", "ipv4", "ipv6", "ip_address", "ipaddr", "client_ip", "remote_addr", "host", "hosts", "server", "client", "ping", "ssh", "traceroute", "connect", "connected", "connection", "login", "logged in", "gateway", "router", "address", "addr", "inet", "inet6", "dns", "peer", "source", "origin", "x-forwarded-for", "adresse ip", "ip-adresse", "visitor", "node", "firewall", "subnet"]),
    (Cue::Licence, Edge::Both, &[
        "driver's license", "drivers license", "driver license", "driver's licence", "drivers licence", "driver licence", "driving license", "driving licence", "driver's lic", "drivers lic", "driver's license number",
        "driver license number", "drivers license number", "dl", "dl#", "dl #", "dl no", "dl number", "dln", "license no", "licence no", "license number", "licence number", "license #", "driver_license", "drivers_license", "driver_license_number", "driverlicense", "driverslicense", "lic#", "dl/id", "cdl", "state id", "operator license", "operator's license",
    ]),
    (Cue::Address, Edge::Both, &[
        "address", "addresses", "street", "live at", "lives at", "living at", "lived at", "live on", "lives on", "reside at", "resides at", "residing at", "residence", "ship to", "shipped to", "shipping", "send to", "send it to", "sent to", "mail to", "mail it to", "mailed to", "deliver to", "delivered to", "delivery",
        "located at", "moved to", "moving to", "move to", "home", "house at", "apartment at", "office at", "visit us at", "billing", "come to", "stay at", "staying at", "stays at", "addr", "pick up at", "pick me up at", "drop off at", "meet me at", "property at", "directions to",
        "wohne", "wohnt", "wohnhaft", "adresse", "anschrift", "habite", "domicilié", "domicilio", "dirección", "direccion", "vivo en", "vive en", "indirizzo", "abito", "abita", "residente", "endereço", "moro", "mora", "adres", "woon", "woont", "mieszkam", "bor på", "wonende",
    ]),
    (Cue::Zip, Edge::Both, &[
        "zip", "zip code", "zipcode", "zip_code", "postal code", "postal_code", "postalcode", "postcode", "post code", "plz", "postleitzahl", "code postal", "código postal", "codigo postal", "c.p.", "cap", "cep", "zip+4", "kod pocztowy", "postnummer", "pin code", "pincode", "zips", "postcodes", "zip codes",
    ]),
    (Cue::Zip, Edge::None, &["邮编", "邮政编码", "郵便番号", "〒"]),
    (Cue::Birth, Edge::Both, &[
        "born", "dob", "d.o.b", "d.o.b.", "date of birth", "birth date", "birthdate", "birth_date", "date_of_birth", "dateofbirth", "birthday", "bday", "b-day", "birthdays", "day of birth", "birth", "birth day",
        "geboren", "geb.", "geb", "geburtsdatum", "geburtstag", "né le", "née le", "né(e) le", "né", "née", "naissance", "date de naissance", "anniversaire", "nacido", "nacida", "nació", "nací", "nacimiento", "fecha de nacimiento", "cumpleaños", "nato", "nata", "nato il", "nata il", "data di nascita", "compleanno",
        "nascido", "nascida", "nasci", "nasceu", "nascimento", "data de nascimento", "aniversário", "geboortedatum", "verjaardag", "född", "födelsedatum", "født", "fødselsdato", "urodzony", "urodzona", "urodziny", "data urodzenia", "syntynyt", "syntymäaika",
    ]),
    (Cue::Birth, Edge::None, &["出生", "生于", "生於", "生日", "出生日期", "生年月日", "生まれ", "誕生日", "родился", "родилась", "дата рождения", "день рождения", "생년월일", "생일", "जन्म"]),
    (Cue::Passport, Edge::Both, &["passport", "passports", "passport number", "passport no", "passport #", "passport_number", "passport_no", "passportnumber"]),
    (Cue::Account, Edge::Both, &[
        "bank account", "account number", "account no", "account #", "acct", "acct.", "acct #", "acct no", "acct number", "account_number", "accountnumber", "bank_account", "checking account", "savings account", "checking", "routing", "routing number", "routing no", "routing #", "routing_number", "aba", "rtn", "aba routing", "direct deposit", "wire to",
    ]),
    (Cue::Wallet, Edge::Both, &["btc", "bitcoin", "ethereum", "eth", "wallet", "litecoin", "ltc", "dogecoin", "crypto", "tron", "usdt", "donate"]),
    (Cue::Password, Edge::None, &["password", "passwd", "passphrase", "passcode", "passwort", "kennwort", "contraseña", "mot de passe", "senha", "wachtwoord"]),
    (Cue::Password, Edge::Both, &["pwd", "pass", "pw"]),
    (Cue::Password, Edge::None, &["密码", "密碼", "パスワード", "пароль", "비밀번호"]),
    (Cue::Secret, Edge::None, &["secret", "token", "api_key", "apikey", "api-key", "api key", "access_key", "access-key", "access key", "accesskey", "auth_key", "authkey", "private_key", "signing_key", "encryption_key", "secret_key", "license_key", "account_key", "accountkey", "sharedaccesskey", "client_key", "subscription-key", "credential", "authorization", "bearer", "x-api-key", "service_key", "master_key", "masterkey"]),
    (Cue::Prefix, Edge::Start, super::secret::PREFIXES),
    (Cue::Pem, Edge::None, &["-----BEGIN "]),
    (Cue::Version, Edge::Both, &["version", "versions", "ver", "ver.", "v", "release", "releases", "released", "build", "rev", "revision", "firmware", "upgrade to", "upgraded to", "update to", "chapter", "section", "sections", "clause", "article", "figure", "paragraph", "patch", "driver", "upgrade", "upgraded", "downgrade", "package", "library", "sdk", "plugin", "software", "oid", "objectidentifier", "table", "appendix", "update", "migrate", "rule"]),
    (Cue::Reference, Edge::Both, &[
        "order", "orders", "order number", "order no", "order id", "invoice", "invoices", "tracking", "tracking number", "track", "parcel", "shipment", "ticket", "ticket number", "case", "case number", "case no", "serial", "serial number", "serial no", "s/n", "sn", "part", "part number", "part no", "p/n", "sku", "model", "isbn", "isbn-13", "isbn-10", "issn", "ean", "upc", "gtin", "barcode", "imei", "doi", "arxiv", "pmid", "patent", "po number", "purchase order",
        "reference", "ref", "ref.", "reference number", "confirmation", "confirmation number", "confirmation code", "booking", "reservation", "flight", "transaction", "transaction id", "txn", "trace", "trace id", "request id", "request_id", "session id", "user id", "user_id", "customer id", "customer number", "product", "product code", "item", "item number", "catalog", "catalogue", "batch", "lot", "lot number", "timestamp", "unix", "epoch", "hash", "sha", "commit", "uuid", "guid", "md5", "checksum", "error", "error code", "code", "issue", "bug", "pull request",
        "score", "population", "isin", "cusip", "vin", "license key", "license plate", "asin", "bestellnummer", "bestellung", "rechnung", "rechnungsnummer", "auftrag", "auftragsnummer", "artikelnummer", "kundennummer", "aktenzeichen", "seriennummer", "commande", "facture", "référence", "pedido", "factura", "ordine", "fattura", "número de pedido", "bestelling", "sendungsnummer", "phone model", "coordinates", "latitude", "longitude", "solve", "calculate", "compute", "multiply", "equation", "sequence", "primes", "constant",
    ]),
    (Cue::Reference, Edge::None, &["订单", "订单号", "注文番号", "заказ", "номер заказа"]),
];

struct Index {
    words: AhoCorasick,
    kinds: Vec<(Cue, Edge)>,
}

static INDEX: LazyLock<Option<Index>> = LazyLock::new(|| {
    let all = || TABLE.iter().flat_map(|&(cue, edge, words)| words.iter().map(move |word| (cue, edge, *word)));
    let words = AhoCorasickBuilder::new()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(all().map(|(_, _, word)| word))
        .ok()?;
    Some(Index { words, kinds: all().map(|(cue, edge, _)| (cue, edge)).collect() })
});

/// The cue words of `text`, by their end.
pub(super) fn cues(text: &str) -> Vec<Word> {
    let Some(index) = INDEX.as_ref() else { return Vec::new() };
    let mut words = Vec::new();
    for found in index.words.find_overlapping_iter(text) {
        let Some(&(cue, edge)) = index.kinds.get(found.pattern().as_usize()) else { continue };
        let starts = edge == Edge::None || !text.get(..found.start()).is_none_or(|t| joins(t.chars().next_back()));
        let ends = edge != Edge::Both || !text.get(found.end()..).is_none_or(|t| joins(t.chars().next()));
        if starts && ends {
            push(&mut words, Word { cue, start: found.start(), end: found.end() });
        }
    }
    words
}

/// Adds a word that ends last; of words within one another the longest speaks, but for beginnings of keys.
fn push(words: &mut Vec<Word>, word: Word) {
    let is_head = |cue: Cue| matches!(cue, Cue::Prefix | Cue::Pem);
    if !is_head(word.cue) {
        if words.iter().rev().take(3).any(|last| last.end == word.end && last.start <= word.start && !is_head(last.cue))
        {
            return;
        }
        while words.last().is_some_and(|last| last.start >= word.start && !is_head(last.cue)) {
            words.pop();
        }
    }
    words.push(word);
}

/// Whether a character beside a cue makes it part of a longer word. Ideographs write no spaces.
fn joins(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphabetic() && (c as u32) < 0x2E80)
}
