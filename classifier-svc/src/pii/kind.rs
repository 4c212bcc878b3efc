//! What is found.

use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

/// A type of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    /// An e-mail address.
    EmailAddress,
    /// A telephone number.
    PhoneNumber,
    /// A payment card's number.
    CreditCard,
    /// An international bank account number.
    IbanCode,
    /// A social security number of the United States.
    UsSsn,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// A driver's licence of a state of the United States.
    UsDriverLicense,
    /// A street and a house number.
    StreetAddress,
    /// A postal code.
    ZipCode,
    /// A day of birth.
    DateOfBirth,
    /// A secret: a service's key, a token, a password.
    ApiKey,
    /// A private key in PEM.
    PrivateKey,
    /// A passport's number.
    UsPassport,
    /// A bank account or routing number of the United States.
    UsBankNumber,
    /// An address on a public ledger.
    CryptoAddress,
    /// A named human. It has no form: the token head finds it, as the next two.
    Person,
    /// A company, agency, school, team or band.
    Organization,
    /// A place with a name.
    Location,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::EmailAddress,
        Self::PhoneNumber,
        Self::CreditCard,
        Self::IbanCode,
        Self::UsSsn,
        Self::IpAddress,
        Self::UsDriverLicense,
        Self::StreetAddress,
        Self::ZipCode,
        Self::DateOfBirth,
        Self::ApiKey,
        Self::PrivateKey,
        Self::UsPassport,
        Self::UsBankNumber,
        Self::CryptoAddress,
        Self::Person,
        Self::Organization,
        Self::Location,
    ];

    /// The name that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EmailAddress => "EMAIL_ADDRESS",
            Self::PhoneNumber => "PHONE_NUMBER",
            Self::CreditCard => "CREDIT_CARD",
            Self::IbanCode => "IBAN_CODE",
            Self::UsSsn => "US_SSN",
            Self::IpAddress => "IP_ADDRESS",
            Self::UsDriverLicense => "US_DRIVER_LICENSE",
            Self::StreetAddress => "STREET_ADDRESS",
            Self::ZipCode => "ZIP_CODE",
            Self::DateOfBirth => "DATE_OF_BIRTH",
            Self::ApiKey => "API_KEY",
            Self::PrivateKey => "PRIVATE_KEY",
            Self::UsPassport => "US_PASSPORT",
            Self::UsBankNumber => "US_BANK_NUMBER",
            Self::CryptoAddress => "CRYPTO_ADDRESS",
            Self::Person => "PERSON",
            Self::Organization => "ORGANIZATION",
            Self::Location => "LOCATION",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One piece of personal data.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// Its type.
    pub kind: Kind,
    /// Where it stands: UTF-8 bytes of the text, on character boundaries.
    pub range: Range<usize>,
    /// How sure it is, 0 to 1: see the module.
    pub score: f32,
}

impl Entity {
    /// An entity of `kind` at `range`.
    pub(super) const fn new(kind: Kind, range: Range<usize>, score: f32) -> Self {
        Self { kind, range, score }
    }

    /// The score of what a check sum or an unmistakable form proves.
    pub const PROVEN: f32 = 1.0;

    /// Whether a check sum or an unmistakable form proves the type.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        let is_name = matches!(self.kind, Kind::Person | Kind::Organization | Kind::Location);
        self.score >= Self::PROVEN && !is_name
    }
}
