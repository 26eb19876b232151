//! Why a token is refused.

/// Why a token is refused. Its sender is to blame for each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// It is not in the compact form of a JWS, or its header or claims are not what they have to
    /// be.
    Malformed,
    /// It says that it is a token of another kind.
    Type,
    /// Its header has an extension that has to be understood.
    Critical,
    /// No key is for its algorithm, or the key that it names is for another one.
    Algorithm,
    /// It names a key that there is not.
    UnknownKey,
    /// Its signature is not by the key.
    Signature,
    /// It is of another issuer.
    Issuer,
    /// It is for others.
    Audience,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
}

impl Rejection {
    /// The reason, for the client and the log. It needs no escaping in a quoted string.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "the token is malformed",
            Self::Type => "the token is not an access token",
            Self::Critical => "the token has an extension that is not supported",
            Self::Algorithm => "the algorithm of the token is not accepted",
            Self::UnknownKey => "the key of the token is unknown",
            Self::Signature => "the signature of the token is wrong",
            Self::Issuer => "the token is of another issuer",
            Self::Audience => "the token is for another audience",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not valid yet",
        }
    }
}
