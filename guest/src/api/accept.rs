//! Content negotiation: media types (RFC 9110, 12.5.1) and encodings (12.5.3).

/// Whether `Accept` names `special` and gives it a greater weight than `default`.
///
/// A wildcard does not name `special`, which its sender may not know; equal weights select
/// `default`. Parameters other than the weight are ignored, since neither type has any.
pub(crate) fn prefers(header: &[u8], special: &str, default: &str) -> bool {
    let mut named = false;
    let (mut of_special, mut of_default) = (Weight::default(), Weight::default());
    for item in header.split(|&byte| byte == b',') {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let range = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1000);
        named |= range.eq_ignore_ascii_case(special.as_bytes());
        of_special.take(range, special, weight);
        of_default.take(range, default, weight);
    }
    named && of_special.weight > of_default.weight
}

/// The weight of one media type, from the most specific range of the list.
#[derive(Default)]
struct Weight {
    specificity: u8,
    /// In thousandths.
    weight: u16,
}

impl Weight {
    fn take(&mut self, range: &[u8], media: &str, weight: u16) {
        let (kind, _) = media.split_once('/').unwrap_or((media, ""));
        let specificity = if range.eq_ignore_ascii_case(media.as_bytes()) {
            3
        } else if range
            .strip_suffix(b"/*")
            .is_some_and(|range| range.eq_ignore_ascii_case(kind.as_bytes()))
        {
            2
        } else if range == b"*/*" {
            1
        } else {
            return;
        };
        if specificity > self.specificity {
            *self = Self {
                specificity,
                weight,
            };
        } else if specificity == self.specificity {
            self.weight = self.weight.max(weight);
        }
    }
}

/// The weight in thousandths, if the parameter is one. A malformed weight is zero.
fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', value @ ..] = parameter else {
        return None;
    };
    let (integer, fraction) = match value {
        [integer] => (integer, &[][..]),
        [integer, b'.', fraction @ ..] if fraction.len() <= 3 => (integer, fraction),
        _ => return Some(0),
    };
    if !matches!(integer, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(u16::from(integer - b'0'), |sum, digit| {
        sum * 10 + u16::from(digit - b'0')
    });
    Some(if thousandths <= 1000 { thousandths } else { 0 })
}

/// Whether `Accept-Encoding` accepts gzip (RFC 9110, 12.5.3).
pub(crate) fn accepts_gzip(header: &[u8]) -> bool {
    let mut any = false;
    for item in header.split(|&byte| byte == b',') {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let is_accepted = !parts.any(is_zero_weight);
        if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
            return is_accepted;
        }
        any |= coding == b"*" && is_accepted;
    }
    any
}

/// Whether a parameter is `q=0`, `q=0.0` and so on.
fn is_zero_weight(parameter: &[u8]) -> bool {
    matches!(parameter, [b'q' | b'Q', b'=', weight @ ..]
        if !weight.is_empty() && weight.iter().all(|byte| matches!(byte, b'0' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::prefers;

    fn is_ndjson(header: &str) -> bool {
        prefers(
            header.as_bytes(),
            "application/x-ndjson",
            "application/json",
        )
    }

    #[test]
    fn accept_with_only_ndjson_selects_ndjson() {
        for header in [
            "application/x-ndjson",
            "Application/X-NDJSON",
            " application/x-ndjson ; q=0.1 ",
            "application/x-ndjson;charset=utf-8",
            "text/html, application/x-ndjson",
        ] {
            assert!(is_ndjson(header), "{header}");
        }
    }

    #[test]
    fn greater_weight_selects_media_type() {
        for (header, expected) in [
            ("application/x-ndjson, application/json;q=0.9", true),
            ("application/x-ndjson;q=0.9, application/json", false),
            ("application/json;q=0.5, application/x-ndjson;q=0.501", true),
            ("application/x-ndjson, */*;q=0.1", true),
            ("application/x-ndjson;q=0.2, application/*;q=0.5", false),
            (
                "application/x-ndjson;q=0.2, application/json;q=0.1, */*",
                true,
            ),
            ("application/x-ndjson;q=0, */*", false),
            ("application/x-ndjson;q=0", false),
            (
                "application/x-ndjson;q=1.000, application/json;q=0.999",
                true,
            ),
        ] {
            assert_eq!(is_ndjson(header), expected, "{header}");
        }
    }

    #[test]
    fn accept_without_preference_selects_json() {
        for header in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "text/html",
            "application/json, application/x-ndjson",
            "application/x-ndjson, */*",
            // A lower weight of JSON does not name NDJSON.
            "application/json;q=0.5, */*",
        ] {
            assert!(!is_ndjson(header), "{header}");
        }
    }

    #[test]
    fn malformed_accept_selects_json() {
        for header in [
            "application/x-ndjson;q=2",
            "application/x-ndjson;q=-1",
            "application/x-ndjson;q=",
            "application/x-ndjson;q=0.1234",
            "application/x-ndjson;q=1.001",
            "application/x-ndjson;q=x, */*",
            ",;,=;q",
            "ndjson",
        ] {
            assert!(!is_ndjson(header), "{header}");
        }
        assert!(is_ndjson(";,,application/x-ndjson,"));
        assert!(!prefers(
            b"\xff/\xfe, application/json",
            "application/x-ndjson",
            "application/json"
        ));
    }
}
