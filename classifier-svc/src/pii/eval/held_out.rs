//! Templates, forms and names of the test part, written after the rules were frozen.

use super::{templates::Lure, words::Words};
use crate::pii::Kind;

/// What only the count reads.
#[rustfmt::skip]
pub(super) const TEST: Words = Words {
    positive: &[
        (Kind::EmailAddress, &["Kindly reply to {} before Friday.", "Owner: {}", "I registered with {} but never got the confirmation", "mailto={}", "- {} (primary)", "Bitte {} in Kopie setzen.", "does {} look like a valid address to you?", "{\"to\": [\"{}\"]}"]),
        (Kind::PhoneNumber, &["Give me a call: {}", "For questions, phone {}.", "Emergency contact number {}", "His mobile number is {} I think", "tel: {}", "Tél {}", "Rufnummer: {}", "<td>Telephone</td><td>{}</td>", "you can reach me at {} until 8", "WhatsApp {}"]),
        (Kind::CreditCard, &["Book the hotel with my card {}.", "My Mastercard number: {}", "{} is the card on file", "cardNumber: \"{}\"", "Visa {} was charged twice", "Numéro de carte {}", "The card {} belongs to my wife.", "Here: {}"]),
        (Kind::IbanCode, &["My IBAN is {}", "Empfänger-IBAN {}", "send the deposit to {} by Monday", "compte n° {}", "{\"account\":{\"iban\":\"{}\"}}", "Bank details: {}", "IBAN {} belongs to the landlord."]),
        (Kind::UsSsn, &["SSN on file: {}", "My wife's social security number is {}", "Employee SSN {}", "\"socialSecurityNumber\": \"{}\", \"ssn\": true", "Applicant's Social Security #: {}", "Enter ssn {} on line 3", "is {} a valid ssn?"]),
        (Kind::IpAddress, &["The attacker came from {}.", "deny from {}", "remote address {} port 50222", "my router has {}", "peer {} disconnected", "Client {} sent too many requests", "curl http://{}/status", "nslookup {}"]),
        (Kind::UsDriverLicense, &["My driver license is {}", "Driver's License No: {}", "license number: {}", "DL {}", "His driver's licence number is {} and it was suspended.", "\"drivers_license\": \"{}\""]),
        (Kind::StreetAddress, &["Please deliver to {} today.", "My new address is {}.", "She lives at {} with two cats.", "The package was left at {}", "Address line 1: {}", "Pick me up from {}!", "home: {}", "address: {}"]),
        (Kind::ZipCode, &["Zip Code {}", "zip {} please", "ZIP/postal code: {}", "zipcode={}", "What is the tax rate for zip code {}?", "Post code {}"]),
        (Kind::DateOfBirth, &["Birth date: {}", "She was born {}.", "His DOB is {}", "\"birthday\": \"{}\"", "born on the {}", "Date of birth {} (verified)", "My birthday's {}", "geboren: {}"]),
        (Kind::ApiKey, &["I get 401 with {}", "export TOKEN={}", "api-key: {}", "the key {} was committed", "Authorization: Bearer {}", "set secret = \"{}\"", "config.apiKey = '{}'"]),
        (Kind::PrivateKey, &["My key:\n{}\nDoes it look right?", "{}", "save this as id.pem\n\n{}\n"]),
        (Kind::UsPassport, &["My passport number is {}", "Passport #: {}", "Passport number on file: {}"]),
        (Kind::UsBankNumber, &["Account number {}", "My bank account number is {}", "routing no. {}", "Routing number: {}"]),
        (Kind::CryptoAddress, &["Wallet address {}", "please send the coins to {}", "withdraw to {} now", "BTC/ETH: {}"]),
    ],
    negative: &[
        (Lure::Digits, &["Your order no. {} is ready.", "Ticket {} was merged into another", "parcel {} left the depot", "Rechnung {} ist bezahlt", "checksum {} does not match", "rows affected: {}", "seed={}"]),
        (Lure::Uuid, &["session {} closed", "GET /v1/items/{}", "uuid {}"]),
        (Lure::Hash, &["fixed in {}", "digest {}", "git show {}"]),
        (Lure::Version, &["running version {}", "released v{} today", "requires node {}"]),
        (Lure::Time, &["Published {}", "the release is due {}", "logged at {}", "invoice date {}"]),
        (Lure::Price, &["We sold it for {}.", "Total: {}", "a fine of {}"]),
        (Lure::Isbn, &["Have you read ISBN {}?", "isbn={}", "EAN code {}"]),
        (Lure::Sum, &["Evaluate {}", "How much is {}?", "simplify {}"]),
        (Lure::Loopback, &["proxy_pass http://{};", "listening at {}", "example host {}"]),
        (Lure::Prose, &["It took {} days and {} nights.", "Volume {}, issue {}", "{} people signed {} letters", "Season {} episode {}", "He scored {} points in {} games."]),
    ],
    phone: &["(%1#) %4#-####", "+1 (%0#) %7#-####", "%1#-%3#-####", "%0#.%6#.####", "+44 7%## ######", "01632 96####", "+49 1%1 #######", "0221 47####", "+33 7 5# ## ## ##", "05 56 ## ## ##", "+91 98### #####", "+34 91 4## ## ##", "+39 06 69## ####", "+31 20 62# ####", "+41 79 4## ## ##"],
    licence: &["A#######", "########", "A########", "A##########", "#########", "A###-####-####", "A######"],
    zip: &["#####", "#####-####", "9####", "0####", "W1T 1JY", "BS8 1TH"],
    street: &["NUM NAME Road", "NUM NAME Blvd, Suite 210", "LOW NAME Lane", "NUM S NAME Ave", "NUM NAME Circle", "LOW NAME Crescent", "STADTallee LOW", "STADTgasse LOW", "LOW rue NAME", "Calle de NAME LOW", "NUM E 5th Street", "LOW boulevard NAME", "Via NAME, LOW"],
    key: &["sk-proj-wwwwwwwwwwwwwwww#wwwwwwwwwwwwww#", "gho_wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww#", "\\AKI\\A##AAAA#AAAAA#AAA#", "xoxp-###########-###########-~~~~~~~~~~~~~~~~~~~~~~~~", "\\AIzaSy#wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww", "glpat-wwwwwwwwwwwwwwwwww#w", "sk_test_wwwwwwwwwwwwwww#wwwwwwww", "hf_wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww#", "npm_wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww#"],
    users: &["beatrix", "h.tanaka", "emeka", "juan-carlos", "sofia", "kwame", "lotte", "zoltan", "m.rossi", "info", "b.singh", "ewa"],
    domains: &["hotmail.com", "example.net", "t-online.de", "wanadoo.fr", "uni.edu.pl", "btinternet.com", "company.com.br", "mail.ru", "lab.science", "city.gov"],
    streets: &["Birch", "Monroe", "Hawthorn", "Riverside", "Dante", "Juniper", "Harrison", "Molière", "Bluebell", "Sycamore"],
    german: &["Kastanien", "Ulmen", "Schiller", "Markt", "Kirch"],
};
