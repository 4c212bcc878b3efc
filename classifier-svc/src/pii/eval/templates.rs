//! Texts with a hole for a value: `{}` is the hole.

use crate::pii::Kind;

/// Texts with personal data by its type.
pub(super) type Positive = &'static [(Kind, &'static [&'static str])];
/// Texts without, by what their holes are filled with.
pub(super) type Negative = &'static [(Lure, &'static [&'static str])];

/// What is said of each type.
#[rustfmt::skip]
pub(super) const POSITIVE: Positive = &[
    (Kind::EmailAddress, &[
        "You can reach me at {} any time.", "email: {}", "Please forward the contract to {}, thanks.", "{\"contact\":\"{}\",\"active\":true}", "From: {}\nSubject: hello", "My old address {} no longer works!",
        "INSERT INTO people(mail) VALUES('{}');", "Schreib mir an {}.", "cc: {}", "the account {} was locked after three attempts", "Contact <{}> for details", "Mon courriel est {}", "user={}&lang=en", "Write to {}; she will answer.", "(see {})",
    ]),
    (Kind::PhoneNumber, &[
        "Call me at {} after lunch.", "Phone: {}", "My cell is {}, leave a message.", "tel {}", "You can text me on {}.", "Telefon: {}", "Her phone number is {}.", "Mobile: {} (evenings)", "{\"phone\":\"{}\"}", "Fax {}\nAttn: records", "WhatsApp: {}",
        "Please ring {} and ask for the manager.", "téléphone : {}", "Mi teléfono es {}.", "the hotline, {}, is open on weekdays", "phone no. {}", "reach me on my mobile, {}",
    ]),
    (Kind::CreditCard, &[
        "Charge it to {} please.", "card number: {}", "My Visa is {}, exp 11/28.", "{\"pan\":\"{}\"}", "The customer read out {} on the call.", "credit card {} was declined", "pay with {} today", "Kreditkarte {}", "cc={}", "I paid with {} yesterday.", "carte bancaire {}", "the card ending there is {}",
    ]),
    (Kind::IbanCode, &[
        "IBAN: {}", "Please wire the rent to {}.", "Konto {} bei der Sparkasse", "{\"iban\":\"{}\"}", "Beneficiary account {} (EUR)", "Mon IBAN est {}", "transfer to {}, reference March", "iban={}", "Refunds go to {} within a week.", "Kontoverbindung:\n{}", "RIB : {}", "the payout account is {}",
    ]),
    (Kind::UsSsn, &[
        "My SSN is {}.", "social security number: {}", "SSN {}", "{\"ssn\":\"{}\"}", "Her Social Security number, {}, was on the form.", "SS# {}", "the applicant's ssn is {} and he lives in Ohio", "Social security no. {}", "Please verify SSN: {}", "w-2 shows social security number {}", "ssn={}", "his social is {}",
    ]),
    (Kind::IpAddress, &[
        "Login from {} failed.", "client_ip={}", "My IP address is {}.", "ssh admin@{}", "Blocked {} after 5 attempts", "{} - - [12/Mar/2024:10:00:00 +0000] \"GET / HTTP/1.1\" 200 512", "the host {} does not answer ping", "inet {} netmask", "{\"remote_addr\":\"{}\"}", "connection from {} closed", "Server IP: {}", "traceroute to {} stops here",
    ]),
    (Kind::UsDriverLicense, &[
        "Driver's license: {}", "driver license number {}", "My driver's license number is {}.", "DL# {}", "Her drivers license no. {} expires soon.", "{\"driver_license\":\"{}\"}", "driver’s license {} was issued in 2019", "DL number: {}", "license number {} (class C)", "I lost my driving licence, number {}.", "drivers license is {}", "DLN {}",
    ]),
    (Kind::StreetAddress, &[
        "I live at {}.", "Ship to {}, please.", "Address: {}", "The house at {} is empty.", "Our office is located at {}.", "She moved to {} last year.", "{\"street\":\"{}\"}", "Meet me at {} at noon.", "Send the parcel to {}", "He grew up at {}, near the park.", "Delivery address: {}", "Bitte liefern an {}.", "billing address {}",
    ]),
    (Kind::ZipCode, &[
        "zip code: {}", "ZIP {}", "My zip is {}.", "{\"postal_code\":\"{}\"}", "postal code {}", "Which stores are near zip code {}?", "postcode: {}", "The zip code is {}.", "zip={}", "PLZ {}", "weather for zip {}", "enter postal code {} here",
    ]),
    (Kind::DateOfBirth, &[
        "DOB: {}", "I was born on {}.", "date of birth: {}", "Her birthday is {}.", "{\"date_of_birth\":\"{}\"}", "Patient born {} presents with fever.", "D.O.B. {}", "He was born in Paris on {}.", "Geboren am {}", "birthdate {}", "née le {}", "fecha de nacimiento: {}", "my date of birth is {}", "DOB ({})", "{} is my date of birth",
    ]),
    (Kind::ApiKey, &[
        "My key is {} and it fails.", "export API_KEY={}", "api_key: \"{}\"", "Authorization: Bearer {}", "{\"token\":\"{}\"}", "client = Client(\"{}\")", "secret = '{}'", "I pasted {} by accident", "auth token {} leaked", "curl -H 'x-api-key: {}'", "TOKEN={}", "the credential was {}.",
    ]),
    (Kind::PrivateKey, &["here is the key:\n{}\n", "key: |\n{}\n", "cat id_rsa\n{}\n$", "PEM\n{}\nend", "why does ssh reject {}\n?", "{}\n"]),
    (Kind::UsPassport, &["passport number {}", "Passport no: {}", "My passport is {}.", "passport # {}", "US passport {} expires soon", "{\"passport_number\":\"{}\"}"]),
    (Kind::UsBankNumber, &["routing number {}", "account number: {}", "bank account {}", "ABA {}", "checking account {}", "direct deposit to account number {}"]),
    (Kind::CryptoAddress, &["send it to {}", "wallet: {}", "my address is {}", "donate {}", "{\"to\":\"{}\"}", "paid from {} on Monday"]),
];

/// What holds no personal data, with a hole for the numbers that look like it.
#[rustfmt::skip]
pub(super) const NEGATIVE: Negative = &[
    (Lure::Digits, &["Order {} has shipped.", "invoice {} is due", "tracking number {}", "the ticket {} is closed", "transaction id {}", "serial number {}", "Bestellnummer {}", "user_id={}", "batch {} passed", "n = {}", "const SEED: u64 = {};", "reference {} in your mail"]),
    (Lure::Uuid, &["id {} not found", "uuid={}", "{\"id\":\"{}\"}", "request {} failed", "trace {}", "see object {}"]),
    (Lure::Hash, &["commit {}", "sha1 {}", "etag: \"{}\"", "merge {} into main", "checksum {}", "image@sha256:{}"]),
    (Lure::Version, &["upgrade to version {}", "v{} is out", "Chrome/{} Safari", "package=={}", "firmware {}", "see section {} of the manual"]),
    (Lure::Time, &["at {} the job failed", "updated {}", "The meeting is on {}.", "expires {}", "[{}] INFO ready", "from {} on"]),
    (Lure::Price, &["It costs {} in total.", "revenue of {}", "pay {} now", "{} per month", "refund: {}", "a budget of {}"]),
    (Lure::Isbn, &["ISBN {}", "the book (ISBN {}) is out of print", "ean {}", "isbn: {}", "barcode {}", "ISBN-13: {}"]),
    (Lure::Sum, &["What is {}?", "compute {}", "{} = ?", "solve {}", "the result of {} is wrong", "assert {}"]),
    (Lure::Loopback, &["listen on {}", "curl http://{}/", "bind {}", "server at {}", "host {}", "ping {}"]),
    (Lure::Prose, &["The {} lasted {} years.", "Chapter {} has {} pages.", "We need {} eggs and {} apples.", "In {} the {} opened.", "Room {}, floor {}", "{} of {} tests passed", "Top {} places to see in {}", "Psalm {}:{}", "scored {}-{} at home"]),
];

/// What a negative text's hole holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lure {
    /// A number of 5 to 20 digits.
    Digits,
    /// A UUID.
    Uuid,
    /// Hexadecimal of 32, 40 or 64 digits.
    Hash,
    /// A version of two to four numbers.
    Version,
    /// A day or an instant.
    Time,
    /// An amount of money.
    Price,
    /// An ISBN or an EAN.
    Isbn,
    /// A sum.
    Sum,
    /// An address that is nobody's.
    Loopback,
    /// A small number.
    Prose,
}
